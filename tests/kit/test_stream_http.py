"""HTTP and TLS over a host's connections, as a balancer without health checks of its own asks its members."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from lbsync.errors import CertificateError, Rejected, Unreachable
from lbsync.kit.handshake import NO_CONNECTION, NO_TLS
from lbsync.kit.host import Host
from lbsync.kit.host_local import LocalHost
from lbsync.kit.stream import CLOSED, NO_ANSWER, SocketStream, Stream
from lbsync.kit.stream_http import MOST_BODY, NO_HTTP, HttpAnswer, HttpConversation, get_all
from lbsync.kit.stream_tls import CERTIFICATE, TlsStream
from lbsync.testing.ca import TestCA
from lbsync.testing.front import DROP, Asked, Front, Reply
from lbsync.testing.ports import free_port

NAME = "ex01.contoso.test"


@pytest.fixture(scope="module")
def authority() -> TestCA:
    """One CA for all; keys are slow."""
    return TestCA.new()


def by_path(replies: dict[str, Reply]) -> Callable[[Asked], Reply]:
    """Answers by path."""
    return lambda asked: replies[asked.path]


def raw(text: str) -> Reply:
    """These very bytes, then the end."""
    return Reply(raw=text.replace("\n", "\r\n").encode())


def ask(reply: Reply) -> HttpAnswer:
    """One answer on a connection of its own."""
    with Front(lambda _: reply) as front, LocalHost().connect("127.0.0.1", front.port) as stream:
        return HttpConversation(stream, NAME).get("/")


def test_several_paths_are_asked_on_one_connection(host: Host) -> None:
    """In clear; each with the Host header given, each status and body as it came."""
    replies = {f"/{number}": Reply(status=status, body=b"x" * number) for number, status in enumerate((200, 401, 503))}
    with Front(by_path(replies)) as front:
        answers = get_all(lambda: host.connect("127.0.0.1", front.port), NAME, replies)
        assert answers == {path: HttpAnswer(status=reply.status, body=reply.body) for path, reply in replies.items()}
        assert (front.seen.connections, dict(front.seen.hosts)) == (1, {NAME: 3})


def test_several_paths_are_asked_over_verified_tls(host: Host, authority: TestCA) -> None:
    """On one connection, greeted by the server's name wherever it was connected to; larger than one record."""
    replies = {"/a": Reply(body=b"a" * 50_000), "/b": Reply(body=b"b")}
    ca = authority.root_pem.decode()
    with Front(by_path(replies), authority.issue([NAME], key="ec256")) as front:

        def connect() -> Stream:
            return TlsStream(host.connect("127.0.0.1", front.port), NAME, ca)

        answers = get_all(connect, NAME, replies)
        assert answers == {path: HttpAnswer(status=200, body=reply.body) for path, reply in replies.items()}
        assert front.seen.connections == 1


def test_a_connection_the_server_closes_is_opened_anew() -> None:
    """Announced (as http.sys does with a 503) or not: every path gets its answer."""
    replies = {"/a": Reply(status=503, close=True), "/b": Reply(vanish=True), "/c": Reply(), "/d": Reply()}
    with Front(by_path(replies)) as front:
        answers = get_all(lambda: LocalHost().connect("127.0.0.1", front.port), NAME, replies)
        assert [answer.status for answer in answers.values() if isinstance(answer, HttpAnswer)] == [503, 200, 200, 200]
        assert front.seen.connections == 3


def test_a_path_without_an_answer_does_not_hide_the_others() -> None:
    """Dropped, broken off and hanging ones are errors with codes; those after them are asked on new connections."""
    gate = threading.Event()
    replies = {
        "/drop": DROP,
        "/short": raw("HTTP/1.1 200 OK\nContent-Length: 5\n\nabc"),
        "/hang": Reply(gate=gate),
        "/odd": raw("220 mail.contoso.test SMTP\n\n"),
        "/fine": Reply(),
    }
    with Front(by_path(replies)) as front:
        answers = get_all(lambda: LocalHost().connect("127.0.0.1", front.port, 0.5), NAME, replies)
        gate.set()
    codes = [answer.code if isinstance(answer, Unreachable) else "" for answer in answers.values()]
    assert codes == [CLOSED, NO_HTTP, NO_ANSWER, NO_HTTP, ""]
    assert list(answers) == list(replies)


def test_a_server_that_is_down_is_tried_once() -> None:
    """Its error stands for every path."""
    tried: list[int] = []
    port = free_port("127.0.0.1")

    def connect() -> Stream:
        tried.append(port)
        return LocalHost().connect("127.0.0.1", port)

    answers = get_all(connect, NAME, ["/a", "/b"])
    assert [answer.code for answer in answers.values() if isinstance(answer, Unreachable)] == [NO_CONNECTION] * 2
    assert len(tried) == 1


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (raw("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n2;x=y\nde\n0\nTrailer: x\n\n"), b"abcde"),
        (raw("HTTP/1.1 200 OK\n\nto the end"), b"to the end"),
        (raw("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 1\n\nx"), b"x"),
        (raw("HTTP/1.1 200\nCONTENT-LENGTH:  2\n\nxy"), b"xy"),
        (raw("HTTP/1.0 200 OK\nContent-Length: 0\n\n"), b""),
    ],
)
def test_a_body_is_read_to_its_end(reply: Reply, body: bytes) -> None:
    """However the server frames it."""
    assert ask(reply) == HttpAnswer(status=200, body=body)


def test_an_answer_without_a_body_is_not_waited_for() -> None:
    """204 and 304 have none, whatever their header says; the connection is used on."""
    head = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
    with Front(lambda _: Reply(raw=head)) as front, LocalHost().connect("127.0.0.1", front.port) as stream:
        conversation = HttpConversation(stream, NAME)
        assert conversation.get("/").status == 204
        assert conversation.usable


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"x" * (MOST_BODY + 1)),
        raw(f"HTTP/1.1 200 OK\n\n{'x' * (MOST_BODY + 1)}"),
        raw(f"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n10000\n{'x' * MOST_BODY}\n1\nx\n0\n\n"),
    ],
)
def test_a_long_body_is_cut_and_its_connection_left(reply: Reply) -> None:
    """The beginning is kept; nothing more is asked where something is left unread."""
    with Front(lambda _: reply) as front, LocalHost().connect("127.0.0.1", front.port) as stream:
        conversation = HttpConversation(stream, NAME)
        assert conversation.get("/").body == b"x" * MOST_BODY
        assert not conversation.usable
        with pytest.raises(Unreachable):
            conversation.get("/")


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/1.1\n\n",
        "HTTP/1.1 OK 200\n\n",
        "HTTP/1.1 200 OK\nContent-Length: -1\n\n",
        "HTTP/1.1 200 OK\nContent-Length: x\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nxyz\n",
        "HTTP/1.1 200 OK\n" + "x" * 70_000,
        "HTTP/1.1 200 OK\nContent-Le",
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(text: str) -> None:
    """Unreachable, with a code."""
    with pytest.raises(Unreachable) as caught:
        ask(raw(text))
    assert caught.value.code == NO_HTTP


@pytest.mark.parametrize("path", ["", "owa", "/a b", "/a\r\nX: y", "/ä"])
def test_a_path_that_is_none_is_not_sent(path: str) -> None:
    """Nothing can be smuggled into the request, by path or host."""
    with Front(lambda _: Reply()) as front, LocalHost().connect("127.0.0.1", front.port) as stream:
        with pytest.raises(ValueError, match="path"):
            HttpConversation(stream, NAME).get(path)
        with pytest.raises(ValueError, match="Host"):
            HttpConversation(stream, f"{NAME}\r\nX: y")


def greet(port: int, authority: TestCA, name: str = NAME) -> TlsStream:
    """TLS over a connection from this host."""
    return TlsStream(LocalHost().connect("127.0.0.1", port, 0.5), name, authority.root_pem.decode())


def test_a_certificate_that_is_not_right_is_rejected(authority: TestCA) -> None:
    """Another name, another CA, out of date: told apart from a server without TLS, and nothing was sent."""
    past = datetime.now(UTC) - timedelta(days=400)
    for bundle in (
        authority.issue(["other.contoso.test"], key="ec256"),
        TestCA.new().issue([NAME], key="ec256"),
        authority.issue([NAME], key="ec256", not_before=past, days=30),
    ):
        with Front(lambda _: Reply(), bundle) as front:
            with pytest.raises(Rejected, match=NAME) as caught:
                greet(front.port, authority)
            assert caught.value.code == CERTIFICATE
            assert front.seen.paths.total() == 0


def test_a_server_without_tls_is_unreachable(authority: TestCA) -> None:
    """One that speaks HTTP there, one that closes at once, and one that says nothing."""
    with Front(lambda _: Reply()) as front:
        with pytest.raises(Unreachable) as caught:
            greet(front.port, authority)
        assert caught.value.code == NO_TLS
    ca = authority.root_pem.decode()
    ours, theirs = socket.socketpair()
    with theirs:
        ours.settimeout(0.3)
        with pytest.raises(Unreachable, match="no answer in time") as caught:
            TlsStream(SocketStream(ours, "pair"), NAME, ca)
        assert caught.value.code == NO_TLS
    ours, theirs = socket.socketpair()
    theirs.shutdown(socket.SHUT_WR)
    with theirs, pytest.raises(Unreachable) as caught:
        TlsStream(SocketStream(ours, "pair"), NAME, ca)
    assert caught.value.code == NO_TLS


def test_a_ca_text_that_is_none_closes_the_connection() -> None:
    """Nobody else would."""
    ours, theirs = socket.socketpair()
    with theirs:
        with pytest.raises(CertificateError):
            TlsStream(SocketStream(ours, "pair"), NAME, "no certificate")
        assert theirs.recv(1) == b""
