"""A server that a test plays itself, byte for byte: what a balancer does while a request or an answer is still under way.

Rule of this file: health pages are answered; nothing else happens that the test does not do.
"""

from __future__ import annotations

import queue
import socket
import ssl
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync.target import BalancerSpec, Member
from lbsync_certs import Bundle
from tests.balancers.bench import Bench

_PATIENCE_S = 20.0
_HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Peer:
    """The balancer's connection to the server, from the server's side; closed when its context ends."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = b""

    def until(self, end: bytes) -> bytes:
        """What comes until these bytes came, them included. Raises ConnectionError where the connection ends before."""
        while end not in self._data:
            self._more()
        found, end, self._data = self._data.partition(end)
        return found + end

    def skip(self, length: int) -> None:
        """Wait until so many bytes came, and keep none. Raises as ``until``."""
        while len(self._data) < length:
            length -= len(self._data)
            self._data = b""
            self._more()
        self._data = self._data[length:]

    def send(self, data: bytes) -> None:
        """Send this now."""
        self._connection.sendall(data)

    def asks_for_health(self) -> bool:
        """Whether a health page is asked for; nothing is lost for whoever reads on."""
        head = self.until(b"\r\n\r\n")
        self._data = head + self._data
        return head.split(b" ", 2)[1].endswith(b"/healthcheck.htm")

    def close(self) -> None:
        """End it."""
        self._connection.close()

    def _more(self) -> None:
        part = self._connection.recv(65536)
        if not part:
            raise ConnectionError("the balancer closed the connection")
        self._data += part

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ServerByHand:
    """Listens on a port of 127.0.0.1, and over TLS on another with ``leaf``."""

    def __init__(self, leaf: Bundle) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            Path(file.name).write_bytes(leaf.pem())
            self._context.load_cert_chain(file.name)
        self._listeners = {scheme: socket.create_server(("127.0.0.1", 0), backlog=64) for scheme in ("http", "https")}
        self._came: dict[str, queue.Queue[Peer]] = {scheme: queue.Queue() for scheme in self._listeners}

    def accept(self, scheme: str) -> Peer:
        """The next connection to one of both ports, ``http`` or ``https``, whose first request has come."""
        return self._came[scheme].get(timeout=_PATIENCE_S)

    def alone(self, bench: Bench) -> BalancerSpec:
        """What the bench's provider is told, with this server as the only one."""
        plain, tls = (int(listener.getsockname()[1]) for listener in self._listeners.values())
        name = bench.spec.members[0].tls_name
        member = Member(name="EX01", address="127.0.0.1", http_port=plain, https_port=tls, tls_name=name)
        return bench.spec.model_copy(update={"members": (member,)})

    def _listen(self, scheme: str) -> None:
        with suppress(OSError):  # closed at the end
            while True:
                connection, _ = self._listeners[scheme].accept()
                threading.Thread(target=self._receive, args=(scheme, connection), daemon=True).start()

    def _receive(self, scheme: str, connection: socket.socket) -> None:
        connection.settimeout(_PATIENCE_S)
        with suppress(OSError):  # a balancer that hangs up
            if scheme == "https":
                connection = self._context.wrap_socket(connection, server_side=True)
            peer = Peer(connection)
            if not peer.asks_for_health():
                self._came[scheme].put(peer)
                return
            peer.send(_HEALTHY)
        connection.close()

    def __enter__(self) -> Self:
        for scheme in self._listeners:
            threading.Thread(target=self._listen, args=(scheme,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._listeners.values():
            listener.shutdown(socket.SHUT_RDWR)  # wakes whoever accepts
            listener.close()
