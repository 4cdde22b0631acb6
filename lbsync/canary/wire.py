"""One HTTP/1.1 conversation over verified TLS, strict about where an answer breaks off.

Rule of this room: whether any byte of an answer had come is told apart, since only before the first byte may a client ask
again. It sends GET without credentials and keeps no cookie.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass

from lbsync.kit.handshake import verified_context

_NO_BODY = frozenset({204, 304})
_INFORMATIONAL = range(100, 200)
_CLOSE_TIMEOUT_S = 1.0


class NoAnswer(ConnectionError):
    """The connection ended before the first byte of an answer."""


class BrokenAnswer(ConnectionError):
    """The answer is not HTTP, or it broke off."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole answer; ``close`` is true when the server announced that it closes now."""

    status: int
    close: bool


class Conversation:
    """A connection and the requests on it, one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = f"[{host}]" if ":" in host else host
        self.used = False

    @classmethod
    async def open(cls, address: str, port: int, host: str, *, ca_pem: str | None) -> Conversation:
        """A full handshake for ``host`` (in ASCII). Raises OSError (ssl.SSLError is one)."""
        bare = address.removeprefix("[").removesuffix("]")
        streams = await asyncio.open_connection(bare, port, ssl=verified_context(ca_pem), server_hostname=host)
        return cls(*streams, host)

    @property
    def ended(self) -> bool:
        """True when the server has closed it while nobody asked."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def get(self, path: str) -> Outcome:
        """Ask and read the whole answer. Raises NoAnswer or BrokenAnswer."""
        self.used = True
        request = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nUser-Agent: lbsync-canary\r\nAccept: */*\r\n\r\n"
        first = await self._ask(request.encode("ascii"))
        try:
            return await self._answer(first)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ssl.SSLError) as error:
            raise BrokenAnswer("the answer broke off") from error
        except (ValueError, IndexError) as error:
            raise BrokenAnswer("the answer is not HTTP") from error

    def abort(self) -> None:
        """End it at once, without a goodbye."""
        with suppress(AttributeError):  # Python 3.11.2: a TLS transport closed twice has let go of its protocol
            self._writer.transport.abort()

    async def close(self) -> None:
        """Say goodbye; a peer that does not is not waited for."""
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except OSError:  # TimeoutError is one
            self.abort()

    async def _ask(self, request: bytes) -> bytes:
        try:
            self._writer.write(request)
            await self._writer.drain()
            return await self._reader.readexactly(1)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as error:
            raise NoAnswer("closed without an answer") from error

    async def _answer(self, first: bytes) -> Outcome:
        while True:
            head = (first + await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            first = b""
            status = int(head[0].split(" ", 2)[1])
            if status not in _INFORMATIONAL:
                break
        fields = dict[str, str]()
        for line in filter(None, head[1:]):
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        close = fields.get("connection", "").lower() == "close" or head[0].startswith("HTTP/1.0")
        return Outcome(status, await self._body(status, fields) or close)

    async def _body(self, status: int, fields: dict[str, str]) -> bool:
        """Read the body to its end; true when only the end of the connection ended it."""
        if status in _NO_BODY:
            return False
        if "chunked" in fields.get("transfer-encoding", "").lower():
            await self._chunks()
            return False
        if "content-length" in fields:
            await self._reader.readexactly(int(fields["content-length"]))
            return False
        await self._reader.read()
        return True

    async def _chunks(self) -> None:
        while size := int((await self._reader.readline()).split(b";")[0], 16):
            await self._reader.readexactly(size + 2)
        while (await self._reader.readline()).strip():
            pass  # trailers
