"""Two client access servers for the bench, cheap enough that the balancer before them is what is measured: servers.py PEM.

Each has a plain port and a TLS port. Any request is answered 200, one for ``/…/wait`` after so many seconds. It says the ports
as ``[[plain, TLS], …]``, and in the end how many that waited were answered.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

from bench.child import say, stopping

LONG_POLL_S = 5.0
SERVERS = 2
_BODY = b'{"said": "so many bytes as a small answer has"}'


class Answering(asyncio.Protocol):
    """One connection, one request at a time. Requests have no body."""

    answered = 0
    """Long polls, over all connections."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("not a stream")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer whole requests."""
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            closing = b"connection: close" in head.lower()
            if head.split(b" ", 2)[1].endswith(b"/wait"):
                asyncio.get_running_loop().call_later(LONG_POLL_S, self._answer_late, closing)
            else:
                self._answer(closing)

    def _answer_late(self, closing: bool) -> None:
        if not self._transport.is_closing():
            Answering.answered += 1
            self._answer(closing)

    def _answer(self, closing: bool) -> None:
        kept = b"close" if closing else b"keep-alive"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n"
        self._transport.write(head % (len(_BODY), kept) + _BODY)
        if closing:
            self._transport.close()


async def serve(context: ssl.SSLContext) -> None:
    """Listen on loopback until stdin ends."""
    loop = asyncio.get_running_loop()
    ports: list[list[int]] = []
    listeners: list[asyncio.Server] = []
    for _ in range(SERVERS):
        pair = [
            await loop.create_server(Answering, "127.0.0.1", 0, ssl=used, backlog=256, start_serving=True)
            for used in (None, context)
        ]
        listeners += pair
        ports.append([listener.sockets[0].getsockname()[1] for listener in pair])
    say(ports)
    await asyncio.to_thread(stopping().wait)
    say(Answering.answered)


def main() -> None:
    """Serve with the certificate given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    asyncio.run(serve(context))


if __name__ == "__main__":
    main()
