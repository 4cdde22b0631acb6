"""What a balancer does while a request or an answer is under way: it hands on what it has, at once and whole.

Rule of this file: it knows no product. Subclass ``Streaming`` in a test file where a fixture ``by_hand`` is at hand: a bench
that is published with every service in clear that may be, and the only server it has.
"""

from __future__ import annotations

import threading

import pytest

from tests.balancers.bench import HOSTS, Bench
from tests.balancers.by_hand import ServerByHand
from tests.balancers.client import Answers

_MIB = 1 << 20
_LARGE = 32 * _MIB
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_TARGETS = {"http": "/owa/upload", "https": "/ews/mrsproxy.svc"}

schemes = pytest.mark.parametrize("scheme", ["http", "https"])


class Streaming:
    """Bodies and answers that take their time, in clear and over TLS to the server."""

    @schemes
    def test_a_body_reaches_its_server_while_the_client_still_sends(
        self, by_hand: tuple[Bench, ServerByHand], scheme: str
    ) -> None:
        """Its first part is there before the last is sent; nothing of it is kept on a disk meanwhile."""
        bench, server = by_hand
        with bench.connected() as client:
            client.sendall(_head("POST", scheme, f"Content-Length: {_LARGE}") + b"first")
            with server.accept(scheme) as peer:
                peer.until(b"\r\n\r\nfirst")
                sender = threading.Thread(target=client.sendall, args=(b"x" * (_LARGE - len("first")),), daemon=True)
                sender.start()
                peer.skip(_LARGE // 2)
                assert bench.spooled() == []
                peer.skip(_LARGE - _LARGE // 2 - len("first"))
                sender.join()
                peer.send(_OK)
                assert Answers(client).next().body == b"ok"

    @schemes
    def test_a_body_in_chunks_reaches_its_server_chunk_by_chunk(
        self, by_hand: tuple[Bench, ServerByHand], scheme: str
    ) -> None:
        """Its length is not known before its end, and nobody waits for that."""
        bench, server = by_hand
        with bench.connected() as client:
            client.sendall(_head("POST", scheme, "Transfer-Encoding: chunked") + b"3\r\none\r\n")
            with server.accept(scheme) as peer:
                assert b"transfer-encoding: chunked" in peer.until(b"one").lower()
                client.sendall(b"3\r\ntwo\r\n")
                peer.until(b"two")
                client.sendall(b"0\r\n\r\n")
                peer.until(b"0\r\n\r\n")
                peer.send(_OK)
                assert Answers(client).next().body == b"ok"

    @schemes
    def test_an_answer_reaches_its_client_while_the_server_still_sends(
        self, by_hand: tuple[Bench, ServerByHand], scheme: str
    ) -> None:
        """Outlook on the web and Outlook Anywhere keep an answer open for news: each part arrives by itself."""
        bench, server = by_hand
        with bench.connected() as client:
            client.sendall(_head("GET", scheme))
            with server.accept(scheme) as peer:
                peer.until(b"\r\n\r\n")
                peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                answers = Answers(client)
                assert b"200 OK" in answers.head()
                for part in (b"one", b"two"):
                    peer.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                    assert answers.chunk() == part
                peer.send(b"0\r\n\r\n")
                assert answers.chunk() == b""

    @schemes
    def test_a_large_answer_is_kept_nowhere(self, by_hand: tuple[Bench, ServerByHand], scheme: str) -> None:
        """A client that reads slowly holds its server up, and fills no disk of the balancer's."""
        bench, server = by_hand
        with bench.connected() as client:
            client.sendall(_head("GET", scheme))
            with server.accept(scheme) as peer:
                peer.until(b"\r\n\r\n")
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {_LARGE}\r\n\r\n".encode()
                sender = threading.Thread(target=peer.send, args=(head + b"x" * _LARGE,), daemon=True)
                sender.start()
                answers = Answers(client)
                answers.head()
                assert sender.is_alive()
                assert bench.spooled() == []
                answers.skip(_LARGE // 2)
                assert bench.spooled() == []
                answers.skip(_LARGE // 2)
                sender.join()

    @schemes
    def test_a_server_may_answer_before_the_body_is_there(
        self, by_hand: tuple[Bench, ServerByHand], scheme: str
    ) -> None:
        """A 401 in the middle of an upload reaches the client, which need not send the rest in vain."""
        bench, server = by_hand
        with bench.connected() as client:
            client.sendall(_head("POST", scheme, f"Content-Length: {_LARGE}") + b"first")
            with server.accept(scheme) as peer:
                peer.until(b"first")
                peer.send(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
                assert Answers(client).next().status == 401

    @schemes
    def test_outlook_anywheres_two_halves_flow_at_once(self, by_hand: tuple[Bench, ServerByHand], scheme: str) -> None:
        """RPC_IN_DATA sends for ever, RPC_OUT_DATA answers for ever; neither waits for the other's end."""
        bench, server = by_hand
        with bench.connected() as sending, bench.connected() as hearing:
            sending.sendall(_head("RPC_IN_DATA", scheme, "Content-Length: 1073741824") + b"one")
            with server.accept(scheme) as incoming:
                incoming.until(b"one")
                hearing.sendall(_head("RPC_OUT_DATA", scheme, "Content-Length: 4") + b"open")
                with server.accept(scheme) as outgoing:
                    outgoing.until(b"open")
                    outgoing.send(b"HTTP/1.1 200 Success\r\nContent-Length: 1073741824\r\n\r\n")
                    Answers(hearing).head()
                    for word in (b"two", b"three"):
                        sending.sendall(word)
                        incoming.until(word)
                        outgoing.send(word)
                        assert hearing.recv(len(word)) == word

    @schemes
    def test_a_client_that_asks_first_is_told_to_go_on(self, by_hand: tuple[Bench, ServerByHand], scheme: str) -> None:
        """Expect: 100-continue, from the balancer or the server; the body follows and is answered."""
        bench, server = by_hand
        with bench.connected() as client:
            client.sendall(_head("POST", scheme, "Expect: 100-continue\r\nContent-Length: 5"))
            with server.accept(scheme) as peer:
                if b"100-continue" in peer.until(b"\r\n\r\n").lower():
                    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                answers = Answers(client)
                assert answers.next().status == 100
                client.sendall(b"hello")
                peer.until(b"hello")
                peer.send(_OK)
                assert answers.next().body == b"ok"


def _head(method: str, scheme: str, *headers: str) -> bytes:
    lines = [f"{method} {_TARGETS[scheme]} HTTP/1.1", f"Host: {HOSTS[0]}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()
