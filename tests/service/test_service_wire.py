"""The real server on a port that the kernel gave: who sends too much, too slowly, or in clear."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import uvicorn

from lbsync.errors import ConfigError
from lbsync.service.certificate import OwnCertificate
from lbsync.service.values import Role
from lbsync.service.web.wire import server_config
from lbsync.testing.ca import TestCA
from tests.service.client import TOKEN, access, app_for, write_users

_SOON_S = 0.3
_WAIT_S = 20.0
_VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users, and a certificate for localhost."""
    folder = tmp_path_factory.mktemp("wire")
    write_users(folder / "users.toml", viewer=Role.VIEWER)
    return folder


@contextmanager
def _serving(folder: Path, own: OwnCertificate | None = None) -> Generator[int]:
    """The server as it is configured for the service, but for how long it waits."""
    tls = own is not None
    app = app_for(folder, tls=tls)
    next(layer for layer in app.user_middleware if layer.kwargs.keys() == {"guard"}).kwargs["body_s"] = _SOON_S
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(app, access(tls=tls), own, head_s=_SOON_S))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(_WAIT_S)
        listener.close()
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """The port of a server in clear."""
    with _serving(folder) as port:
        yield port


def _said(connection: socket.socket) -> bytes:
    """Everything until the other side closes; a test that waits in vain fails by time-out."""
    said = b""
    with suppress(ConnectionError, ssl.SSLError):
        while part := connection.recv(65536):
            said += part
    return said


def _open(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_WAIT_S)


@pytest.mark.parametrize("head", [b"", b"G", GET, GET + b"X-Slow: 1\r\n"])
def test_a_head_that_never_ends(port: int, head: bytes) -> None:
    """The connection is closed, whatever part of a request was sent, or none."""
    with _open(port) as connection:
        connection.sendall(head)
        assert _said(connection) == b""


def test_a_head_that_drips(port: int) -> None:
    """A byte now and then does not keep a connection open."""
    with _open(port) as connection:
        connection.sendall(GET)
        connection.settimeout(_SOON_S / 10)
        closed = False
        while not closed:
            try:
                closed = connection.recv(100) == b""
            except TimeoutError:
                connection.sendall(b"X")
            except ConnectionError:
                closed = True


def test_a_second_request_that_never_ends(port: int) -> None:
    """Its head has the same deadline on a connection that is kept."""
    with _open(port) as connection:
        connection.sendall(GET + b"\r\n" + GET)
        said = _said(connection)
        assert said.startswith(b"HTTP/1.1 200")
        assert said.count(b"HTTP/1.1") == 1


def test_a_body_that_never_comes(port: int) -> None:
    """408, and the connection is closed; the token's owner waits no longer than anybody."""
    head = b"POST /api/v1/namespaces/mail/proposals HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
    with _open(port) as connection:
        connection.sendall(head + b"Authorization: Bearer " + TOKEN.encode() + b"\r\n\r\n{")
        said = _said(connection)
        assert said.startswith(b"HTTP/1.1 408")
        assert b'"code":"slow"' in said


@pytest.mark.parametrize(
    "request_",
    [
        GET + b"X-Big: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GET + b"X: y\r\n" * 6_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
        GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
    ],
    ids=["header", "path", "many", "tls", "two-lengths", "no-host"],
)
def test_what_is_no_request(port: int, request_: bytes) -> None:
    """Headers of a megabyte, and what is no HTTP at all: 400 or 431 and closed, nothing kept; the next one is served."""
    with _open(port) as connection:
        with suppress(ConnectionError):  # it may be closed before all of it was sent
            connection.sendall(request_)
        said = _said(connection)
    assert said == b"" or said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    with _open(port) as connection:
        connection.sendall(GET + b"Connection: close\r\n\r\n")
        assert _said(connection).startswith(b"HTTP/1.1 200")


def test_a_body_that_is_too_large(port: int) -> None:
    """Refused by what it announces, before it is sent."""
    with _open(port) as connection:
        head = b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
        connection.sendall(head)
        assert _said(connection).startswith(b"HTTP/1.1 413")


def test_tls(folder: Path) -> None:
    """TLS 1.2 and newer, HSTS, and nothing in clear on the same port."""
    with _serving(folder, OwnCertificate(*_certificate(folder))) as port:
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        with _open(port) as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
            assert connection.version() in {"TLSv1.2", "TLSv1.3"}
            connection.sendall(GET + b"Connection: close\r\n\r\n")
            said = _said(connection)
        assert b"strict-transport-security: max-age=31536000" in said.lower()
        with _open(port) as plain:
            plain.sendall(GET + b"\r\n")
            assert not _said(plain).startswith(b"HTTP/1.1 200")


def test_a_certificate_that_cannot_be_used(folder: Path) -> None:
    """Missing, or not what it should be: nothing is served, and why is told."""
    with pytest.raises(ConfigError, match="certificate_file"):
        server_config(app_for(folder), access(tls=True))
    with pytest.raises(ConfigError, match="cannot be used"):
        OwnCertificate(folder / "none.pem")
    with pytest.raises(ConfigError, match="cannot be used"):
        OwnCertificate(folder / "users.toml", folder / "users.toml")


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """To every handshake from then on, by both versions of TLS, also to who comes back; half a pair is told once, no more."""
    files = _certificate(tmp_path)
    own = OwnCertificate(*files)
    with _serving(tmp_path, own) as port:
        browser = _client(ssl.TLSVersion.TLSv1_3)
        with _open(port) as plain, browser.wrap_socket(plain) as connection:
            first = connection.getpeercert(binary_form=True)
            connection.sendall(GET + b"Connection: close\r\n\r\n")
            assert _said(connection).startswith(b"HTTP/1.1 200")
            session = connection.session
        assert not own.look()
        old_key = files[1].read_bytes()
        _certificate(tmp_path)
        new_key = files[1].read_bytes()
        files[1].write_bytes(old_key)  # the certificate was put there, its key was not yet
        assert not own.look()
        assert not own.look()
        assert [_shown(port, version) for version in _VERSIONS] == [first, first]
        files[1].unlink()
        assert not own.look()
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        assert "the pair of before is shown" in caplog.text
        files[1].write_bytes(new_key)
        assert own.look()
        assert not own.look()
        second, same = (_shown(port, version) for version in _VERSIONS)
        assert first != second == same
        with _open(port) as plain, browser.wrap_socket(plain, session=session) as connection:
            assert connection.getpeercert(binary_form=True) == second
        assert ssl.DER_cert_to_PEM_cert(second).encode() in files[0].read_bytes()


def _shown(port: int, version: ssl.TLSVersion) -> bytes:
    """The certificate that the server shows to who asks by this version, without a name of a host."""
    with _open(port) as plain, _client(version).wrap_socket(plain) as connection:
        return connection.getpeercert(binary_form=True) or b""


def _client(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def _certificate(folder: Path) -> tuple[Path, Path]:
    """The paths of a new certificate for localhost and of its key; its CA lies beside them."""
    ca = TestCA.new()
    bundle = ca.issue(["localhost"], key="ec256")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(bundle.public_pem())
    key.write_bytes(bundle.pem().removeprefix(bundle.public_pem()))
    (folder / "ca.pem").write_bytes(ca.root_pem)
    return certificate, key
