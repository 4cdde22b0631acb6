"""A small real front end for tests: TLS or plain, answers as it is told, and can misbehave.

Rule of this room: real sockets and real TLS on a port of the kernel's choice; the test decides every answer. It knows nothing
of Exchange.
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync_certs import Bundle

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its path as sent, its Host, and whether it came over TLS."""

    path: str
    host: str
    secure: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. ``close`` announces and closes; ``vanish`` closes without a word after the answer; ``raw`` replaces all.

    ``gate`` delays the answer until it is set.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"ok"
    close: bool = False
    vanish: bool = False
    raw: bytes | None = None
    gate: threading.Event | None = None


DROP = Reply(raw=b"")
"""Close without any answer."""

Respond = Callable[[Asked], Reply]


@dataclass(slots=True)
class Seen:
    """What came in: requests by path and by Host, and connections.

    ``request`` is released once per request, ``refused`` once per handshake that the client broke off.
    """

    paths: Counter[str] = field(default_factory=Counter[str])
    hosts: Counter[str] = field(default_factory=Counter[str])
    connections: int = 0
    request: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    refused: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Front(http.server.ThreadingHTTPServer):
    """Serve ``respond`` until the context ends. ``bundle`` ``None`` means plain HTTP."""

    daemon_threads = True
    block_on_close = True

    def __init__(
        self, respond: Respond, bundle: Bundle | None = None, *, address: str = "127.0.0.1", port: int = 0
    ) -> None:
        """``address`` is an IPv4 or IPv6 literal; ``port`` 0 lets the kernel choose."""
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.respond = respond
        self.seen = Seen()
        self._context = server_context(bundle) if bundle else None
        self._open = set[socket.socket]()
        self.lock = threading.Lock()
        super().__init__((address, port), _Handler)
        self.port = int(self.server_address[1])
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def serve(self, bundle: Bundle) -> None:
        """Serve another certificate to new connections."""
        self._context = server_context(bundle)

    def cut(self) -> None:
        """Close every open connection at once."""
        with self.lock:
            victims = tuple(self._open)
        for victim in victims:
            with contextlib.suppress(OSError):
                victim.shutdown(socket.SHUT_RDWR)

    def finish_request(self, request: object, client_address: object) -> None:
        """Greet in the connection's own thread, so that a slow client holds up nobody."""
        assert isinstance(request, socket.socket)
        request.settimeout(_PATIENCE_S)
        context = self._context
        try:
            connection = context.wrap_socket(request, server_side=True) if context else request
        except OSError:
            self.seen.refused.release()
            return
        with contextlib.suppress(OSError):
            with self.lock:
                self._open.add(connection)
                self.seen.connections += 1
            try:
                _Handler(connection, client_address, self)
            finally:
                with self.lock:
                    self._open.discard(connection)
                connection.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news."""

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, cut what is open, and wait for every thread."""
        self.shutdown()
        self._thread.join()
        self.socket.close()
        self.cut()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer

    def do_GET(self) -> None:
        """Answer as the test says."""
        front = self.server
        assert isinstance(front, Front)
        secure = isinstance(self.connection, ssl.SSLSocket)
        asked = Asked(self.path, self.headers.get("Host", ""), secure)
        with front.lock:
            front.seen.paths[asked.path] += 1
            front.seen.hosts[asked.host] += 1
        reply = front.respond(asked)
        front.seen.request.release()
        if reply.gate is not None:
            reply.gate.wait(_PATIENCE_S)
        self.close_connection = reply.close or reply.vanish or reply.raw is not None
        if reply.raw is not None:
            self.wfile.write(reply.raw)
            return
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        if reply.close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests read ``seen``, not the screen."""


def server_context(bundle: Bundle) -> ssl.SSLContext:
    """A server's context for a bundle; its key is in a file of the owner's only for the moment in which it is read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # mode 0700
        path = Path(folder) / "bundle.pem"
        path.write_bytes(bundle.pem())
        context.load_cert_chain(path)
    return context
