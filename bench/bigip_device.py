"""One BIG-IP for every contender: bigip_device.py PEM. Cheap enough that what is measured is the client.

It says its port. ``GET /bench`` tells what was done since it was last asked, and brings everything back to the beginning.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys

from bench.bigip_rotation import HOST
from bench.bigip_state import Device, Json
from bench.child import say

_HEADER = re.compile(r"^([A-Za-z0-9-]+): *([^\r]*)", re.MULTILINE)


class Served:
    """The device as it is between two questions."""

    def __init__(self) -> None:
        self.device, self.connections = Device(), 0

    def told(self) -> Json:
        """Everything since the last time; the connection of the one who asks is not counted."""
        found = self.device.told | {"connections": self.connections - 1}
        self.device, self.connections = Device(), 0
        return found


class Connection(asyncio.Protocol):
    """One client's connection, kept until it closes it or says that it will."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("not a stream")
        self._transport = transport
        self._served.connections += 1

    def data_received(self, data: bytes) -> None:
        """Answer whole requests."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            line, _, rest = self._buffer[:end].decode("latin-1").partition("\r\n")
            headers = {name.lower(): value for name, value in _HEADER.findall(rest)}
            size = end + 4 + int(headers.get("content-length", "0"))
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size].decode(), self._buffer[size:]
            method, target, _ = line.split(" ")
            self._send(*self._answer(method, target, headers, body))
            if headers.get("connection", "").lower() == "close":
                self._transport.close()

    def _answer(self, method: str, target: str, headers: dict[str, str], body: str) -> tuple[int, Json]:
        if target == "/bench":
            return 200, self._served.told()
        path = target.partition("?")[0].removeprefix("/mgmt/").rstrip("/")
        try:
            return self._served.device.answer(method, path, headers, body)
        except (KeyError, ValueError) as error:
            return 500, {"code": 500, "message": f"the bench does not know what to answer: {error!r}"}

    def _send(self, status: int, answer: Json) -> None:
        text = json.dumps(answer)
        head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: {len(text)}"
        self._transport.write(f"{head}\r\n\r\n{text}".encode())


async def serve(pem: str) -> None:
    """Listen, say where, and go on until stdin ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    served = Served()
    listener = await asyncio.get_running_loop().create_server(lambda: Connection(served), HOST, 0, ssl=context)
    say(listener.sockets[0].getsockname()[1])
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Serve as the argument says."""
    asyncio.run(serve(sys.argv[1]))


if __name__ == "__main__":
    main()
