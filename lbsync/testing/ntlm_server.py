"""A server whose logins belong to the TCP connection, as IIS has them with NTLM: whoever comes over it next is that person.

Rule of this room: it mints no NTLM message (``lbsync.lab`` does): a login is the words ``NTLM T1``, answered by a challenge, and
``NTLM T3:name`` on the same connection. What it is for is the connection: a balancer that gives one client's to another is
seen in the name answered.
"""

from __future__ import annotations

import json
import socket
import ssl
import tempfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from lbsync_certs import Bundle

Scheme = Literal["http", "https"]
_HEALTH = "/healthcheck.htm"
_SCHEMES = frozenset({"NTLM", "Negotiate"})
_FIRST, _LAST = "T1", "T3:"


@dataclass(slots=True)
class Session:
    """One connection: requests that came over it (health checks aside), and everybody it ever was."""

    scheme: Scheme
    requests: int = 0
    users: list[str] = field(default_factory=list[str])


class NtlmServer:
    """Listens on ``address`` on two ports of the kernel's choice: plain, and TLS with ``leaf``.

    A connection without a login is answered 401, one with a login 200 and who it is, as JSON. Health checks are answered
    200 to anybody. ``sessions`` are all connections so far.
    """

    def __init__(self, name: str, leaf: Bundle, address: str = "127.0.0.1") -> None:
        self.name = name
        self.address = address
        self.sessions: list[Session] = []
        self._plain = _Listener(address, self, "http", None)
        self._tls = _Listener(address, self, "https", _context(leaf))
        self._threads = [
            threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
            for listener in (self._plain, self._tls)
        ]

    @property
    def http_port(self) -> int:
        """The plain port."""
        return int(self._plain.server_address[1])

    @property
    def https_port(self) -> int:
        """The TLS port."""
        return int(self._tls.server_address[1])

    @property
    def users(self) -> frozenset[str]:
        """Everybody who ever logged on."""
        return frozenset(user for session in self.sessions for user in session.users)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in (self._plain, self._tls):
            listener.shutdown()
            listener.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: str, owner: NtlmServer, scheme: Scheme, context: ssl.SSLContext | None) -> None:
        super().__init__((address, 0), _Connection)
        self.owner = owner
        self.scheme: Scheme = scheme
        self._context = context

    def finish_request(self, request: object, client_address: object) -> None:
        """TLS in the connection's own thread, so that a slow handshake holds nobody up."""
        assert isinstance(request, socket.socket)
        if self._context is None:
            super().finish_request(request, client_address)
            return
        with self._context.wrap_socket(request, server_side=True) as tls:
            super().finish_request(tls, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or fails its handshake, is no news."""


class _Connection(BaseHTTPRequestHandler):
    """One connection from its first request to its last; the login lives here and nowhere else."""

    protocol_version = "HTTP/1.1"
    timeout = 300
    disable_nagle_algorithm = True  # an answer is two writes

    def setup(self) -> None:
        """Nobody yet."""
        super().setup()
        self.user: str | None = None
        self.challenged = False
        self.session: Session | None = None

    def do_GET(self) -> None:
        """Log on, or say who this connection is."""
        assert isinstance(self.server, _Listener)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith(_HEALTH):
            self._send(200)
            return
        if self.session is None:
            self.session = Session(self.server.scheme)
            self.server.owner.sessions.append(self.session)
        self.session.requests += 1
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        challenge = self._log_on(token) if scheme in _SCHEMES else ""
        if self.user is None:
            offered = (f"{scheme} {challenge}",) if challenge else ("Negotiate", "NTLM")
            self._send(401, *(("WWW-Authenticate", each) for each in offered))
            return
        self._send(200)

    do_POST = do_GET  # noqa: N815 -- BaseHTTPRequestHandler's name

    def _log_on(self, token: str) -> str:
        """The challenge to answer with; empty where there is none. Whatever else is sent ends the login that was."""
        known, self.user, challenged = self.user, None, self.challenged
        self.challenged = token == _FIRST
        if self.challenged:
            return "T2"
        if token.startswith(_LAST) and challenged:
            self.user = token.removeprefix(_LAST)
            if self.session is not None and self.user != known:
                self.session.users.append(self.user)
        return ""

    def _send(self, status: int, *extra: tuple[str, str]) -> None:
        assert isinstance(self.server, _Listener)
        told = {"server": self.server.owner.name, "scheme": self.server.scheme, "user": self.user}
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in extra:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- BaseHTTPRequestHandler's name
        """Quiet."""


def _context(leaf: Bundle) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # load_cert_chain reads files only; this one is readable by its owner, and gone at once.
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        Path(file.name).write_bytes(leaf.pem())
        context.load_cert_chain(file.name)
    return context
