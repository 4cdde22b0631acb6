"""The other ways to read the facts of many servers, each as a program of its own: rivals.py floor|naive PORTS...

``floor`` is HTTP written by hand, the fewest round trips that WinRM allows, answers not even looked into: nothing that keeps
the protocol can be faster by much. ``naive`` is pywinrm as its README shows it, one script per server. Both use 64 threads.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

USER, PASSWORD = "CONTOSO\\lbsync", "bench"
THREADS = 64
_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_ENVELOPE = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    f'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="{_SHELL}"><s:Header><a:Action>%s</a:Action>'
    "<a:MessageID>uuid:0A2BBE2B-ECA9-4A36-A2CC-2D4C4F4E6F0A</a:MessageID><w:OperationTimeout>PT20S</w:OperationTimeout>"
    "</s:Header><s:Body>%s</s:Body></s:Envelope>"
)
_REQUESTS = (
    _ENVELOPE % (f"{_TRANSFER}/Create", "<rsp:Shell/>"),
    _ENVELOPE % (f"{_SHELL}/Command", "<rsp:CommandLine><rsp:Command>powershell</rsp:Command></rsp:CommandLine>"),
    _ENVELOPE % (f"{_SHELL}/Receive", "<rsp:Receive/>"),
    _ENVELOPE % (f"{_TRANSFER}/Delete", ""),
)
_STDOUT = re.compile(rb'Name="stdout"[^>/]*>([^<]+)<')


def by_hand(port: int, context: ssl.SSLContext | None = None) -> int:
    """Four requests on one connection; the length of what came back."""
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/soap+xml;charset=UTF-8"}
    connection = (
        http.client.HTTPSConnection("localhost", port, context=context)
        if context
        else http.client.HTTPConnection("127.0.0.1", port)
    )
    answer = b""
    for request in _REQUESTS:
        connection.request("POST", "/wsman", request.encode(), headers)
        body = connection.getresponse().read()
        found = _STDOUT.search(body)
        answer = base64.b64decode(found.group(1)) if found else answer
    connection.close()
    return len(answer)


def by_pywinrm(port: int, ca: str = "") -> int:
    """One ``Session.run_ps``; the length of what came back."""
    import winrm

    scheme = "https" if ca else "http"
    session = winrm.Session(
        f"{scheme}://localhost:{port}/wsman", auth=(USER, PASSWORD), transport="basic", ca_trust_path=ca or None
    )
    return len(session.run_ps("Get-Facts").std_out)


def main() -> None:
    """Ask every port; fail when one answered nothing."""
    ca = os.environ.get("BENCH_CA", "")
    context = ssl.create_default_context(cafile=ca) if ca else None
    ask = partial(by_hand, context=context) if sys.argv[1] == "floor" else partial(by_pywinrm, ca=ca)
    ports = [int(port) for port in json.loads(sys.argv[2])]
    with ThreadPoolExecutor(THREADS) as pool:
        lengths = list(pool.map(ask, ports))
    if not all(lengths):
        raise SystemExit("an endpoint answered nothing")


if __name__ == "__main__":
    main()
