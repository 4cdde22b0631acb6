"""TLS on both sides of a simulated BIG-IP: what is served, when it changes, and what is verified."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from lbsync.lab.bigip.plane import Config
from lbsync.testing.backend import RecordingServer
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle
from tests.balancers.client import exchange
from tests.lab.bigip.traffic_device import HOST, Device, Object, is_reset, plain, secure, trusting, turns_away


@pytest.fixture(scope="module")
def ca() -> TestCA:
    """Who signs everything."""
    return TestCA.new()


@pytest.fixture(scope="module")
def leaf(ca: TestCA) -> Bundle:
    """What clients meet first."""
    return ca.issue([HOST], key="ec256")


@pytest.fixture
def server(ca: TestCA) -> Iterator[RecordingServer]:
    """A server whose certificate is for ex01.contoso.test."""
    with RecordingServer("EX01", ca.issue(["ex01.contoso.test"], key="ec256")) as running:
        yield running


@pytest.fixture
def device(tmp_path: Path, server: RecordingServer, leaf: Bundle) -> Iterator[Device]:
    """A device with both of the server's ports as pools."""
    with Device(tmp_path) as running:
        running.pool("clear", ("127.0.0.1", server.http_port))
        running.pool("tls", ("127.0.0.1", server.https_port))
        running.http()
        running.client_ssl("clientssl", leaf)
        yield running


def _shown(tunnel: ssl.SSLSocket) -> str:
    der = tunnel.getpeercert(binary_form=True)
    assert der is not None
    return sha256(der).hexdigest()


def _own(body: Object) -> Object:
    return {key: value for key, value in body.items() if key not in {"name", "partition", "fullPath"}}


def _print(leaf: Bundle) -> str:
    return sha256(leaf.leaf.public_bytes(Encoding.DER)).hexdigest()


def test_a_client_gets_certificate_and_chain(device: Device, ca: TestCA, leaf: Bundle) -> None:
    """A client that knows the root alone verifies the leaf, and its request reaches the server in clear."""
    virtual = device.virtual("mail", "http", "clientssl", pool="/Common/clear")
    device.apply()
    with secure(virtual, ca) as client:
        assert _shown(client) == _print(leaf)
        assert exchange(client, "/owa/").scheme == "http"


def test_an_encrypted_key_and_the_old_properties(device: Device, ca: TestCA, leaf: Bundle) -> None:
    """A profile of an old release names its files at its top level; a key may be under a passphrase."""
    chain = device.certificate("old", leaf)
    device.files[chain["key"]] = leaf.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    device.put("ltm/profile/client-ssl", "clientssl-old", passphrase="secret", certKeyChain=[], **_own(chain))
    virtual = device.virtual("mail", "http", "clientssl-old", pool="/Common/clear")
    device.apply()
    with secure(virtual, ca) as client:
        assert _shown(client) == _print(leaf)


def test_no_key_stays_on_the_disk(device: Device, ca: TestCA, tmp_path: Path) -> None:
    """The file that the ssl module read is gone once the configuration runs."""
    device.virtual("mail", "http", "clientssl", pool="/Common/clear")
    device.apply()
    assert list(tmp_path.iterdir()) == []


def test_a_new_certificate_is_for_new_connections(device: Device, ca: TestCA, leaf: Bundle) -> None:
    """An open connection goes on under the certificate it was opened with; the next one meets the new one."""
    virtual = device.virtual("mail", "http", "clientssl", pool="/Common/clear")
    device.apply()
    renewed = ca.issue([HOST], key="ec256")
    with secure(virtual, ca) as early:
        assert exchange(early, "/owa/").status == 200
        device.client_ssl("clientssl", renewed)
        device.apply()
        with secure(virtual, ca) as late:
            assert _shown(late) == _print(renewed)
            assert exchange(late, "/owa/").status == 200
        assert exchange(early, "/owa/").status == 200
        assert _shown(early) == _print(leaf)


def test_names_choose_certificates(device: Device, ca: TestCA, leaf: Bundle) -> None:
    """Of several profiles the one with the name asked for is served, the default one to everybody else."""
    other = ca.issue(["autodiscover.contoso.test"], key="ec256")
    wild = ca.issue(["*.lab.contoso.test"], key="ec256")
    device.client_ssl("clientssl-other", other, serverName="Autodiscover.contoso.test")
    device.client_ssl("clientssl-wild", wild, serverName="*.lab.contoso.test")
    device.client_ssl("clientssl", leaf, sniDefault="true")
    profiles = ("clientssl-other", "clientssl-wild", "clientssl")
    virtual = device.virtual("mail", "http", *profiles, pool="/Common/clear")
    device.apply()
    for name, wanted in (
        ("autodiscover.contoso.test", other), ("a.lab.contoso.test", wild), (HOST, leaf),
    ):  # fmt: skip
        with secure(virtual, ca, name=name) as client:
            assert _shown(client) == _print(wanted)
    nameless = trusting(ca)
    nameless.check_hostname = False
    with plain(virtual) as raw, nameless.wrap_socket(raw) as client:
        assert _shown(client) == _print(leaf)


@pytest.mark.parametrize(
    ("options", "version"),
    [
        (["dont-insert-empty-fragments", "no-tlsv1.3"], "TLSv1.2"),
        ("{ dont-insert-empty-fragments no-tlsv1.3 }", "TLSv1.2"),
        ("{ no-sslv3 no-tlsv1 no-tlsv1.1 }", "TLSv1.3"),
        ("none", "TLSv1.3"),
        ("{ no-tlsv1.2 }", "TLSv1.3"),
    ],
)
def test_options_choose_the_version(
    device: Device, ca: TestCA, leaf: Bundle, options: list[str] | str, version: str
) -> None:
    """A list as 13.0 has it and a string as 14.1 has it mean the same."""
    device.client_ssl("clientssl", leaf, tmOptions=options)
    virtual = device.virtual("mail", "http", "clientssl", pool="/Common/clear")
    device.apply()
    with secure(virtual, ca) as client:
        assert client.version() == version


@pytest.mark.parametrize("limit", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("size", "ticket"), [(0, "disabled"), (262144, "disabled"), (0, "enabled")], ids=["neither", "cache", "ticket"]
)
def test_sessions_are_resumed_where_the_profile_says_so(
    device: Device, ca: TestCA, limit: ssl.TLSVersion, size: int, ticket: str
) -> None:
    """A client that offers its session again gets it where there is a cache or a ticket, and a full handshake else."""
    device.objects["ltm/profile/client-ssl"]["/Common/clientssl"].update(cacheSize=size, sessionTicket=ticket)
    virtual = device.virtual("mail", "http", "clientssl", pool="/Common/clear")
    device.apply()
    context = trusting(ca)
    context.maximum_version = limit
    with secure(virtual, ca, context=context) as client:
        assert exchange(client, "/owa/").status == 200
        session = client.session
    with secure(virtual, ca, context=context, session=session) as client:
        assert exchange(client, "/owa/").status == 200
        assert client.session_reused is (size > 0 or ticket == "enabled")


def test_a_resumed_session_keeps_the_certificate_it_began_with(device: Device, ca: TestCA, leaf: Bundle) -> None:
    """Why a check of a renewal needs a full handshake: the cache outlives the certificate."""
    virtual = device.virtual("mail", "http", "clientssl", pool="/Common/clear")
    device.apply()
    context = trusting(ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with secure(virtual, ca, context=context) as client:
        session = client.session
    renewed = ca.issue([HOST], key="ec256")
    device.client_ssl("clientssl", renewed)
    device.apply()
    with secure(virtual, ca, context=context, session=session) as client:
        assert client.session_reused
        assert _shown(client) == _print(leaf)
    with secure(virtual, ca, context=context) as client:
        assert _shown(client) == _print(renewed)


def test_a_client_in_clear_on_the_tls_port(device: Device, ca: TestCA) -> None:
    """Somebody who speaks HTTP to TLS gets nothing, and disturbs nobody."""
    virtual = device.virtual("mail", "http", "clientssl", pool="/Common/clear")
    device.apply()
    with plain(virtual) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        heard = b""
        with suppress(ConnectionResetError):
            while piece := client.recv(65536):
                heard += piece
        assert b"HTTP" not in heard
    with secure(virtual, ca) as other:
        assert exchange(other, "/owa/").status == 200


def test_a_server_is_verified(device: Device, ca: TestCA, server: RecordingServer) -> None:
    """With the right authority and the right name, the request goes on over TLS."""
    device.server_ssl("serverssl", ca, authenticateName="ex01.contoso.test", serverName="ex01.contoso.test")
    virtual = device.virtual("mail", "http", "clientssl", "serverssl", pool="/Common/tls")
    device.apply()
    with secure(virtual, ca) as client:
        assert exchange(client, "/ews/").scheme == "https"


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_server_that_is_not_verified_is_not_spoken_to(
    device: Device, ca: TestCA, server: RecordingServer, wrong: str
) -> None:
    """The client's connection is reset; nothing reaches the server, on either port."""
    if wrong == "authority":
        device.server_ssl("serverssl", TestCA.new("somebody else"))
    else:
        device.server_ssl("serverssl", ca, authenticateName="ex02.contoso.test")
    virtual = device.virtual("mail", "http", "serverssl", pool="/Common/tls")
    device.apply()
    with plain(virtual) as client:
        client.sendall(b"GET /ews/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert is_reset(client)
    assert server.arrived == []


def test_a_server_need_not_be_verified(device: Device, server: RecordingServer) -> None:
    """With peerCertMode ignore it takes any certificate, whatever name is wanted."""
    device.server_ssl("serverssl", authenticateName="nobody")
    virtual = device.virtual("mail", "http", "serverssl", pool="/Common/tls")
    device.apply()
    with plain(virtual) as client:
        assert exchange(client, "/ews/").scheme == "https"


def test_a_server_that_speaks_clear_is_not_spoken_to(device: Device, server: RecordingServer) -> None:
    """TLS to a port that has none ends with a reset."""
    device.server_ssl("serverssl")
    virtual = device.virtual("mail", "http", "serverssl", pool="/Common/clear")
    device.apply()
    with plain(virtual) as client:
        client.sendall(b"GET /ews/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert is_reset(client)
    assert server.arrived == []


@pytest.mark.parametrize(
    ("kind", "properties", "said"),
    [
        ("client-ssl", {"certKeyChain": []}, "has no certificate"),
        ("client-ssl", {"certKeyChain": [{"cert": "/Common/x", "key": "/Common/y"}]}, "there is no file /Common/x"),
        ("client-ssl", {"tmOptions": "{ no-tlsv1.2 no-tlsv1.3 }"}, "neither TLS 1.2 nor TLS 1.3"),
        ("server-ssl", {"peerCertMode": "require"}, "trusts nobody"),
    ],
)
def test_a_profile_that_cannot_work(device: Device, kind: str, properties: dict[str, object], said: str) -> None:
    """Its virtual server resets every connection, and the data plane says why; others go on."""
    body = device.objects["ltm/profile/client-ssl"]["/Common/clientssl"] if kind == "client-ssl" else {}
    device.put(
        f"ltm/profile/{kind}", "broken", **(properties if kind == "server-ssl" else {**_own(body), **properties})
    )
    broken = device.virtual("mail", "http", "broken", pool="/Common/clear")
    fine = device.virtual("fine", "http", pool="/Common/clear")
    device.traffic.apply(Config(device.objects, device.files))
    (fault,) = device.traffic.faults
    assert said in fault
    assert turns_away(broken)
    with plain(fine) as client:
        assert exchange(client, "/owa/").status == 200


def test_keys_that_do_not_fit_are_refused(device: Device, ca: TestCA, leaf: Bundle) -> None:
    """A certificate with somebody else's key is never served."""
    chain = device.certificate("mixed", leaf)
    device.files[chain["key"]] = device.files[device.certificate("other", ca.issue([HOST], key="ec256"))["key"]]
    device.put("ltm/profile/client-ssl", "clientssl-mixed", certKeyChain=[chain])
    device.virtual("mail", "http", "clientssl-mixed", pool="/Common/clear")
    device.traffic.apply(Config(device.objects, device.files))
    assert len(device.traffic.faults) == 1


def test_a_client_that_never_says_hello(device: Device, ca: TestCA, leaf: Bundle) -> None:
    """The handshakeTimeout ends a connection on which no handshake comes."""
    device.client_ssl("clientssl", leaf, handshakeTimeout="1")
    virtual = device.virtual("mail", "http", "clientssl", pool="/Common/clear")
    device.apply()
    with plain(virtual) as client, suppress(ConnectionResetError):
        assert client.recv(1) == b""
