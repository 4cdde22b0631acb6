"""Which server's connection carries which request: the keep-alive trap without one-connect, and what one-connect shares."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lbsync.testing.backend import RecordingServer
from lbsync.testing.ca import TestCA
from lbsync.testing.ntlm_server import NtlmServer
from lbsync_certs import Bundle
from tests.balancers.client import Answers, exchange, request
from tests.lab.bigip.traffic_device import (
    NO_SERVER_SSL,
    RESET,
    SERVER_SSL,
    ByHand,
    Device,
    Object,
    forward,
    path_starts,
    plain,
    redirect,
    until,
)

_NO_KEEP = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def leaf() -> Bundle:
    """A server's certificate, which nobody verifies here."""
    return TestCA.new().issue(["ex01.contoso.test"], key="ec256")


@pytest.fixture
def server(leaf: Bundle) -> Iterator[RecordingServer]:
    """A server."""
    with RecordingServer("EX01", leaf) as running:
        yield running


@pytest.fixture
def device(tmp_path: Path, server: RecordingServer) -> Iterator[Device]:
    """A device that offloads all but /ews/mrsproxy.svc."""
    with Device(tmp_path) as running:
        running.pool("clear", ("127.0.0.1", server.http_port))
        running.pool("tls", ("127.0.0.1", server.https_port))
        running.http()
        running.server_ssl("serverssl")
        running.put("ltm/profile/one-connect", "oneconnect", sourceMask="any", maxReuse=1000, maxSize=10000)
        running.policy(
            "paths",
            ([path_starts("/reset")], [RESET]),
            ([path_starts("/redirect")], [redirect("https://x/")]),
            ([path_starts("/ews/mrsproxy.svc")], [forward("tls"), SERVER_SSL]),
            ([], [forward("clear"), NO_SERVER_SSL]),
        )
        yield running


def test_the_first_request_decides_for_the_connection(device: Device, server: RecordingServer) -> None:
    """Without one-connect MRSProxy rides on the plain connection that the client's first request was given."""
    virtual = device.virtual("mail", "http", "serverssl", policies=("paths",))
    device.apply()
    with plain(virtual) as client:
        assert exchange(client, "/owa/").scheme == "http"
        assert exchange(client, "/ews/mrsproxy.svc").scheme == "http"
    with plain(virtual) as client:
        assert exchange(client, "/ews/mrsproxy.svc").scheme == "https"
        assert exchange(client, "/owa/").scheme == "https"
    assert len({each.connection for each in server.arrived}) == 2


def test_redirects_and_resets_are_for_each_request(device: Device) -> None:
    """They need no server, so they apply to later requests too."""
    virtual = device.virtual("mail", "http", "serverssl", policies=("paths",))
    device.apply()
    with plain(virtual) as client:
        assert exchange(client, "/owa/").status == 200
        assert exchange(client, "/redirect").status == 302
        assert exchange(client, "/owa/").status == 200
        with pytest.raises(ConnectionResetError):
            exchange(client, "/reset")


def test_a_server_that_closed_in_between_is_chosen_anew(device: Device, server: RecordingServer) -> None:
    """The next request of the same client goes where the policy says now."""
    with ByHand() as hand:
        device.pool("clear", ("127.0.0.1", hand.port))
        virtual = device.virtual("mail", "http", "serverssl", policies=("paths",))
        device.apply()
        with plain(virtual) as client:
            client.sendall(request("/owa/"))
            with hand.accept() as peer:
                peer.until(b"\r\n\r\n")
                peer.send(_OK)
                assert Answers(client).next().body == b"ok"
            until(lambda: device.current("clear", hand.port) == 0)
            assert exchange(client, "/ews/mrsproxy.svc").scheme == "https"


def test_a_server_that_says_close_takes_the_client_with_it(device: Device) -> None:
    """Without one-connect its Connection: close reaches the client, whose connection ends after the answer."""
    with ByHand() as hand:
        device.pool("clear", ("127.0.0.1", hand.port))
        virtual = device.virtual("mail", "http", policies=("paths",))
        device.apply()
        with plain(virtual) as client:
            client.sendall(request("/owa/"))
            with hand.accept() as peer:
                peer.until(b"\r\n\r\n")
                peer.send(_NO_KEEP)
                assert Answers(client).next().headers["connection"] == "close"
                assert client.recv(1) == b""


def test_one_connect_balances_each_request(device: Device) -> None:
    """With one-connect each request of one connection goes where the policy says."""
    virtual = device.virtual("mail", "http", "serverssl", "oneconnect", policies=("paths",))
    device.apply()
    with plain(virtual) as client:
        for target, scheme in (("/owa/", "http"), ("/ews/mrsproxy.svc", "https"), ("/owa/", "http")):
            assert exchange(client, target).scheme == scheme


def test_server_ssl_stays_off_until_it_is_turned_on(device: Device) -> None:
    """With one-connect a rule that does not turn it on sends in clear what an earlier request of its client turned off."""
    with ByHand() as hand:
        device.pool("bridge", ("127.0.0.1", hand.port))
        device.policy(
            "paths",
            ([path_starts("/ews/mrsproxy.svc")], [forward("bridge")]),
            ([path_starts("/ews")], [forward("tls"), SERVER_SSL]),
            ([path_starts("/redirect")], [redirect("https://x/"), NO_SERVER_SSL]),
            ([path_starts("/oab")], [forward("tls")]),
            ([], [forward("clear"), NO_SERVER_SSL]),
        )
        virtual = device.virtual("mail", "http", "serverssl", "oneconnect", policies=("paths",))
        device.apply()
        with plain(virtual) as client:
            assert exchange(client, "/oab/").scheme == "https"
            assert exchange(client, "/owa/").scheme == "http"
            client.sendall(request("/ews/mrsproxy.svc"))
            with hand.accept() as peer:
                assert peer.until(b"\r\n\r\n").startswith(b"GET /ews/mrsproxy.svc")
                peer.send(_OK)
                assert Answers(client).next().body == b"ok"
            assert exchange(client, "/ews/").scheme == "https"
            assert exchange(client, "/oab/").scheme == "https"
            assert exchange(client, "/redirect").status == 302
            until(lambda: device.current("bridge", hand.port) == 0)
            client.sendall(request("/ews/mrsproxy.svc"))
            with hand.accept() as peer:
                assert peer.until(b"\r\n\r\n").startswith(b"GET /ews/mrsproxy.svc")
        with plain(virtual) as client:
            assert exchange(client, "/oab/").scheme == "https"


def test_one_connect_shares_connections_of_servers(device: Device, server: RecordingServer) -> None:
    """The next client is given the last one's connection."""
    virtual = device.virtual("mail", "http", "serverssl", "oneconnect", policies=("paths",))
    device.apply()
    for _ in range(3):
        with plain(virtual) as client:
            assert exchange(client, "/owa/").status == 200
    assert len({each.connection for each in server.arrived}) == 1
    assert device.current("clear", server.http_port) == 1


def test_a_client_that_closes_leaves_the_servers_connection(device: Device, server: RecordingServer) -> None:
    """Its wish to close reaches neither the server nor the next client, and is granted to itself."""
    virtual = device.virtual("mail", "http", "serverssl", "oneconnect", policies=("paths",))
    device.apply()
    for _ in range(2):
        with plain(virtual) as client:
            assert exchange(client, "/owa/", headers="Connection: close\r\n").status == 200
            assert client.recv(1) == b""
    assert len({each.connection for each in server.arrived}) == 1
    assert server.arrived[0].headers["xonnection"] == "close"


def test_one_connect_hides_a_server_that_closes(device: Device) -> None:
    """Its Connection: close ends its own connection only."""
    with ByHand() as hand:
        device.pool("clear", ("127.0.0.1", hand.port))
        virtual = device.virtual("mail", "http", "oneconnect", policies=("paths",))
        device.apply()
        with plain(virtual) as client:
            for _ in range(2):
                client.sendall(request("/owa/"))
                with hand.accept() as peer:
                    peer.until(b"\r\n\r\n")
                    peer.send(_NO_KEEP)
                    assert "connection" not in Answers(client).next().headers


def test_a_shared_connection_ends_after_its_share(device: Device, server: RecordingServer) -> None:
    """With maxReuse 1 nobody else is given it."""
    device.put("ltm/profile/one-connect", "oneconnect", sourceMask="any", maxReuse=1)
    virtual = device.virtual("mail", "http", "oneconnect", policies=("paths",))
    device.apply()
    with plain(virtual) as client:
        for _ in range(2):
            assert exchange(client, "/owa/").status == 200
    assert len({each.connection for each in server.arrived}) == 2


@pytest.mark.parametrize(
    ("mask", "connections"),
    [
        ("any", 1),
        ("0.0.0.0", 1),  # noqa: S104  a mask, no address
        ("255.0.0.0", 1),
        ("255.255.255.255", 2),
    ],
)
def test_the_source_mask_says_who_shares(device: Device, server: RecordingServer, mask: str, connections: int) -> None:
    """Clients share with those whose address is the same under the mask."""
    device.put("ltm/profile/one-connect", "oneconnect", sourceMask=mask)
    virtual = device.virtual("mail", "http", "oneconnect", policies=("paths",))
    device.apply()
    for address in ("127.0.0.1", "127.0.0.2"):
        with socket.create_connection(("127.0.0.1", virtual["port"]), 20, (address, 0)) as client:
            assert exchange(client, "/owa/").status == 200
    assert len({each.connection for each in server.arrived}) == connections


@pytest.fixture
def ntlm(leaf: Bundle) -> Iterator[NtlmServer]:
    """A server whose logins belong to the connection."""
    with NtlmServer("EX01", leaf) as running:
        yield running


def _log_on(client: socket.socket, user: str) -> str:
    """The name answered at the end of an NTLM handshake."""
    assert exchange(client, "/ews/", headers="Authorization: NTLM T1\r\n").headers["www-authenticate"] == "NTLM T2"
    return exchange(client, "/ews/", headers=f"Authorization: NTLM T3:{user}\r\n").body.decode()


def _ntlm_virtual(device: Device, ntlm: NtlmServer, *profiles: str) -> Object:
    device.pool("ews", ("127.0.0.1", ntlm.http_port))
    virtual = device.virtual("mail", "http", *profiles, pool="/Common/ews")
    device.apply()
    return virtual


def test_an_identity_leaks_through_one_connect(device: Device, ntlm: NtlmServer) -> None:
    """A client that never logged on is taken for the one whose connection it was given."""
    virtual = _ntlm_virtual(device, ntlm, "oneconnect")
    with plain(virtual) as ann, plain(virtual) as stranger:
        assert '"ann"' in _log_on(ann, "ann")
        answer = exchange(stranger, "/ews/")
        assert (answer.status, '"ann"' in answer.body.decode()) == (200, True)


@pytest.mark.parametrize("profiles", [(), ("oneconnect", "ntlm")], ids=["none", "with an ntlm profile"])
def test_no_identity_leaks_otherwise(device: Device, ntlm: NtlmServer, profiles: tuple[str, ...]) -> None:
    """Without one-connect, or with an ntlm profile beside it, everybody has a connection of their own."""
    device.put("ltm/profile/ntlm", "ntlm")
    virtual = _ntlm_virtual(device, ntlm, *profiles)
    with ExitStack() as stack:
        clients = {name: stack.enter_context(plain(virtual)) for name in ("ann", "bob")}
        for name, client in clients.items():
            assert f'"{name}"' in _log_on(client, name)
        for name, client in clients.items():
            assert f'"{name}"' in exchange(client, "/ews/").body.decode()
        stranger = stack.enter_context(plain(virtual))
        assert exchange(stranger, "/ews/").status == 401


def test_two_logins_at_once_through_one_connect(device: Device, ntlm: NtlmServer) -> None:
    """An answer that is no success keeps its connection with its client, so that the handshake itself is not torn apart."""
    virtual = _ntlm_virtual(device, ntlm, "oneconnect")
    with plain(virtual) as ann, plain(virtual) as bob:
        for client in (ann, bob):
            assert exchange(client, "/ews/", headers="Authorization: NTLM T1\r\n").status == 401
        for client, user in ((ann, "ann"), (bob, "bob")):
            assert f'"{user}"' in exchange(client, "/ews/", headers=f"Authorization: NTLM T3:{user}\r\n").body.decode()
