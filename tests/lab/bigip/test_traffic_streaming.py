"""What a simulated BIG-IP does while a request or an answer is under way: it hands on what it has, at once and whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.balancers.client import Answers, request
from tests.lab.bigip.traffic_device import ByHand, Device, Object, plain

_MIB = 1 << 20
_LARGE = 32 * _MIB
_ENDLESS = 1 << 30
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def hand() -> Iterator[ByHand]:
    """A server played by the test."""
    with ByHand() as running:
        yield running


@pytest.fixture(params=["first choice", "one-connect"])
def virtual(tmp_path: Path, hand: ByHand, request: pytest.FixtureRequest) -> Iterator[Object]:
    """A virtual server in front of it, with and without one-connect."""
    with Device(tmp_path) as device:
        device.pool("hand", ("127.0.0.1", hand.port))
        device.http()
        device.put("ltm/profile/one-connect", "oneconnect", sourceMask="any")
        profiles = ("http", "oneconnect") if request.param == "one-connect" else ("http",)
        running = device.virtual("mail", *profiles, pool="/Common/hand")
        device.apply()
        yield running


def _post(*headers: str, method: str = "POST") -> bytes:
    return request("/ews/upload", method=method, headers="".join(f"{each}\r\n" for each in headers))


def test_a_body_reaches_its_server_while_the_client_still_sends(virtual: Object, hand: ByHand) -> None:
    """Its first part is there before the last is sent."""
    with plain(virtual) as client:
        client.sendall(_post(f"Content-Length: {_LARGE}") + b"first")
        with hand.accept() as peer:
            peer.until(b"\r\n\r\nfirst")
            sender = threading.Thread(target=client.sendall, args=(b"x" * (_LARGE - 5),), daemon=True)
            sender.start()
            peer.skip(_LARGE - 5)
            sender.join()
            peer.send(_OK)
            assert Answers(client).next().body == b"ok"


def test_a_server_that_reads_slowly_holds_its_client_up(virtual: Object, hand: ByHand) -> None:
    """Nothing is kept meanwhile: the client's send does not end before the server reads."""
    with plain(virtual) as client:
        client.sendall(_post(f"Content-Length: {_LARGE}"))
        with hand.accept() as peer:
            peer.until(b"\r\n\r\n")
            sender = threading.Thread(target=client.sendall, args=(b"x" * _LARGE,), daemon=True)
            sender.start()
            sender.join(0.3)
            assert sender.is_alive()
            peer.skip(_LARGE)
            sender.join()
            peer.send(_OK)
            assert Answers(client).next().body == b"ok"


def test_a_body_in_chunks_reaches_its_server_chunk_by_chunk(virtual: Object, hand: ByHand) -> None:
    """Its length is not known before its end, and nobody waits for that; a trailer is part of it."""
    with plain(virtual) as client:
        client.sendall(_post("Transfer-Encoding: chunked") + b"3\r\none\r\n")
        with hand.accept() as peer:
            assert b"transfer-encoding: chunked" in peer.until(b"one").lower()
            for piece in (b"3;x=y\r\nt", b"wo\r", b"\n0\r\nX-Sum: 1\r\n", b"\r\n"):
                client.sendall(piece)
                peer.until(piece)
            peer.send(_OK)
            answers = Answers(client)
            assert answers.next().body == b"ok"
            client.sendall(request("/next"))
            peer.until(b"\r\n\r\n")
            peer.send(_OK)
            assert answers.next().body == b"ok"


def test_an_answer_reaches_its_client_while_the_server_still_sends(virtual: Object, hand: ByHand) -> None:
    """Outlook on the web and Outlook Anywhere keep an answer open for news: each part arrives by itself."""
    with plain(virtual) as client:
        client.sendall(request("/owa/ev.owa2"))
        with hand.accept() as peer:
            peer.until(b"\r\n\r\n")
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            answers = Answers(client)
            assert b"200 OK" in answers.head()
            for part in (b"one", b"two"):
                peer.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                assert answers.chunk() == part
            peer.send(b"0\r\n\r\n")
            assert answers.chunk() == b""


def test_a_client_that_reads_slowly_holds_its_server_up(virtual: Object, hand: ByHand) -> None:
    """A large answer is kept nowhere."""
    with plain(virtual) as client:
        client.sendall(request("/oab/large"))
        with hand.accept() as peer:
            peer.until(b"\r\n\r\n")
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {_LARGE}\r\n\r\n".encode()
            sender = threading.Thread(target=peer.send, args=(head + b"x" * _LARGE,), daemon=True)
            sender.start()
            answers = Answers(client)
            answers.head()
            sender.join(0.3)
            assert sender.is_alive()
            answers.skip(_LARGE)
            sender.join()


def test_a_server_may_answer_before_the_body_is_there(virtual: Object, hand: ByHand) -> None:
    """A 401 in the middle of an upload reaches the client; the rest goes to the same server, and the connection goes on."""
    with plain(virtual) as client:
        client.sendall(_post("Content-Length: 10") + b"first")
        with hand.accept() as peer:
            peer.until(b"first")
            peer.send(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            answers = Answers(client)
            assert answers.next().status == 401
            client.sendall(b"after" + request("/next"))
            peer.until(b"after")
            peer.until(b"\r\n\r\n")
            peer.send(_OK)
            assert answers.next().body == b"ok"


def test_a_server_that_answers_early_and_leaves(virtual: Object, hand: ByHand) -> None:
    """Its answer reaches the client, whose connection ends: the rest of the body has nobody to go to."""
    with plain(virtual) as client:
        client.sendall(_post(f"Content-Length: {_ENDLESS}") + b"first")
        with hand.accept() as peer:
            peer.until(b"first")
            peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            assert Answers(client).next().status == 413
            assert client.recv(1) == b""


def test_outlook_anywheres_two_halves_flow_at_once(virtual: Object, hand: ByHand) -> None:
    """RPC_IN_DATA sends for ever, RPC_OUT_DATA answers for ever; neither waits for the other's end."""
    with plain(virtual) as sending, plain(virtual) as hearing:
        sending.sendall(_post(f"Content-Length: {_ENDLESS}", method="RPC_IN_DATA") + b"one")
        with hand.accept() as incoming:
            incoming.until(b"one")
            hearing.sendall(_post("Content-Length: 4", method="RPC_OUT_DATA") + b"open")
            with hand.accept() as outgoing:
                outgoing.until(b"open")
                outgoing.send(f"HTTP/1.1 200 Success\r\nContent-Length: {_ENDLESS}\r\n\r\n".encode())
                Answers(hearing).head()
                for word in (b"two", b"three"):
                    sending.sendall(word)
                    incoming.until(word)
                    outgoing.send(word)
                    assert hearing.recv(len(word)) == word


def test_a_client_that_asks_first_is_told_to_go_on(virtual: Object, hand: ByHand) -> None:
    """Expect: 100-continue goes to the server, and its 100 to the client; the body follows and is answered."""
    with plain(virtual) as client:
        client.sendall(_post("Expect: 100-continue", "Content-Length: 5"))
        with hand.accept() as peer:
            assert b"100-continue" in peer.until(b"\r\n\r\n").lower()
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            answers = Answers(client)
            assert answers.next().status == 100
            client.sendall(b"hello")
            peer.until(b"hello")
            peer.send(_OK)
            assert answers.next().body == b"ok"


def test_a_client_that_asked_first_and_was_refused(virtual: Object, hand: ByHand) -> None:
    """A final answer instead of 100 reaches it, and its next request is no body: the connection waits for the body it owes."""
    with plain(virtual) as client:
        client.sendall(_post("Expect: 100-continue", "Content-Length: 5"))
        with hand.accept() as peer:
            peer.until(b"\r\n\r\n")
            peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            assert Answers(client).next().status == 401
            assert client.recv(1) == b""
