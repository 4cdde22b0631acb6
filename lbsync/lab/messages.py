"""What travels over one HTTP/1.1 connection of the lab: the connection, a request, its body, an answer.

Rule of this room: bodies are streamed and never held whole unless a handler asks. It knows framing, nothing of IIS.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from lbsync.lab.tls import TlsIdentity

CHUNK = 64 * 1024


class BadRequest(Exception):
    """The peer does not speak HTTP/1.1."""


@dataclass(slots=True)
class Connection:
    """One TCP connection; ``memory`` belongs to the handler (authentication is bound to the connection)."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    identity: TlsIdentity | None
    memory: dict[str, object] = field(default_factory=dict)

    @property
    def tls(self) -> bool:
        """True when the connection is encrypted."""
        return self.identity is not None


class Body:
    """The body of a request, read at most once, in pieces."""

    def __init__(self, reader: asyncio.StreamReader, length: int | None, invite: Callable[[], None] | None) -> None:
        """``length`` is ``None`` for a chunked body; ``invite`` sends ``100 Continue`` when the body is first wanted."""
        self._reader = reader
        self._left = length
        self._invite = invite
        self._done = length == 0

    @property
    def done(self) -> bool:
        """True when nothing of it is left on the wire."""
        return self._done

    @property
    def left(self) -> int | None:
        """Bytes still to come; ``None`` when unknown (chunked)."""
        return 0 if self._done else self._left

    async def pieces(self) -> AsyncIterator[bytes]:
        """Its bytes as they arrive."""
        if self._done:
            return
        if self._invite is not None:
            self._invite()
            self._invite = None
        if self._left is None:
            async for piece in self._chunked():
                yield piece
            return
        while self._left > 0:
            piece = await self._reader.read(min(CHUNK, self._left))
            if not piece:
                raise ConnectionResetError
            self._left -= len(piece)
            yield piece
        self._done = True

    async def _chunked(self) -> AsyncIterator[bytes]:
        while True:
            line = await self._reader.readline()
            try:
                size = int(line.split(b";")[0].strip(), 16)
            except ValueError as problem:
                raise BadRequest from problem
            left = size
            while left > 0:
                piece = await self._reader.read(min(CHUNK, left))
                if not piece:
                    raise ConnectionResetError
                left -= len(piece)
                yield piece
            if size:
                await self._reader.readline()
                continue
            while (await self._reader.readline()).strip():
                pass
            self._done = True
            return

    async def read(self, limit: int) -> bytes:
        """All of it. Raises BadRequest beyond ``limit`` bytes."""
        parts: list[bytes] = []
        total = 0
        async for piece in self.pieces():
            total += len(piece)
            if total > limit:
                raise BadRequest
            parts.append(piece)
        return b"".join(parts)

    async def drain(self, limit: int) -> bool:
        """Throw the rest away; false when more than ``limit`` bytes would have to be."""
        if self._left is not None and self._left > limit:
            return False
        total = 0
        self._invite = None
        async for piece in self.pieces():
            total += len(piece)
            if total > limit:
                return False
        return True


@dataclass(slots=True)
class Request:
    """One request; header names are lower case, repeated headers joined by ``, ``."""

    method: str
    target: str
    headers: dict[str, str]
    body: Body
    connection: Connection


@dataclass(slots=True)
class Response:
    """One answer. ``stream`` replaces ``body`` and is sent chunked, or raw when ``length`` announces its size."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    content_type: str = ""
    stream: AsyncIterator[bytes] | None = None
    length: int | None = None
    close: bool = False
