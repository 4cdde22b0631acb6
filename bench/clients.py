"""The load as a program: clients.py ADDRESS PORT CA. It is up when every client is, and says in the end what they met.

A long poll announces that its connection ends with it: one that fails was cut while it waited. What becomes of connections that
are kept is asked of the keep-alive clients.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bench.child import say, stopping
from lbsync.testing.load import Load, LoadSpec

HOST = "mail.contoso.test"
FRESH, KEEP, LONG = 8, 20, 5
_PATHS = (
    "/owa/",
    "/ews/exchange.asmx",
    "/mapi/emsmdb/",
    "/autodiscover/autodiscover.xml",
    "/rpc/rpcproxy.dll",
    "/oab/",
)
_WAIT = f"GET /owa/wait HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()


def main() -> None:
    """Keep the listener busy until stdin ends."""
    address, port, ca = sys.argv[1:]
    spec = LoadSpec(
        address=address, port=int(port), server_name=HOST, ca_pem=Path(ca).read_text(encoding="utf-8"), paths=_PATHS,
        fresh=FRESH, keep=KEEP, long=LONG, long_request=_WAIT,
    )  # fmt: skip
    ended = stopping()
    with Load(spec) as load:
        while load.result.handshakes < 2 * (FRESH + KEEP + LONG) and not ended.is_set():
            time.sleep(0.02)
        say("up")
        ended.wait()
    result = load.result
    say(
        {
            "handshakes": result.handshakes,
            "requests": result.requests,
            "longest_gap_s": result.longest_gap_s,
            "failures": result.failures,
        }
    )


if __name__ == "__main__":
    main()
