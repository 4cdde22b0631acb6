"""A client that sends what it is told, byte for byte, and reads whatever comes back.

Rule of this file: it knows HTTP/1.1 and nothing of balancers; no library stands between a test and the wire.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

HOST = "mail.contoso.test"
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True)
class Answer:
    """One HTTP response; header names in lower case, ``all_headers`` in order."""

    status: int
    all_headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """The last value of each header."""
        return dict(self.all_headers)

    @property
    def scheme(self) -> str:
        """How the request reached the server: http, https, or nothing for an answer of the balancer's own."""
        return self._told("scheme")

    @property
    def server(self) -> str:
        """The server that answered; empty for an answer that does not tell."""
        return self._told("server")

    @property
    def ends(self) -> str:
        """Where the request ended: the scheme of a server's port, else the status of the balancer's own answer."""
        return self.scheme or str(self.status)

    def _told(self, key: str) -> str:
        try:
            return str(json.loads(self.body)[key])
        except (ValueError, KeyError):
            return ""


class Answers:
    """The answers that come over one connection, in their order, interim ones (1xx) among them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = bytearray()

    def next(self, *, method: str = "GET") -> Answer:
        """The next answer, to a request of this method. Raises ConnectionError where the connection is closed before its end."""
        head = self._until(b"\r\n\r\n", "before an answer").decode("latin-1")
        first, *rest = head.split("\r\n")
        pairs = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in rest))
        status = int(first.split()[1])
        return Answer(status, pairs, b"" if self._bodiless(status, method) else self._body(dict(pairs)))

    def chunk(self) -> bytes:
        """One chunk of a body, without waiting for the next one; empty for the last."""
        size = int(self._until(b"\r\n", "within an answer").split(b";")[0], 16)
        found = self._take(size)
        self._until(b"\r\n", "within an answer")
        return found

    def head(self) -> bytes:
        """The head of an answer alone, so that its body can be read as it comes."""
        return self._until(b"\r\n\r\n", "before an answer")

    def skip(self, length: int) -> None:
        """Read so many bytes of a body and keep none."""
        while len(self._data) < length:
            length -= len(self._data)
            self._data = bytearray()
            self._more("within an answer")
        del self._data[:length]

    @staticmethod
    def _bodiless(status: int, method: str) -> bool:
        return method == "HEAD" or status < 200 or status in _BODILESS

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self._chunks())
        return self._take(int(headers.get("content-length", "0")))

    def _chunks(self) -> Iterator[bytes]:
        while part := self.chunk():
            yield part

    def _until(self, end: bytes, when: str) -> bytes:
        while end not in self._data:
            self._more(when)
        found, _, rest = bytes(self._data).partition(end)
        self._data = bytearray(rest)
        return found

    def _take(self, length: int) -> bytes:
        while len(self._data) < length:
            self._more("within an answer")
        found, self._data = bytes(self._data[:length]), self._data[length:]
        return found

    def _more(self, when: str) -> None:
        part = self._connection.recv(65536)
        if not part:
            raise ConnectionError(f"closed {when}")
        self._data += part


def request(target: str, *, method: str = "GET", headers: str = "", host: str = HOST) -> bytes:
    """The bytes of one request without a body; ``headers`` are whole lines."""
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode("latin-1")


def exchange(
    connection: socket.socket, target: str, *, method: str = "GET", headers: str = "", host: str = HOST
) -> Answer:
    """One request and its answer on an open connection. Raises ConnectionError where it is closed before the end."""
    connection.sendall(request(target, method=method, headers=headers, host=host))
    return Answers(connection).next(method=method)
