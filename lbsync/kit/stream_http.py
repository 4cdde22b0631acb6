"""HTTP/1.1 GET over a stream: one question after another on one connection, as a health check asks.

Rule of this room: it sends no credentials and keeps no cookie; an answer that is not whole is no answer. It judges no status.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

from lbsync.errors import TargetError, Unreachable
from lbsync.kit.stream import CLOSED, NO_ANSWER, Stream, gone
from lbsync.model import Value

NO_HTTP = "no_http"
"""Code of Unreachable where the answer is not HTTP, or broke off."""
MOST_BODY = 65536
"""Bytes of a body that are kept."""

_MOST_HEAD = 65536
_PATH = re.compile(r"/[!-~]*\Z")
_HOST = re.compile(r"[!-~]+\Z")
_NO_BODY = frozenset({204, 304})
_INFORMATIONAL = range(100, 200)


class HttpAnswer(Value):
    """A whole answer; ``body`` is its beginning, 64 KiB at most."""

    status: int
    body: bytes


class HttpConversation:
    """Questions on one stream, which is closed by its owner.

    ``host`` is the Host header as it shall be sent; each answer must be whole within ``timeout_s``.
    """

    def __init__(self, stream: Stream, host: str, timeout_s: float = 10.0) -> None:
        if not _HOST.match(host):
            raise ValueError(f"{host!r} is no Host header")
        self._stream = stream
        self._host = host
        self._timeout_s = timeout_s
        self._deadline = 0.0
        self._began = False
        self._buffer = bytearray()
        self.usable = True
        """False when nothing more can be asked on this stream: the server closes it, or an answer was not read whole."""
        self.answered = False
        """True when something was answered on this stream."""

    def get(self, path: str) -> HttpAnswer:
        """Ask and read the answer.

        Raises Unreachable: ``closed`` before its first byte, ``no_http`` where it broke off or is none, ``no_answer``; ValueError
        for a path that is none.
        """
        if not _PATH.match(path):
            raise ValueError(f"{path!r} is no path")
        if not self.usable:
            raise gone(self._stream.where)
        self.usable = False  # until the answer was read whole
        self._began, self._deadline = False, time.monotonic() + self._timeout_s
        request = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nUser-Agent: lbsync\r\nAccept: */*\r\n\r\n"
        self._stream.send(request.encode("ascii"))
        try:
            status, fields, lasting = self._head()
            body, whole = self._body(status, fields)
        except (ValueError, IndexError) as error:
            raise Unreachable("the answer is not HTTP", where=self._stream.where, code=NO_HTTP) from error
        self.usable, self.answered = lasting and whole, True
        return HttpAnswer(status=status, body=body)

    def _head(self) -> tuple[int, dict[str, str], bool]:
        """Status, header fields by lower-case name, and whether the connection lasts."""
        while True:
            version_line, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            version, status = version_line.split(" ", 2)[:2]
            if not version.startswith("HTTP/1."):
                raise ValueError(version)
            if int(status) not in _INFORMATIONAL:
                break
        pairs = (line.partition(":") for line in lines)
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return int(status), fields, version == "HTTP/1.1" and fields.get("connection", "").lower() != "close"

    def _body(self, status: int, fields: dict[str, str]) -> tuple[bytes, bool]:
        """The body's beginning, and whether its end was reached with the connection left usable."""
        if status in _NO_BODY:
            return b"", True
        if "chunked" in fields.get("transfer-encoding", "").lower():
            return self._chunks()
        if "content-length" in fields:
            length = _size(fields["content-length"], 10)
            return self._exactly(min(length, MOST_BODY)), length <= MOST_BODY
        while len(self._buffer) < MOST_BODY and self._more():
            pass
        return bytes(self._buffer[:MOST_BODY]), False

    def _chunks(self) -> tuple[bytes, bool]:
        body = bytearray()
        while size := _size(self._until(b"\r\n").split(b";")[0], 16):
            body += self._exactly(min(size, MOST_BODY - len(body)))
            if len(body) == MOST_BODY:
                return bytes(body), False
            self._exactly(2)
        while self._until(b"\r\n"):
            pass  # trailers
        return bytes(body), True

    def _until(self, end: bytes) -> bytes:
        """All before ``end``, which is taken too."""
        while (found := self._buffer.find(end)) < 0:
            if len(self._buffer) > _MOST_HEAD:
                raise ValueError("no end")
            self._must_come()
        return self._take(found + len(end))[:found]

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._must_come()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _must_come(self) -> None:
        if self._more():
            return
        if not self._began:
            raise gone(self._stream.where)
        raise Unreachable("the answer broke off", where=self._stream.where, code=NO_HTTP)

    def _more(self) -> bool:
        if time.monotonic() > self._deadline:
            raise Unreachable("no whole answer in time", where=self._stream.where, code=NO_ANSWER)
        part = self._stream.receive()
        self._buffer += part
        self._began = self._began or bool(part)
        return bool(part)


def _size(text: str | bytes, base: int) -> int:
    size = int(text, base)
    if size < 0:
        raise ValueError(text)
    return size


def get_all(
    connect: Callable[[], Stream], host: str, paths: Iterable[str], timeout_s: float = 10.0
) -> dict[str, HttpAnswer | TargetError]:
    """Ask for each path, on one connection as long as it lasts; an error stands for the answer that was not had.

    ``connect`` opens a connection, in TLS or not; where it fails its error stands for all paths left, so that a server that is
    down is waited for once. Raises ValueError for a path or a host that is none; what ``connect`` raises besides TargetError.
    """
    answers: dict[str, HttpAnswer | TargetError] = {}
    left = list(dict.fromkeys(paths))
    while left:
        try:
            stream = connect()
        except TargetError as error:
            return answers | dict.fromkeys(left, error)
        with stream:
            conversation = HttpConversation(stream, host, timeout_s)
            while left and conversation.usable:
                try:
                    answers[left[0]] = conversation.get(left[0])
                except TargetError as error:
                    if error.code == CLOSED and conversation.answered:
                        break  # closed between two questions, as servers may: asked anew
                    answers[left[0]] = error
                del left[0]
    return answers
