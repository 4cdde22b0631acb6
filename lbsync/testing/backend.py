"""A client access server's front end as a balancer sees it, recording what reaches it in clear and over TLS.

Rule of this room: it answers every path and remembers it; it is no Exchange (``lbsync.lab`` is).
"""

from __future__ import annotations

import json
import socket
import ssl
import tempfile
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from lbsync_certs import Bundle

Scheme = Literal["http", "https"]
_HEALTH = "/healthcheck.htm"


@dataclass(frozen=True, slots=True)
class Arrived:
    """One request, health checks aside; ``path`` as it came, ``headers`` by lower-case name, ``body`` whole.

    ``connection`` is the peer's port: requests that share it came on one connection.
    """

    scheme: Scheme
    path: str
    headers: dict[str, str]
    connection: int
    method: str = "GET"
    body: bytes = b""


class RecordingServer:
    """Listens on ``address`` on two ports of the kernel's choice: plain, and TLS with ``leaf``.

    ``healthy`` holds the schemes whose health checks answer 200 (403 otherwise, as with Require SSL). ``hold`` may be cleared
    to keep requests for ``/…/wait`` waiting until it is set. ``/…/ntlm`` asks for NTLM and accepts any answer. ``answers``
    maps a path to extra response headers. It takes Outlook Anywhere's methods too, and bodies of either kind.
    """

    def __init__(self, name: str, leaf: Bundle, address: str = "127.0.0.1") -> None:
        self.name = name
        self.address = address
        self.healthy: set[Scheme] = {"http", "https"}
        self.arrived: list[Arrived] = []
        self.answers: dict[str, list[tuple[str, str]]] = {}
        self.hold = threading.Event()
        self.hold.set()
        self.waiting = threading.Semaphore(0)
        self._plain = _Listener((address, 0), self, "http")
        self._tls = _Listener((address, 0), self, "https")
        self._tls.context = _context(leaf)
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

    def paths(self, scheme: Scheme) -> list[str]:
        """Paths that arrived over one scheme."""
        return [item.path for item in self.arrived if item.scheme == scheme]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hold.set()
        for listener in (self._plain, self._tls):
            listener.shutdown()
            listener.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], owner: RecordingServer, scheme: Scheme) -> None:
        super().__init__(address, _Handler)
        self.owner = owner
        self.scheme: Scheme = scheme
        self.context: ssl.SSLContext | None = None

    def finish_request(self, request: object, client_address: object) -> None:
        """TLS in the connection's own thread, so that a slow handshake holds nobody up."""
        assert isinstance(request, socket.socket)
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with self.context.wrap_socket(request, server_side=True) as tls:
            super().finish_request(tls, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or fails its handshake, is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 300
    # Head and body are two writes: the second would wait for the first one's delayed ACK.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer with what was asked, as JSON."""
        assert isinstance(self.server, _Listener)
        owner, scheme = self.server.owner, self.server.scheme
        if self.path.endswith(_HEALTH):
            self._send(200 if scheme in owner.healthy else 403, b"", ())
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.requestline.split()[1]  # self.path has lost slashes at its beginning
        owner.arrived.append(
            Arrived(scheme, path, headers, int(self.client_address[1]), self.command, self._body(headers))
        )
        if self.path.endswith("/wait"):
            owner.waiting.release()
            owner.hold.wait(60)
        if self.path.endswith("/ntlm") and "authorization" not in headers:
            self._send(401, b"", [("WWW-Authenticate", "NTLM")])
            return
        body = json.dumps({"server": owner.name, "scheme": scheme, "path": path}).encode()
        self._send(200, body, owner.answers.get(path, ()))

    # BaseHTTPRequestHandler's names
    do_POST = do_GET  # noqa: N815
    do_HEAD = do_GET  # noqa: N815
    do_OPTIONS = do_GET  # noqa: N815
    do_RPC_IN_DATA = do_GET  # noqa: N815
    do_RPC_OUT_DATA = do_GET  # noqa: N815

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return body

    def _send(self, status: int, body: bytes, extra: object) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in extra if isinstance(extra, (list, tuple)) else ():
            self.send_header(str(name), str(value))
        self.end_headers()
        if self.command != "HEAD":
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
