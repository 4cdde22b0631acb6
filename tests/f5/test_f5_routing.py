"""Where a path ends up, asked of a simulated BIG-IP with every offloadable service in clear, each request by itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbsync.services import SERVICES, Service
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle
from tests.balancers.bench import HOSTS, OFFLOADED, Bench
from tests.balancers.client import Answers, exchange, request
from tests.balancers.paths import (
    AMBIGUOUS,
    CANONICAL,
    CLIMBING,
    HARMLESS,
    MRSPROXY,
    ODD,
    may_be_in_clear,
    may_lead_to,
    named,
)
from tests.balancers.routing import Routing, spellings
from tests.balancers.streaming import Streaming
from tests.f5.conftest import REQUESTS, F5Bench, PoliteBench, build

SERVED = frozenset(f"/{spec.prefix.split('/')[1]}" for spec in SERVICES.values())


def below_a_service(target: str) -> bool:
    """Whether the first segment is a service's, letter by letter: all that a policy may send anywhere."""
    return f"/{target.partition('?')[0].split('/')[1] if '/' in target else ''}".lower() in SERVED


def climbs(target: str) -> bool:
    """What a policy never lets through: steps up, dots and backslashes in code, PowerShell anywhere."""
    path = target.partition("?")[0].lower()
    return any(way in path for way in ("powershell", "\\", "%5c", "%2e", "%u", "/..", "%2f.."))


def is_raw(target: str) -> bool:
    """Bytes that no client sends unencoded and that a policy cannot name: control characters, and beyond ASCII."""
    return any(not " " < one < "\x7f" for one in target)


def refused(target: str) -> bool:
    """Whether a BIG-IP answers with a reset: there is no rule for it, or one that lets nothing through."""
    return climbs(target) or not below_a_service(target)


@pytest.fixture(scope="module")
def offloaded_bench(authority: TestCA, leaves: tuple[Bundle, Bundle]) -> Generator[F5Bench]:
    """The module's bench; what the device resets counts as a 404 of its own."""
    with ExitStack() as stack:
        bench = build(stack, authority, leaves, REQUESTS, kind=PoliteBench)
        bench.publish(OFFLOADED)
        yield bench


class TestRouting(Routing):
    """What holds of every balancer that routes by path; a BIG-IP resets where others answer 404."""

    refuses: ClassVar[Mapping[str, str]] = {target: "404" for target in MRSPROXY if refused(target)}

    @pytest.mark.parametrize("target", [target for target, _ in CANONICAL], ids=named)
    def test_a_canonical_path_follows_its_mode(self, offloaded: Bench, target: str) -> None:  # type: ignore[override]
        """Known prefixes at a segment's end, in any case, go to port 80, as the client wrote them."""
        assert offloaded.request(target).ends == "http"
        assert offloaded.plain() == [target]

    @pytest.mark.parametrize("target", [target for target in ODD if not is_raw(target)], ids=named)
    def test_no_odd_spelling_reaches_port_80(self, offloaded: Bench, target: str) -> None:
        """What is not canonical goes to a server's TLS port or nowhere."""
        assert offloaded.request(target).ends in ({"404"} if refused(target) else {"https"})
        assert offloaded.plain() == []

    @pytest.mark.parametrize("target", [target for target in HARMLESS if not refused(target)])
    def test_harmless_odd_spellings_are_served_over_tls(self, offloaded: Bench, target: str) -> None:
        """They are published, only not in clear."""
        assert offloaded.request(target).ends == "https"

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(targets=st.lists(spellings(), min_size=4, max_size=12))
    def test_no_spelling_at_all_reaches_port_80_or_powershell(self, offloaded: Bench, targets: list[str]) -> None:
        """Whatever the spelling, only a canonical path that is not MRSProxy is in clear, and PowerShell is nowhere."""
        for target in targets:
            offloaded.forget()
            ends = offloaded.request(target).ends
            assert ends != "http" or may_be_in_clear("".join("x" if is_raw(one) else one for one in target))
            assert offloaded.plain() == ([target] if ends == "http" else [])
            if may_lead_to(target, "powershell"):
                assert offloaded.arrived == []

    @pytest.mark.parametrize(
        "start", ["https://mail.contoso.test", "http://mail.contoso.test", "HTTPS://mail.contoso.test"]
    )
    def test_an_absolute_request_target_is_routed_alike(self, offloaded: Bench, start: str) -> None:
        """A proxy's form of the request line is refused: no rule begins with a scheme."""
        for path in ("/owa/", "/ews/mrsproxy.svc", "//ews/mrsproxy.svc", "/owa/..%5cpowershell", "/powershell"):
            assert offloaded.request(f"{start}{path}").ends == "404"
        assert offloaded.arrived == []

    def test_every_request_of_a_connection_is_routed_by_itself(self, offloaded: Bench) -> None:
        """Nothing of one request's routing is left for the next on the same connection, up to one that is reset."""
        targets = ("/ews/mrsproxy.svc", "/ews/x", "/ews/x:y", "/owa/", "/ews/mrsproxy.svc", "/", "/owa/")
        with offloaded.connected() as connection:
            found = [exchange(connection, target).ends for target in targets]
            assert found == ["https", "http", "https", "http", "https", "https", "http"]
            with pytest.raises(ConnectionError):
                exchange(connection, "/powershell")

    def test_requests_sent_at_once_are_routed_each_by_itself(self, offloaded: Bench) -> None:
        """Pipelined: the answers come in order, and no request is taken for a part of another."""
        targets = ("/ews/mrsproxy.svc", "/owa/", "/ews/x:y", "/ews/x")
        with offloaded.connected() as connection:
            connection.sendall(b"".join(request(target) for target in targets))
            answers = Answers(connection)
            assert [answers.next().ends for _ in targets] == ["https", "http", "https", "http"]
        assert sorted(offloaded.plain()) == ["/ews/x", "/owa/"]

    @pytest.mark.parametrize("method", ["GET", "POST", "RPC_IN_DATA"])
    def test_a_request_inside_a_body_is_a_body(self, offloaded: Bench, method: str) -> None:
        """By length and in chunks, whole and in any method."""
        hidden = request("/ews/mrsproxy.svc")
        chunk = f"{len(hidden):x};x=y\r\n".encode() + hidden + b"\r\n0\r\n\r\n"
        for framed in (
            f"Content-Length: {len(hidden)}\r\n\r\n".encode() + hidden,
            b"Transfer-Encoding: chunked\r\n\r\n" + chunk,
        ):
            offloaded.forget()
            with offloaded.connected() as connection:
                connection.sendall(f"{method} /owa/ HTTP/1.1\r\nHost: {HOSTS[0]}\r\n".encode() + framed)
                assert Answers(connection).next().ends == "http"
                assert exchange(connection, "/owa/x:y").ends == "https"
            found = {(one.method, one.path, one.body) for one in offloaded.arrived}
            assert found == {(method, "/owa/", hidden), ("GET", "/owa/x:y", b"")}

    @pytest.mark.parametrize(
        ("built", "wanted"),
        [
            ("http://mail.contoso.test/owa/", "https://mail.contoso.test/owa/"),
            ("http://MAIL.contoso.test:80/owa/", "https://MAIL.contoso.test/owa/"),
            ("http://autodiscover.contoso.test/x?y=1", "https://autodiscover.contoso.test/x?y=1"),
            ("http://mail.contoso.test", "https://mail.contoso.test"),
            ("https://mail.contoso.test/owa/", "https://mail.contoso.test/owa/"),
            ("http://legacy.contoso.test/owa/", "https://legacy.contoso.test/owa/"),
            ("http://evil.test/?http://mail.contoso.test/", "https://evil.test/?http://mail.contoso.test/"),
            ("/owa/auth/logon.aspx", "/owa/auth/logon.aspx"),
        ],
    )
    def test_links_to_ourselves_become_https(self, offloaded: Bench, built: str, wanted: str) -> None:
        """The http profile turns every Location into https, whoever's host it names, and drops the port."""
        offloaded.answering("/owa/redirect", ("Location", built))
        assert offloaded.request("/owa/redirect").headers["location"] == wanted

    def test_cookies_become_secure(self, offloaded: Bench) -> None:
        """Not on a BIG-IP: cookies, in clear from a server that was told of TLS, reach the client as they came."""
        sent = ["a=1; path=/; secure", "b=x,y; HttpOnly"]
        offloaded.answering("/owa/cookies", *[("Set-Cookie", value) for value in sent])
        answer = offloaded.request("/owa/cookies")
        assert [value for name, value in answer.all_headers if name == "set-cookie"] == sent

    def test_port_80_sends_to_https(self, offloaded: Bench) -> None:
        """By the device's own rule: to the same name without a port, path and query as they were."""
        for request_line, wanted in (
            ("GET /owa/?a=%20b HTTP/1.1\r\nHost: mail.contoso.test:8080\r\n\r\n", f"{HOSTS[0]}/owa/?a=%20b"),
            ("GET /ews/mrsproxy.svc HTTP/1.1\r\nHost: other.test\r\n\r\n", "other.test/ews/mrsproxy.svc"),
        ):
            place = (offloaded.running.address, offloaded.running.http_port)
            with socket.create_connection(place, timeout=10) as plain:
                plain.sendall(request_line.encode())
                answer = Answers(plain).next()
            assert (answer.status, answer.headers["location"]) == (302, f"https://{wanted}")
        assert offloaded.arrived == []


@pytest.mark.parametrize("target", [target for target in ODD if is_raw(target)], ids=ascii)
def test_raw_bytes_are_left_to_the_servers(offloaded: Bench, target: str) -> None:
    """A policy cannot name control characters and bytes beyond ASCII, which Windows refuses: they follow their service."""
    assert offloaded.request(target).ends == "http"
    assert len(offloaded.arrived) == 1


def test_other_spellings_of_a_first_segment_are_refused(offloaded: Bench) -> None:
    """A rule is for a segment letter by letter: what clients hardly ever send is not guessed at."""
    assert {offloaded.request(target).ends for target in HARMLESS if refused(target)} == {"404"}
    assert offloaded.arrived == []


def test_powershell_is_not_reached_where_dots_are_read_in_another_way(offloaded: Bench) -> None:
    """What one takes for a step up and another for a name is nobody's."""
    assert {target: offloaded.request(target).ends for target in AMBIGUOUS} == dict.fromkeys(AMBIGUOUS, "404")
    assert offloaded.arrived == []


def test_what_leads_out_of_a_service_reaches_no_other(make_bench: Callable[..., F5Bench]) -> None:
    """ECP is not published while OWA is: no spelling climbs there."""
    services = tuple(service for service in SERVICES if service is not Service.ECP)
    bench = make_bench(REQUESTS, services=services, kind=PoliteBench)
    bench.publish(OFFLOADED)
    assert {target: bench.request(target).ends for target in CLIMBING} == dict.fromkeys(CLIMBING, "404")
    assert bench.arrived == []


def test_mrsproxy_that_is_not_published_is_absent(make_bench: Callable[..., F5Bench]) -> None:
    """Without its pool its path must not fall to EWS, in clear or over TLS; EWS itself is served."""
    services = tuple(service for service in SERVICES if service is not Service.MRSPROXY)
    bench = make_bench(REQUESTS, services=services, kind=PoliteBench)
    bench.publish(OFFLOADED)
    for target in MRSPROXY:
        assert bench.request(target).ends == "404"
    assert bench.arrived == []
    assert bench.request("/ews/exchange.asmx").ends == "http"


class TestStreaming(Streaming):
    """The same of bodies and answers under way; the fixture ``by_hand`` is conftest's."""
