"""A handshake says what was served, whatever it was."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lbsync.errors import CertificateError, Unreachable
from lbsync.kit.handshake import handshake, open_tls, where
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle

NAME = "mail.contoso.test"
CA = TestCA.new()
ROOT = CA.root_pem.decode()


@contextmanager
def listener(serve: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Generator[int]:
    """A TCP listener that hands each connection to ``serve``; its port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:

        def loop() -> None:
            while True:
                try:
                    plain, _ = server.accept()
                except OSError:
                    return
                with plain:
                    serve(plain)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def tls(bundle: Bundle, folder: Path, seen: list[str | None] | None = None) -> Callable[[socket.socket], None]:
    """Serve a bundle, note the names asked for and whether a session was resumed."""
    path = folder / f"{bundle.fingerprint}.pem"
    path.write_bytes(bundle.pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    if seen is not None:
        context.sni_callback = lambda _tls, name, _context: seen.append(name)

    def serve(plain: socket.socket) -> None:
        try:
            with context.wrap_socket(plain, server_side=True) as secure:
                assert not secure.session_reused
                secure.recv(1)
        except OSError:
            return

    return serve


@pytest.fixture
def local(tmp_path: Path) -> Generator[tuple[Bundle, int, list[str | None]]]:
    """A good listener on loopback."""
    bundle, seen = CA.issue([NAME, "bücher.test".encode("idna").decode(), "127.0.0.1", "::1"]), list[str | None]()
    with listener(tls(bundle, tmp_path, seen)) as port:
        yield bundle, port, seen


def test_ours_is_trusted_and_named(local: tuple[Bundle, int, list[str | None]]) -> None:
    """Leaf, trust, name and version of a good listener; the name goes out as SNI, every time in a full handshake."""
    bundle, port, seen = local
    for _ in range(3):
        served = handshake("127.0.0.1", port, NAME, ca_pem=ROOT)
        assert served.fingerprint == bundle.fingerprint
        assert served.info == bundle.info
        assert served.trusted
        assert served.trust_error is None
        assert served.name_ok
        assert served.tls_version == "TLSv1.3"
    assert seen == [NAME] * 3


def test_the_chain_as_served_where_python_can_tell(local: tuple[Bundle, int, list[str | None]]) -> None:
    """Python 3.13 and later show the intermediate; before, the value says that nobody knows."""
    chain = handshake("127.0.0.1", local[1], NAME, ca_pem=ROOT).chain
    if sys.version_info < (3, 13):
        assert chain is None
    else:
        from lbsync_certs.info import describe

        assert chain == (describe(CA.issuer.certificate).fingerprint,)


def test_idn_names_go_out_as_a_labels(local: tuple[Bundle, int, list[str | None]]) -> None:
    """The operator writes ``bücher.test``, the wire carries its A-label."""
    assert handshake("127.0.0.1", local[1], "bücher.test", ca_pem=ROOT).name_ok
    assert local[2] == ["xn--bcher-kva.test"]


def test_addresses_are_names_too(local: tuple[Bundle, int, list[str | None]], tmp_path: Path) -> None:
    """IPv4 and IPv6 literals as server names match the certificate's addresses, and are not sent as SNI."""
    bundle, port, seen = local
    assert handshake("localhost", port, "127.0.0.1", ca_pem=ROOT).name_ok
    assert not handshake("127.0.0.1", port, "127.0.0.2", ca_pem=ROOT).name_ok
    assert seen == [None, None]
    with listener(tls(bundle, tmp_path), "::1") as six:
        for address in ("::1", "[::1]"):
            assert handshake(address, six, "[::1]", ca_pem=ROOT).name_ok


def test_another_name_is_trusted_but_not_named(local: tuple[Bundle, int, list[str | None]]) -> None:
    """Trust and name are told apart."""
    served = handshake("127.0.0.1", local[1], "webmail.contoso.test", ca_pem=ROOT)
    assert (served.trusted, served.name_ok) == (True, False)


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        (TestCA.new("stranger").issue([NAME], key="ec256"), "unable to get local issuer"),
        (TestCA.self_signed([NAME], key="ec256"), "self-signed"),
        (CA.issue([NAME], key="ec256", days=1, not_before=datetime.now(UTC) - timedelta(days=2)), "expired"),
    ],
    ids=["foreign", "self-signed", "expired"],
)
def test_a_wrong_certificate_is_seen_all_the_same(bundle: Bundle, words: str, tmp_path: Path) -> None:
    """The fingerprint of what was served, and OpenSSL's reason why it is not trusted."""
    with listener(tls(bundle, tmp_path)) as port:
        served = handshake("127.0.0.1", port, NAME, ca_pem=ROOT)
    assert served.fingerprint == bundle.fingerprint
    assert not served.trusted
    assert words in (served.trust_error or "")
    assert served.name_ok


def test_a_leaf_without_its_intermediate_is_not_trusted(tmp_path: Path) -> None:
    """A chain that is not served whole fails, as it would for a client."""
    from dataclasses import replace

    with listener(tls(replace(CA.issue([NAME], key="ec256"), chain=()), tmp_path)) as port:
        assert not handshake("127.0.0.1", port, NAME, ca_pem=ROOT).trusted


def test_the_system_cas_do_not_trust_a_test_ca(local: tuple[Bundle, int, list[str | None]]) -> None:
    """Without a CA text the system's CAs judge."""
    assert not handshake("127.0.0.1", local[1], NAME, ca_pem=None).trusted


def test_no_listener_no_tls_and_silence_are_unreachable() -> None:
    """Each with its code and the address in it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        handshake("127.0.0.1", port, NAME, ca_pem=ROOT)
    assert (caught.value.code, caught.value.where) == ("no_connection", f"127.0.0.1:{port}")

    with listener(lambda plain: plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        with pytest.raises(Unreachable, match="No TLS") as caught:
            handshake("127.0.0.1", port, NAME, ca_pem=ROOT)
        assert caught.value.code == "no_tls"

    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(Unreachable, match="no answer in time") as caught:
            handshake("127.0.0.1", silent.getsockname()[1], NAME, ca_pem=ROOT, timeout_s=0.05)
        assert caught.value.code == "no_tls"


def test_a_ca_text_without_certificates_is_an_error() -> None:
    """Before any connection, with a code."""
    with pytest.raises(CertificateError) as caught:
        handshake("127.0.0.1", 1, NAME, ca_pem="nothing")
    assert caught.value.code == "no_certificate"


def test_http_connections_are_verified(local: tuple[Bundle, int, list[str | None]]) -> None:
    """A connection to speak over checks chain and name, and closes what it refuses."""
    port = local[1]
    with open_tls("127.0.0.1", port, NAME, ca_pem=ROOT) as secure:
        assert secure.version() == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="ostname mismatch"):
        open_tls("127.0.0.1", port, "webmail.contoso.test", ca_pem=ROOT)


def test_addresses_are_written_as_people_write_them() -> None:
    """IPv6 in brackets, once."""
    assert [where(each, 443) for each in ("lb", "::1", "[::1]")] == ["lb:443", "[::1]:443", "[::1]:443"]
