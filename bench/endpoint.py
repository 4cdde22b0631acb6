"""WinRM endpoints for the bench: cheap enough that what is measured is the client.

Every client gets the same: Basic, a fixed round trip, a fixed time of work per command, a canned answer. It runs in a process
of its own and prints one line of JSON with its ports. It knows nothing of shells, faults or security; the lab does.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
import resource
import ssl
import sys
from pathlib import Path

_ACTION = re.compile(rb"/(Create|Command|Send|Receive|Signal|Delete)</")
_MESSAGE = re.compile(rb"MessageID>(uuid:[^<]+)<")
_TIMEOUT = re.compile(rb"OperationTimeout>PT(\d+)(?:\.\d+)?S<")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_COMMAND_ID = "5BD4F9C6-7A57-4C53-9F52-2A2D3C0A9B11"
_SHELL_ID = "D5A2622B-3842-4EB8-8A78-0225C8A40FDF"
_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_ENVELOPE = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    f'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="{_SHELL}"><s:Header><a:Action>%s</a:Action>'
    "<a:RelatesTo>%s</a:RelatesTo></s:Header><s:Body>%s</s:Body></s:Envelope>"
)
_SELECTOR = f'<w:SelectorSet><w:Selector Name="ShellId">{_SHELL_ID}</w:Selector></w:SelectorSet>'
_CREATED = (
    f"<rsp:Shell><rsp:ShellId>{_SHELL_ID}</rsp:ShellId></rsp:Shell>"
    f"<a:ReferenceParameters>{_SELECTOR}</a:ReferenceParameters>"
)
_STARTED = f"<rsp:CommandResponse><rsp:CommandId>{_COMMAND_ID}</rsp:CommandId></rsp:CommandResponse>"
_OF = f'CommandId="{_COMMAND_ID}"'
_RECEIVED = (
    f'<rsp:ReceiveResponse><rsp:Stream Name="stdout" {_OF}>%s</rsp:Stream><rsp:Stream Name="stdout" {_OF} End="true"/>'
    f'<rsp:Stream Name="stderr" {_OF} End="true"/><rsp:CommandState {_OF} State="{_SHELL}/CommandState/Done">'
    "<rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>"
)
_STILL_RUNNING = (
    "<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:TimedOut</s:Value></s:Subcode></s:Code><s:Reason>"
    '<s:Text xml:lang="en-US">The WS-Management service cannot complete the operation within the time specified in '
    'OperationTimeout.</s:Text></s:Reason><s:Detail><f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" '
    'Code="2150858793" Machine="bench"/></s:Detail></s:Fault>'
)
_BODIES = {
    b"Create": _CREATED,
    b"Command": _STARTED,
    b"Send": "<rsp:SendResponse/>",
    b"Signal": "<rsp:SignalResponse/>",
    b"Delete": "",
}
# What win_powershell answers: the one thing Ansible's side needs to be content.
_ANSIBLE = json.dumps(
    {"changed": True, "result": {}, "host_out": "", "host_err": "", "output": ["facts"], "error": [], "warning": []}
    | {"verbose": [], "debug": [], "information": []}
).encode()


class Settings:
    """What every connection of this process shares. ``latency_s`` is per round trip, ``work_s`` per command."""

    def __init__(self, answer: bytes, latency_s: float, work_s: float) -> None:
        self.answer = base64.b64decode(answer)
        self.latency_s = latency_s
        self.work_s = work_s
        self._encoded: dict[tuple[bool, str], str] = {}

    def stdout(self, *, ansible: bool, server: str) -> str:
        """The stream of Receive: the canned answer with the server's own name in it."""
        if (ansible, server) not in self._encoded:
            own = self.answer.replace(b'"EX01"', f'"{server}"'.encode())
            text = _ANSIBLE if ansible else base64.b64encode(own)
            self._encoded[ansible, server] = base64.b64encode(text).decode()
        return self._encoded[ansible, server]


class Connection(asyncio.Protocol):
    """One client's keep-alive connection to one server."""

    def __init__(self, settings: Settings, server: str) -> None:
        self._settings = settings
        self._server = server
        self._buffer = b""
        self._ansible = False
        self._ready = 0.0
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("not a stream")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect whole requests."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _LENGTH.search(head)
            size = end + 4 + (int(length.group(1)) if length else 0)
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        delay = self._settings.latency_s
        if b"\nauthorization: basic " not in head.lower():
            self._send_later(delay, "401 Unauthorized", "", 'WWW-Authenticate: Basic realm="WSMAN"\r\n')
            return
        action, message = _ACTION.search(body), _MESSAGE.search(body)
        if action is None or message is None:
            # pywinrm and Ansible open their encrypted transports with an empty request.
            self._send_later(delay, "200 OK", "")
            return
        kind = action.group(1)
        content = _BODIES.get(kind, "")
        if kind == b"Command":
            # Ansible's wrapper is the one that starts PowerShell with a profile-less encoded bootstrap and "-" for stdin.
            self._ansible = b"-NonInteractive -ExecutionPolicy Unrestricted" in body or b"ansible" in body.lower()
            self._ready = self._loop.time() + self._settings.work_s
        status = "200 OK"
        if kind == b"Receive":
            left = self._ready - self._loop.time()
            patience = int(found.group(1)) if (found := _TIMEOUT.search(body)) else 20
            if left > patience:
                delay, content, status = delay + patience, _STILL_RUNNING, "500 Internal Server Error"
            else:
                delay += max(left, 0.0)
                content = _RECEIVED % self._settings.stdout(ansible=self._ansible, server=self._server)
        self._send_later(delay, status, _ENVELOPE % (kind.decode() + "Response", message.group(1).decode(), content))

    def _send_later(self, delay_s: float, status: str, body: str, headers: str = "") -> None:
        kind = f"Content-Type: application/soap+xml;charset=UTF-8\r\n{headers}Content-Length: {len(body)}"
        answer = f"HTTP/1.1 {status}\r\n{kind}\r\n\r\n{body}".encode()
        self._loop.call_later(delay_s, self._write, answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve(settings: Settings, servers: int, context: ssl.SSLContext | None) -> None:
    """Listen on one port of loopback per server, say which, and go on until stdin ends."""
    loop = asyncio.get_running_loop()
    listeners: list[asyncio.Server] = []
    for number in range(1, servers + 1):
        name = f"EX{number:02d}"
        listeners.append(
            await loop.create_server(
                lambda name=name: Connection(settings, name), "127.0.0.1", 0, ssl=context, backlog=128
            )
        )
    print(json.dumps([listener.sockets[0].getsockname()[1] for listener in listeners]), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Serve as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answer", type=Path, required=True, help="stdout of server-facts, as the bootstrap prints it")
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds per round trip")
    parser.add_argument("--work", type=float, default=0.0, help="seconds per command")
    parser.add_argument("--certificate", type=Path, help="PEM with leaf, chain and key: serve HTTPS")
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    context = None
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate)
    settings = Settings(arguments.answer.read_bytes(), arguments.latency, arguments.work)
    asyncio.run(serve(settings, arguments.servers, context))


if __name__ == "__main__":
    main()
