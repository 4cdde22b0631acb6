"""Where a request ends up, asked of a real balancer that routes by path: stated once for all of them.

Rule of this file: it knows no product. Subclass ``Routing`` in a test file where a fixture ``offloaded`` is at hand: a bench that
is published with every service in clear that may be, nothing recorded yet.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.balancers.bench import HOSTS, Bench
from tests.balancers.client import Answer, Answers, exchange, request
from tests.balancers.paths import (
    ABSENT,
    CANONICAL,
    HARMLESS,
    MRSPROXY,
    ODD,
    may_be_in_clear,
    may_lead_to,
    named,
)
from tests.longer import IS_LONGER

_REFUSED = {"400", "404"}
# One bench for all examples, as a balancer is for all its clients; and each balancer's class inherits the test.
_ONE_BENCH = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
_WORDS = ["ews", "mrsproxy.svc", "owa", "powershell", "mapi", "Microsoft-Server-ActiveSync", "x", "a@b.c"]
_STARTS = ["/", "/", "/", "/", "//", "/./", "/x/../", "/\\", "/%2e/", "/%2f"]
# Mostly what a balancer reads on over; few of those that end the reading (400), since they hide the rest.
_JOINTS = (
    ["/"] * 12
    + [
        "//",
        "\\",
        "%2f",
        "%5c",
        "/./",
        "/../",
        "/x/../",
        "/%2e%2e/",
        "/..%5c",
        "%5c..%5c",
        "/.%2e/",
        "/..;/",
        "/;/",
        "./",
    ]
    + ["#/../../", "%20/", "%c0%af", "%ef%bc%8f", "%252f", "/%0a/", "%0d", "#/", "?/", "%00/", "/%u002e%u002e/"]
)
_ENDS = [
    "",
    "",
    "",
    "/",
    "/",
    ".",
    "%20",
    ";x=1",
    "%0a",
    "::$DATA",
    "~1",
    "?",
    "?a=/../powershell",
    "#x",
    "%e4",
    "%00",
    "\xe4",
]


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """Targets made of the words that matter, a letter in the other case or as a number here and there, joined in every way."""
    text = draw(st.sampled_from(_STARTS))
    for number in range(draw(st.integers(1, 4))):
        text += draw(st.sampled_from(_JOINTS)) if number else ""
        word = draw(st.sampled_from(_WORDS))
        at = draw(st.integers(0, len(word) - 1))
        letter = word[at]
        text += (
            word[:at] + draw(st.sampled_from([letter, letter, letter.upper(), f"%{ord(letter):02x}"])) + word[at + 1 :]
        )
    return text + draw(st.sampled_from(_ENDS))


class Conversation:
    """Requests over one connection, and over the next one where the balancer closed it."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._context = bench.connected()
        self._connection = self._context.__enter__()

    def ask(self, target: str) -> Answer:
        """One more request."""
        try:
            return exchange(self._connection, target)
        except (ConnectionError, OSError):
            self.end()
            self._context = self._bench.connected()
            self._connection = self._context.__enter__()
            return exchange(self._connection, target)

    def end(self) -> None:
        """Close what is open."""
        self._context.__exit__(None, None, None)


class Routing:
    """Which requests reach which port of a server, and which none."""

    refuses: ClassVar[Mapping[str, str]] = {}
    """Spellings of MRSProxy that this balancer answers itself, and how."""

    @pytest.mark.parametrize(("target", "ends"), CANONICAL, ids=[named(target) for target, _ in CANONICAL])
    def test_a_canonical_path_follows_its_mode(self, offloaded: Bench, target: str, ends: str) -> None:
        """Known prefixes at a segment's end, in any case, go to port 80, as the client wrote them."""
        assert offloaded.request(target).ends == ends
        assert offloaded.plain() == ([target] if ends == "http" else [])

    @pytest.mark.parametrize("target", MRSPROXY, ids=named)
    def test_mrsproxy_reaches_tls_by_any_spelling(self, offloaded: Bench, target: str) -> None:
        """However it is spelled, the server gets it over TLS and as the client wrote it, or nobody does."""
        answer = offloaded.request(target)
        if target in self.refuses:
            assert (answer.ends, offloaded.arrived) == (self.refuses[target], [])
        else:
            assert (answer.status, answer.scheme) == (200, "https")
            assert [one.path for one in offloaded.arrived] == [target]

    @pytest.mark.parametrize("target", ODD, ids=named)
    def test_no_odd_spelling_reaches_port_80(self, offloaded: Bench, target: str) -> None:
        """What is not canonical goes to a server's TLS port or nowhere."""
        assert offloaded.request(target).ends in {"https", *_REFUSED}
        assert offloaded.plain() == []

    @pytest.mark.parametrize("target", HARMLESS)
    def test_harmless_odd_spellings_are_served_over_tls(self, offloaded: Bench, target: str) -> None:
        """They are published, only not in clear."""
        assert offloaded.request(target).ends == "https"

    @pytest.mark.parametrize("target", ABSENT, ids=named)
    def test_what_is_not_published_is_answered_by_the_balancer(self, offloaded: Bench, target: str) -> None:
        """404 (400 for what is no HTTP), and no server sees it."""
        assert offloaded.request(target).ends in _REFUSED
        assert offloaded.arrived == []

    @settings(max_examples=200 if IS_LONGER else 60, deadline=None, suppress_health_check=_ONE_BENCH)
    @given(targets=st.lists(spellings(), min_size=4, max_size=12))
    def test_no_spelling_at_all_reaches_port_80_or_powershell(self, offloaded: Bench, targets: list[str]) -> None:
        """Whatever the spelling, only a canonical path that is not MRSProxy is in clear, and PowerShell is nowhere."""
        talk = Conversation(offloaded)
        for target in targets:
            offloaded.forget()
            ends = talk.ask(target).ends
            assert ends != "http" or may_be_in_clear(target)
            assert offloaded.plain() == ([target] if ends == "http" else [])
            if may_lead_to(target, "powershell"):
                assert offloaded.arrived == []
        talk.end()

    def test_the_root_goes_to_owa_over_tls(self, offloaded: Bench) -> None:
        """`/` keeps Require SSL on the servers, and redirects to /owa there."""
        assert [offloaded.request(target).ends for target in ("/", "/?x=1")] == ["https", "https"]

    @pytest.mark.parametrize(
        "start", ["https://mail.contoso.test", "http://mail.contoso.test", "HTTPS://mail.contoso.test"]
    )
    def test_an_absolute_request_target_is_routed_alike(self, offloaded: Bench, start: str) -> None:
        """A proxy's form of the request line changes nothing."""
        paths = ("/owa/", "/ews/mrsproxy.svc", "//ews/mrsproxy.svc", "/owa/..%5cpowershell", "/powershell")
        found = [offloaded.request(f"{start}{path}").ends for path in paths]
        assert found == ["http", "https", "https", "404", "404"]

    def test_every_request_of_a_connection_is_routed_by_itself(self, offloaded: Bench) -> None:
        """Nothing of one request's routing is left for the next on the same connection."""
        targets = ("/ews/mrsproxy.svc", "/ews/x", "/%65ws/x", "/powershell", "/owa/")
        with offloaded.connected() as connection:
            found = [exchange(connection, target).ends for target in targets]
        assert found == ["https", "http", "https", "404", "http"]

    def test_requests_sent_at_once_are_routed_each_by_itself(self, offloaded: Bench) -> None:
        """Pipelined: the answers come in order, and no request is taken for a part of another."""
        targets = ("/ews/mrsproxy.svc", "/owa/", "/powershell", "/%65ws/x", "/ews/x")
        with offloaded.connected() as connection:
            connection.sendall(b"".join(request(target) for target in targets))
            answers = Answers(connection)
            assert [answers.next().ends for _ in targets] == ["https", "http", "404", "https", "http"]
        assert sorted(offloaded.plain()) == ["/ews/x", "/owa/"]

    @pytest.mark.parametrize(
        "host", ["mail.contoso.test:80", "other.test", "owa", "127.0.0.1", "localhost", "lbsync-status"]
    )
    def test_the_name_asked_for_changes_no_routing(self, offloaded: Bench, host: str) -> None:
        """Whatever Host says, a path goes where it goes."""
        paths = ("/owa/", "/ews/mrsproxy.svc", "/powershell")
        assert [offloaded.request(path, host=host).ends for path in paths] == ["http", "https", "404"]

    @pytest.mark.parametrize("name", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-HTTP-Method-Override"])
    def test_no_header_names_another_path(self, offloaded: Bench, name: str) -> None:
        """The request line alone decides."""
        assert offloaded.request("/powershell", headers=f"{name}: /owa/\r\n").ends == "404"
        assert offloaded.request("/ews/mrsproxy.svc", headers=f"{name}: /owa/\r\n").ends == "https"

    @pytest.mark.parametrize(
        "line",
        [
            "GET\t/ews/mrsproxy.svc\tHTTP/1.1",
            "GET /owa/\t/../ews/mrsproxy.svc HTTP/1.1",
            "GET /owa/ /ews/mrsproxy.svc HTTP/1.1",
            "GET  /ews/mrsproxy.svc  HTTP/1.1",
            "GET /ews/mrsproxy.svc HTTP/1.0",
            "GET /ews/mrsproxy.svc HTTP/2.0",
            "GET /ews/mrsproxy.svc",
            "GET /owa/\0/../ews/mrsproxy.svc HTTP/1.1",
            "GET /owa/\r/ews/mrsproxy.svc HTTP/1.1",
            "get /ews/mrsproxy.svc HTTP/1.1",
            "\r\n\r\nGET /ews/mrsproxy.svc HTTP/1.1",
            "GET file:///ews/mrsproxy.svc HTTP/1.1",
            "GET https:/ews/mrsproxy.svc HTTP/1.1",
            "GET https://owa/ews/mrsproxy.svc HTTP/1.1",
            "GET https://mail.contoso.test\\ews\\mrsproxy.svc HTTP/1.1",
            "GET https://a@mail.contoso.test/ews/mrsproxy.svc HTTP/1.1",
            "GET https://mail.contoso.test?/owa/ HTTP/1.1",
            "GET mail.contoso.test:443 HTTP/1.1",
            "CONNECT mail.contoso.test:443 HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "PRI * HTTP/2.0",
        ],
        ids=repr,
    )
    def test_no_trick_of_the_request_line_reaches_port_80(self, offloaded: Bench, line: str) -> None:
        """Blanks, versions, line ends and forms of the target: refused, or MRSProxy over TLS as ever."""
        self._send(offloaded, f"{line}\r\nHost: {HOSTS[0]}\r\n\r\n".encode("latin-1"))
        assert offloaded.plain() == []

    @pytest.mark.parametrize(
        "framing",
        [
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
            "Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n5c\r\n",
            "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
            "X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
            "Content-Length: +0\r\n\r\n",
            "Content-Length: 0x0\r\n\r\n",
            "Content-Length: 99999999999999999999\r\n\r\n",
        ],
        ids=repr,
    )
    def test_no_trick_of_framing_hides_a_request_in_a_body(self, offloaded: Bench, framing: str) -> None:
        """Where a body ends is not for the client to leave open: nothing behind it reaches a server unseen."""
        hidden = request("/ews/mrsproxy.svc") + request("/powershell")
        self._send(offloaded, f"POST /owa/ HTTP/1.1\r\nHost: {HOSTS[0]}\r\n{framing}".encode("latin-1") + hidden)
        assert set(offloaded.plain()) <= {"/owa/"}
        assert not any("powershell" in one.path for one in offloaded.arrived)

    @pytest.mark.parametrize("method", ["GET", "POST", "RPC_IN_DATA"])
    def test_a_request_inside_a_body_is_a_body(self, offloaded: Bench, method: str) -> None:
        """By length and in chunks, whole and in any method."""
        hidden = request("/ews/mrsproxy.svc")
        by_length = f"Content-Length: {len(hidden)}\r\n\r\n".encode() + hidden
        in_chunks = (
            b"Transfer-Encoding: chunked\r\n\r\n" + f"{len(hidden):x};x=y\r\n".encode() + hidden + b"\r\n0\r\n\r\n"
        )
        for framed in (by_length, in_chunks):
            offloaded.forget()
            with offloaded.connected() as connection:
                connection.sendall(f"{method} /owa/ HTTP/1.1\r\nHost: {HOSTS[0]}\r\n".encode() + framed)
                assert Answers(connection).next().ends == "http"
                assert exchange(connection, "/powershell").ends == "404"
            assert [(one.method, one.path, one.body) for one in offloaded.arrived] == [(method, "/owa/", hidden)]

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "RPC_IN_DATA", "RPC_OUT_DATA"])
    def test_every_method_of_clients_passes(self, offloaded: Bench, method: str) -> None:
        """Those of Outlook Anywhere are none of HTTP's own."""
        assert offloaded.request("/rpc/rpcproxy.dll?ex01:6001", method=method).status == 200
        assert [(one.scheme, one.method) for one in offloaded.arrived] == [("http", method)]

    def test_headers_tell_the_server_of_tls(self, offloaded: Bench) -> None:
        """The client's address and that it came over TLS; what a client claims itself is overwritten."""
        claimed = "X-Forwarded-Proto: http\r\nFront-End-Https: off\r\nX-Forwarded-Proto: ftp\r\n"
        for connection in ("", "Connection: X-Forwarded-Proto, Front-End-Https\r\n"):
            for target in ("/owa/", "/ews/mrsproxy.svc"):
                offloaded.forget()
                offloaded.request(target, headers=claimed + connection)
                (arrived,) = offloaded.arrived
                assert arrived.headers["x-forwarded-proto"] == "https"
                assert arrived.headers["front-end-https"] == "on"
                assert arrived.headers["x-forwarded-for"].startswith("127.")
                assert arrived.headers["host"] == HOSTS[0]

    @pytest.mark.parametrize(
        ("built", "wanted"),
        [
            ("http://mail.contoso.test/owa/", "https://mail.contoso.test:{port}/owa/"),
            ("http://MAIL.contoso.test:80/owa/", "https://MAIL.contoso.test:{port}/owa/"),
            ("http://autodiscover.contoso.test/x?y=1", "https://autodiscover.contoso.test:{port}/x?y=1"),
            ("http://mail.contoso.test:8443/owa/", "https://mail.contoso.test:8443/owa/"),
            ("http://mail.contoso.test", "https://mail.contoso.test:{port}"),
            ("https://mail.contoso.test/owa/", "https://mail.contoso.test/owa/"),
            ("http://legacy.contoso.test/owa/", "http://legacy.contoso.test/owa/"),
            ("http://mailxcontoso.test/", "http://mailxcontoso.test/"),
            ("http://mail.contoso.test.evil.test/", "http://mail.contoso.test.evil.test/"),
            ("http://evil.test/?http://mail.contoso.test/", "http://evil.test/?http://mail.contoso.test/"),
            ("/owa/auth/logon.aspx", "/owa/auth/logon.aspx"),
        ],
    )
    def test_links_to_ourselves_become_https(self, offloaded: Bench, built: str, wanted: str) -> None:
        """A Location built from the plain request points at the published port; other hosts are left alone."""
        offloaded.answering("/owa/redirect", ("Location", built))
        location = offloaded.request("/owa/redirect").headers["location"]
        assert location == wanted.format(port=offloaded.running.https_port)

    def test_cookies_become_secure(self, offloaded: Bench) -> None:
        """Each cookie, once; values with commas stay whole, and so do their other attributes."""
        sent = ["a=1; path=/", "b=x,y; SECURE; HttpOnly", "c=securely; secure", "d=", "e=1;HttpOnly"]
        offloaded.answering("/owa/cookies", *[("Set-Cookie", value) for value in sent])
        answer = offloaded.request("/owa/cookies")
        found = [_parts(value) for name, value in answer.all_headers if name == "set-cookie"]
        assert [name for name, _ in found] == ["a=1", "b=x,y", "c=securely", "d=", "e=1"]
        assert [attributes.count("secure") for _, attributes in found] == [1] * 5
        others = [[one for one in attributes if one != "secure"] for _, attributes in found]
        assert others == [["path=/"], ["httponly"], [], [], ["httponly"]]

    def test_port_80_sends_to_https(self, offloaded: Bench) -> None:
        """To the published port of the same name, path and query as they were; without a name, to the first published one."""
        port = offloaded.running.https_port
        for request_line, wanted in (
            ("GET /owa/?a=%20b HTTP/1.1\r\nHost: mail.contoso.test:8080\r\n\r\n", f"{HOSTS[0]}:{port}/owa/?a=%20b"),
            (
                "GET /ews/mrsproxy.svc HTTP/1.1\r\nHost: autodiscover.contoso.test\r\n\r\n",
                f"{HOSTS[1]}:{port}/ews/mrsproxy.svc",
            ),
            ("GET / HTTP/1.0\r\n\r\n", f"{HOSTS[0]}:{port}/"),
        ):
            with socket.create_connection(
                (offloaded.running.address, offloaded.running.http_port), timeout=10
            ) as plain:
                plain.sendall(request_line.encode())
                answer = Answers(plain).next()
            assert (answer.status, answer.headers["location"]) == (302, f"https://{wanted}")
        assert offloaded.arrived == []

    @staticmethod
    def _send(bench: Bench, data: bytes) -> None:
        """Send this, with a request behind it that the balancer answers itself and closes after, and read to the end."""
        with bench.connected() as connection, suppress(ConnectionError):  # closed in the middle of what was sent
            connection.sendall(data + request("/end", headers="Connection: close\r\n"))
            while connection.recv(65536):
                pass


def _parts(cookie: str) -> tuple[str, list[str]]:
    name, *attributes = (part.strip() for part in cookie.split(";"))
    return name, [one.lower() for one in attributes]
