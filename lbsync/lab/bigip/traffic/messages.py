"""Heads of HTTP/1.x messages, and bodies in transit.

Rule of this room: a head that nobody edited leaves as it came, byte for byte, and so does a body; a message whose end two
readers could see in two places is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lbsync.lab.bigip.traffic.wire import CHUNK, Wire

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(r"HTTP/1\.[01]")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_LINE_LIMIT = 8192
_BODILESS = frozenset({204, 304})


class BadMessage(Exception):
    """The peer does not speak HTTP/1.x."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``enforcement`` of the http profile: bytes of a head, lines of it."""

    size: int = 32768
    count: int = 64


@dataclass(slots=True)
class Head:
    """The start line's three words, and the header lines in their order. ``raw`` is how it came, until somebody edits it."""

    start: tuple[str, str, str]
    fields: list[tuple[str, str]]
    raw: bytes = field(default=b"", repr=False)

    def get(self, name: str) -> str | None:
        """The first value of a header; names in any case."""
        wanted = name.lower()
        return next((value for key, value in self.fields if key.lower() == wanted), None)

    def tokens(self, name: str) -> list[str]:
        """The comma-separated words of every header of this name, in lower case."""
        wanted = name.lower()
        values = ",".join(value for key, value in self.fields if key.lower() == wanted)
        return [word.strip().lower() for word in values.split(",") if word.strip()]

    def insert(self, name: str, value: str) -> None:
        """Add a header line at the end."""
        self.fields.append((name, value))
        self.raw = b""

    def replace(self, name: str, value: str) -> None:
        """Put a value in the place of the first line of this name and remove the others; insert where there is none."""
        wanted, done, kept = name.lower(), False, list[tuple[str, str]]()
        for key, old in self.fields:
            if key.lower() != wanted:
                kept.append((key, old))
            elif not done:
                kept.append((key, value))
                done = True
        self.fields = kept
        self.raw = b""
        if not done:
            self.insert(name, value)

    def remove(self, name: str) -> None:
        """Remove every line of this name."""
        wanted = name.lower()
        self.fields = [(key, value) for key, value in self.fields if key.lower() != wanted]
        self.raw = b""

    def wire(self) -> bytes:
        """As it is sent."""
        if self.raw:
            return self.raw
        lines = [" ".join(self.start).rstrip(), *(f"{name}: {value}" for name, value in self.fields), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def lasting(self, version: str) -> bool:
        """True when whoever sent it keeps the connection afterwards."""
        words = self.tokens("connection")
        return "close" not in words if version == "HTTP/1.1" else "keep-alive" in words


class Request(Head):
    """A request's head."""

    @property
    def method(self) -> str:
        """GET, RPC_IN_DATA, ..."""
        return self.start[0]

    @property
    def target(self) -> str:
        """The URI as it came."""
        return self.start[1]

    @property
    def host(self) -> str:
        """The Host header, port and all; empty where there is none."""
        return self.get("host") or ""

    @property
    def keep(self) -> bool:
        """True when the client stays."""
        return self.lasting(self.start[2])

    def body(self, wire: Wire) -> Body:
        """Its body. Raises BadMessage."""
        return Body(wire, _length(self) or 0, chunked=_chunked(self))


class Response(Head):
    """An answer's head."""

    @property
    def status(self) -> int:
        """200, 401, ..."""
        return int(self.start[1])

    @property
    def keep(self) -> bool:
        """True when the server stays."""
        return self.lasting(self.start[0])

    def body(self, wire: Wire, method: str) -> Body:
        """Its body, as the answer to a request of this method. Raises BadMessage."""
        chunked, length = _chunked(self), _length(self)
        if method == "HEAD" or self.status in _BODILESS:
            return Body(wire, 0)
        return Body(wire, length, chunked=chunked)


async def read_request(wire: Wire, limits: Limits) -> Request | None:
    """The next request's head; ``None`` where the client closed instead. Raises BadMessage, ConnectionResetError."""
    lines, raw = await _lines(wire, limits)
    if not lines:
        return None
    words = lines[0].split(" ")
    if len(words) != 3 or not _TOKEN.fullmatch(words[0]) or not words[1] or not _VERSION.fullmatch(words[2]):  # noqa: PLR2004
        raise BadMessage
    return Request((words[0], words[1], words[2]), _fields(lines), raw)


async def read_response(wire: Wire, limits: Limits) -> Response:
    """The next answer's head. Raises BadMessage, ConnectionResetError; both stand for a server that closed instead."""
    lines, raw = await _lines(wire, limits)
    if not lines:
        raise ConnectionResetError
    version, _, rest = lines[0].partition(" ")
    status, _, reason = rest.partition(" ")
    if not _VERSION.fullmatch(version) or not re.fullmatch(r"[1-9]\d\d", status):
        raise BadMessage
    return Response((version, status, reason), _fields(lines), raw)


async def _lines(wire: Wire, limits: Limits) -> tuple[list[str], bytes]:
    looked = 0
    while True:
        while wire.buffer.startswith(b"\r\n"):  # some clients end a body with one line end too many
            wire.take(2)
            looked = 0
        end = wire.buffer.find(b"\r\n\r\n", max(0, looked - 3))
        if max(end, 0) > limits.size or (end < 0 and len(wire.buffer) > limits.size):
            raise BadMessage
        if end >= 0:
            raw = wire.take(end + 4)
            lines = raw[:-4].decode("latin-1").split("\r\n")
            if len(lines) - 1 > limits.count or any("\n" in line or "\r" in line or "\0" in line for line in lines):
                raise BadMessage
            return lines, raw
        looked = len(wire.buffer)
        if not await wire.more():
            if wire.buffer:
                raise BadMessage
            return [], b""


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise BadMessage
        fields.append((name, value.strip(" \t")))
    return fields


def _chunked(head: Head) -> bool:
    coding = head.tokens("transfer-encoding")
    if not coding:
        return False
    if coding != ["chunked"] or head.get("content-length") is not None:
        raise BadMessage
    return True


def _length(head: Head) -> int | None:
    lengths = set(head.tokens("content-length"))
    if not lengths:
        return None
    if len(lengths) > 1 or not re.fullmatch(r"\d{1,19}", length := lengths.pop()):
        raise BadMessage
    return int(length)


class Body:
    """A body on its way: pieces of it as they come, framing included."""

    def __init__(self, wire: Wire, length: int | None, *, chunked: bool = False) -> None:
        """Without ``length`` and not ``chunked``, it ends with the connection."""
        self._wire = wire
        self._left = 0 if chunked else length
        self._chunked = chunked
        self._trailer = False
        self.until_close = length is None and not chunked
        self.done = length == 0 and not chunked

    def ready(self) -> bytes:
        """What of it has come already; never waits. Raises BadMessage."""
        if self.done:
            return b""
        if self._chunked:
            return self._chunks()
        piece = self._wire.take(CHUNK if self._left is None else min(CHUNK, self._left))
        if self._left is not None:
            self._left -= len(piece)
            self.done = self._left == 0
        return piece

    async def next(self) -> bytes:
        """The next piece, as soon as there is one; empty at its end. Raises BadMessage, ConnectionResetError."""
        while not self.done:
            if piece := self.ready():
                return piece
            if self.done or await self._wire.more():
                continue
            if not self.until_close:
                raise ConnectionResetError
            self.done = True
        return b""

    def _chunks(self) -> bytes:
        out = bytearray()
        while not self.done and len(out) < CHUNK:
            if self._left:
                piece = self._wire.take(min(CHUNK, self._left))
                self._left -= len(piece)
                out += piece
                if not piece:
                    break
            elif not self._line(out):
                break
        return bytes(out)

    def _line(self, out: bytearray) -> bool:
        """A chunk's size, or a line of the trailer; false while it has not come whole."""
        buffer = self._wire.buffer
        end = buffer.find(b"\r\n", 0, _LINE_LIMIT)
        if end < 0:
            if len(buffer) >= _LINE_LIMIT:
                raise BadMessage
            return False
        line = self._wire.take(end + 2)
        out += line
        if self._trailer:
            self.done = end == 0
            return True
        size = _SIZE.fullmatch(line[:-2])
        if size is None:
            raise BadMessage
        length = int(size[1], 16)
        # The line end after a chunk's bytes is carried with them.
        self._left = length + 2 if length else 0
        self._trailer = length == 0
        return True
