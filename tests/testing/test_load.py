"""The load generator: it keeps a listener busy, and a server that drops a request is always found out."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lbsync.testing.ca import TestCA
from lbsync.testing.load import Load, LoadSpec

_NAME = "mail.contoso.test"


class _Server(socketserver.ThreadingTCPServer):
    """Answers 200 to everything; ``requests`` is notified of each request; ``drop_after`` closes a connection in silence."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, context: ssl.SSLContext, *, drop_after: int = 0, status: int = 200, polite: bool = False
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = context
        self.drop_after = drop_after
        self.status = status
        self.polite = polite
        self.seen = threading.Semaphore(0)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that stops is no news."""


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        with server.context.wrap_socket(self.request, server_side=True) as tls:
            lines = tls.makefile("rb")
            count = 0
            while line := lines.readline():
                while lines.readline().strip():
                    pass
                count += 1
                server.seen.release()
                if server.drop_after and count > server.drop_after:
                    return
                if b" /wait " in line:
                    threading.Event().wait()
                last = b"Connection: close\r\n" if server.polite and count == 2 else b""
                tls.sendall(f"HTTP/1.1 {server.status} x\r\n".encode() + last + b"Content-Length: 2\r\n\r\nok")
                if last:
                    return


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A server's context, and the CA to trust."""
    authority = TestCA.new()
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    Path(pem).write_bytes(authority.issue([_NAME], key="ec256").pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, authority.root_pem.decode()


@contextmanager
def _serving(
    context: ssl.SSLContext, *, drop_after: int = 0, status: int = 200, polite: bool = False
) -> Generator[_Server]:
    with _Server(context, drop_after=drop_after, status=status, polite=polite) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _spec(server: _Server, ca_pem: str, *, fresh: int = 2, keep: int = 2, long: int = 0) -> LoadSpec:
    host, port = server.server_address[:2]
    return LoadSpec(
        address=str(host), port=int(port), server_name=_NAME, ca_pem=ca_pem, paths=("/owa/", "/ews/"), fresh=fresh, keep=keep,
        pause_s=0.001, long=long, long_request=f"GET /wait HTTP/1.1\r\nHost: {_NAME}\r\n\r\n".encode(),
    )  # fmt: skip


def _run(server: _Server, spec: LoadSpec, requests: int) -> Load:
    with Load(spec) as load:
        for _ in range(requests):
            assert server.seen.acquire(timeout=30)
    return load


def test_a_steady_server_loses_nothing(tls: tuple[ssl.SSLContext, str]) -> None:
    """Handshakes, requests and the leaf are counted, and nothing fails."""
    with _serving(tls[0]) as server:
        result = _run(server, _spec(server, tls[1], long=1), 60).result
    assert not result.failures
    assert result.requests >= 59
    assert len(result.leaves) == 1
    assert result.leaves.total() == result.handshakes
    assert result.cut_by_us == 1
    assert result.long_polls == 0


def test_a_silent_close_is_a_failure(tls: tuple[ssl.SSLContext, str]) -> None:
    """A keep-alive connection closed under a request counts, although the next connection works."""
    with _serving(tls[0], drop_after=3) as server:
        result = _run(server, _spec(server, tls[1]), 60).result
    assert result.failed >= 2
    assert all(kind.startswith("keep: IncompleteReadError") for kind in result.failures)


def test_an_announced_close_is_polite(tls: tuple[ssl.SSLContext, str]) -> None:
    """A connection that ends with ``Connection: close`` loses nobody's request."""
    with _serving(tls[0], polite=True) as server:
        result = _run(server, _spec(server, tls[1]), 60).result
    assert not result.failures


def test_an_unexpected_status_is_a_failure(tls: tuple[ssl.SSLContext, str]) -> None:
    """A 503 is counted as what it is."""
    with _serving(tls[0], status=503) as server:
        result = _run(server, _spec(server, tls[1], keep=0), 20).result
    assert set(result.failures) == {"fresh: status 503"}
    assert result.failed == result.requests


def test_a_wrong_certificate_is_a_failure(tls: tuple[ssl.SSLContext, str]) -> None:
    """A listener that does not chain to the CA given never gets a request."""
    other = TestCA.new("another CA").root_pem
    with _serving(tls[0]) as server:
        spec = _spec(server, other.decode())
        with Load(spec) as load:
            while not load.result.failures:
                threading.Event().wait(0.01)
    assert load.result.requests == 0
