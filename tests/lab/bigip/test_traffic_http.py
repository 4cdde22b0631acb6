"""What the http profile changes in messages, what it refuses, and how connections end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbsync.lab.bigip.traffic.edits import answer
from lbsync.lab.bigip.traffic.messages import Request, Response
from lbsync.lab.bigip.traffic.tls import names_match
from lbsync.lab.bigip.traffic.virtuals import Http, Virtual
from lbsync.testing.backend import RecordingServer
from lbsync.testing.ca import TestCA
from tests.balancers.client import HOST, Answers, exchange, request
from tests.lab.bigip.traffic_device import ByHand, Device, Object, is_reset, plain, secure, turns_away, until

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """A server."""
    with RecordingServer("EX01", TestCA.new().issue(["ex01.contoso.test"], key="ec256")) as running:
        yield running


@pytest.fixture
def hand() -> Iterator[ByHand]:
    """A server played by the test."""
    with ByHand() as running:
        yield running


@pytest.fixture
def device(tmp_path: Path, server: RecordingServer, hand: ByHand) -> Iterator[Device]:
    """A device with a pool of each server."""
    with Device(tmp_path) as running:
        running.pool("owa", ("127.0.0.1", server.http_port))
        running.pool("hand", ("127.0.0.1", hand.port))
        running.http()
        yield running


def _virtual(device: Device, *profiles: str, pool: str = "owa") -> Object:
    virtual = device.virtual("mail", *(profiles or ("http",)), pool=f"/Common/{pool}")
    device.apply()
    return virtual


def test_the_profile_inserts_and_erases_headers(device: Device, server: RecordingServer) -> None:
    """headerInsert, headerErase, and the client's address as a line of its own beside what the client claims."""
    device.http(
        insertXforwardedFor="enabled",
        headerInsert="X-Forwarded-Proto: https",
        headerErase="X-Secret",
        redirectRewrite="none",
    )
    with plain(_virtual(device)) as client:
        exchange(client, "/owa/", headers="x-secret: 1\r\nX-Forwarded-For: 10.9.9.9\r\n")
    headers = server.arrived[0].headers
    assert "x-secret" not in headers
    assert (headers["x-forwarded-proto"], headers["x-forwarded-for"]) == ("https", "127.0.0.1")


def test_untouched_messages_pass_byte_for_byte(device: Device, hand: ByHand) -> None:
    """Order, case and blanks of header lines stay, in both directions."""
    asked = b"GET /owa/?a=%2F HTTP/1.1\r\nhost:  x \r\nX-B: 1\r\nx-a:2\r\n\r\n"
    answered = b"HTTP/1.1 200 Fine Indeed\r\nx-b:1\r\nCONTENT-LENGTH:  0\r\n\r\n"
    with plain(_virtual(device, pool="hand")) as client:
        client.sendall(asked)
        with hand.accept() as peer:
            assert peer.until(b"\r\n\r\n") == asked
            peer.send(answered)
            heard = b""
            while len(heard) < len(answered):
                heard += client.recv(65536)
            assert heard == answered


@pytest.mark.parametrize(
    ("rewrite", "location", "said"),
    [
        ("none", "http://mail.contoso.test/owa/", "http://mail.contoso.test/owa/"),
        ("all", "http://mail.contoso.test:80/owa/", "https://mail.contoso.test/owa/"),
        ("all", "HTTP://elsewhere.test", "https://elsewhere.test"),
        ("all", "http://[::1]:8080/x", "https://[::1]/x"),
        ("all", "https://mail.contoso.test/owa/", "https://mail.contoso.test/owa/"),
        ("all", "/owa/", "/owa/"),
        ("matching", "http://mail.contoso.test:80/owa/", "https://mail.contoso.test/owa/"),
        ("matching", "http://mail.contoso.test/ecp/", "http://mail.contoso.test/ecp/"),
        ("matching", "http://elsewhere.test/owa", "http://elsewhere.test/owa"),
    ],
)
def test_redirects_of_servers_are_rewritten(
    device: Device, server: RecordingServer, rewrite: str, location: str, said: str
) -> None:
    """The values of redirectRewrite: none, all, and those that point at what was asked for but a slash."""
    ca = TestCA.new()
    device.http(redirectRewrite=rewrite)
    device.client_ssl("clientssl", ca.issue([HOST], key="ec256"))
    server.answers["/owa"] = [("Location", location)]
    with secure(_virtual(device, "http", "clientssl"), ca) as client:
        assert exchange(client, "/owa").headers["location"] == said


def test_no_redirect_is_rewritten_for_clients_in_clear() -> None:
    """There would be nobody to answer over TLS."""
    response = Response(("HTTP/1.1", "302", "Found"), [("Location", "http://x/")])
    asked = Request(("GET", "/", "HTTP/1.1"), [])
    answer(response, Virtual("/Common/v", "", 0, enabled=True), Http(rewrite="all"), asked, "x")
    assert response.get("location") == "http://x/"


@pytest.mark.parametrize(
    "head",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1 more\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"G@T / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: 1\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: 1\nY: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000,
        b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 65 + b"\r\n",
    ],
)
def test_requests_that_are_none(device: Device, server: RecordingServer, head: bytes) -> None:
    """The connection is reset, nothing reaches a server, and the next client is served."""
    virtual = _virtual(device)
    with plain(virtual) as client:
        client.sendall(head)
        assert is_reset(client)
    assert server.arrived == []
    with plain(virtual) as other:
        assert exchange(other, "/owa/").status == 200


@pytest.mark.parametrize("body", [b"zz\r\n", b"5;" + b"x" * 9000])
def test_a_body_that_is_none(device: Device, hand: ByHand, body: bytes) -> None:
    """Broken chunks reset the client and end the server's connection."""
    with plain(_virtual(device, pool="hand")) as client:
        client.sendall(request("/", method="POST", headers="Transfer-Encoding: chunked\r\n"))
        with hand.accept() as peer:
            peer.until(b"\r\n\r\n")
            client.sendall(body)
            assert is_reset(client)
            with pytest.raises(ConnectionError):
                peer.until(b"never")


@pytest.mark.parametrize(
    "said",
    [
        b"what?\r\n\r\n",
        b"HTTP/1.1 xyz\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_answers_that_are_none(device: Device, hand: ByHand, said: bytes) -> None:
    """Whatever breaks an answer off resets its client: it is never taken for a whole one."""
    with plain(_virtual(device, pool="hand")) as client:
        client.sendall(request("/"))
        with hand.accept() as peer:
            peer.until(b"\r\n\r\n")
            peer.send(said)
        assert is_reset(client)


def test_pipelined_requests(device: Device, server: RecordingServer) -> None:
    """Requests sent at once are answered one after the other, in order, and too many line ends are forgiven."""
    with plain(_virtual(device)) as client:
        client.sendall(request("/one") + b"\r\n" + request("/two") + request("/three", method="HEAD"))
        client.shutdown(socket.SHUT_WR)
        answers = Answers(client)
        assert b'"/one"' in answers.next().body
        assert b'"/two"' in answers.next().body
        assert answers.next(method="HEAD").body == b""
        assert client.recv(1) == b""
    assert server.paths("http") == ["/one", "/two", "/three"]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_a_body(device: Device, hand: ByHand, status: str) -> None:
    """204 and 304 end with their heads, whatever those say of a length."""
    with plain(_virtual(device, pool="hand")) as client:
        answers = Answers(client)
        client.sendall(request("/"))
        with hand.accept() as peer:
            peer.until(b"\r\n\r\n")
            peer.send(f"HTTP/1.1 {status}\r\nContent-Length: 100\r\n\r\n".encode())
            assert answers.next().status == int(status[:3])
            client.sendall(request("/"))
            peer.until(b"\r\n\r\n")
            peer.send(_OK)
            assert answers.next().body == b"ok"


def test_http_1_0(device: Device, hand: ByHand) -> None:
    """An answer that ends with the connection ends the client's, whole and without a reset."""
    with plain(_virtual(device, pool="hand")) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with hand.accept() as peer:
            assert peer.until(b"\r\n\r\n") == b"GET / HTTP/1.0\r\n\r\n"
            peer.send(b"HTTP/1.0 200 OK\r\n\r\nsome")
            peer.send(b"thing")
        heard = b""
        while piece := client.recv(65536):
            heard += piece
        assert heard == b"HTTP/1.0 200 OK\r\n\r\nsomething"


def test_a_change_of_protocol_becomes_a_tunnel(device: Device, hand: ByHand) -> None:
    """After 101 bytes pass both ways, and the end of either side does."""
    with plain(_virtual(device, pool="hand")) as client:
        client.sendall(request("/ws", headers="Connection: Upgrade\r\nUpgrade: websocket\r\n") + b"early")
        with hand.accept() as peer:
            peer.until(b"\r\n\r\n")
            peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhello")
            assert b"101" in Answers(client).head()
            peer.until(b"early")
            client.sendall(b"ping")
            peer.until(b"ping")
            peer.send(b"pong")
            client.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionError):
                peer.until(b"never")
        assert not is_reset(client)


def test_without_a_profile_bytes_pass(device: Device, hand: ByHand) -> None:
    """No http profile: one server for the whole connection, whatever is said, half-closed ends included."""
    device.put("ltm/profile/tcp", "tcp")
    with plain(_virtual(device, "tcp", pool="hand")) as client:
        client.sendall(b"anything\n")
        with hand.accept() as peer:
            peer.until(b"anything\n")
            client.shutdown(socket.SHUT_WR)
            peer.send(b"at all")
        heard = b""
        while piece := client.recv(65536):
            heard += piece
        assert heard == b"at all"


def test_bytes_to_nobody(device: Device) -> None:
    """Without an http profile, too, a pool without members resets."""
    device.pool("empty")
    device.put("ltm/profile/tcp", "tcp")
    assert turns_away(_virtual(device, "tcp", pool="empty"))


@pytest.mark.parametrize("side", ["clientside", "serverside"])
def test_idle_connections_are_reset(device: Device, hand: ByHand, side: str) -> None:
    """The idleTimeout of the side that was idle: both ends go."""
    device.put("ltm/profile/tcp", "tcp-short", idleTimeout="1")
    device.put("ltm/profile/tcp", "tcp-long", idleTimeout="indefinite")
    other = "serverside" if side == "clientside" else "clientside"
    virtual = device.virtual("mail", "http", "tcp-short", "tcp-long", pool="/Common/hand")
    virtual["profiles"][1]["context"] = side
    virtual["profiles"][2]["context"] = other
    device.apply()
    with plain(virtual) as client:
        client.sendall(request("/"))
        with hand.accept() as peer:
            peer.until(b"\r\n\r\n")
            assert is_reset(client)
            with pytest.raises(ConnectionError):
                peer.until(b"never")


def test_a_client_that_goes_takes_its_servers_connection_with_it(device: Device, hand: ByHand) -> None:
    """A server need not answer a client that has gone; its member is free at once."""
    virtual = _virtual(device, pool="hand")
    client = plain(virtual)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.sendall(request("/"))
    with hand.accept() as peer:
        peer.until(b"\r\n\r\n")
        client.close()
        with pytest.raises(ConnectionError):
            peer.until(b"never")
    until(lambda: device.current("hand", hand.port) == 0)
    assert device.traffic.virtual_connections("/Common/mail")[0] == 0


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ("EX01.contoso.test", True),
        ("a.wild.test", True),
        ("a.b.wild.test", False),
        ("wild.test", False),
        ("common", True),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("ex02.contoso.test", False),
    ],
)
def test_names_in_certificates(wanted: str, matches: bool) -> None:
    """Alternative names, addresses and the common name; a wildcard stands for one label."""
    certificate: dict[str, object] = {
        "subject": ((("commonName", "common"),),),
        "subjectAltName": (("DNS", "ex01.contoso.test"), ("DNS", "*.wild.test"), ("IP Address", "10.0.0.1")),
    }
    assert names_match(certificate, wanted) is matches
    assert not names_match({}, wanted)
