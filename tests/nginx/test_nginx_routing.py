"""Where a path ends up, asked of a real NGINX; and what becomes of bodies and answers under way."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import ClassVar

import pytest

from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.testing.ca import TestCA
from tests.balancers.bench import HOSTS, OFFLOADED
from tests.balancers.client import exchange
from tests.balancers.paths import AMBIGUOUS, CLIMBING, MRSPROXY
from tests.balancers.routing import Routing
from tests.balancers.streaming import Streaming
from tests.nginx.conftest import MRS, NginxBench


class TestRouting(Routing):
    """What holds of every balancer that routes by path; the fixture ``offloaded`` is conftest's."""

    # What climbs above the root is no HTTP to NGINX. A backslash, and dots beside an encoded slash, are read in more ways than
    # one: they are not handed on.
    refuses: ClassVar[Mapping[str, str]] = {"/../ews/mrsproxy.svc": "400"} | {
        target: "404" for target in MRSPROXY if re.search(r"(?i)\\|%5c|%2f.*\.\.|\.\..*%2f", target)
    }


@pytest.mark.parametrize("target", AMBIGUOUS)
def test_powershell_is_not_reached_where_dots_are_read_in_another_way(offloaded: NginxBench, target: str) -> None:
    """What one takes for a step up and another for a name: the path is not OWA's for everybody, so it is nobody's."""
    assert offloaded.request(target).ends in {"400", "404"}
    assert offloaded.arrived == []


class TestStreaming(Streaming):
    """The same of bodies and answers under way; the fixture ``by_hand`` is conftest's."""


def but(*services: Service) -> tuple[Service, ...]:
    """All services but these."""
    return tuple(service for service in SERVICES if service not in services)


def test_mrsproxy_that_is_not_published_is_absent(make_bench: Callable[..., NginxBench]) -> None:
    """Its path must not fall to EWS, in no spelling and over no port; the rest of EWS is served."""
    bench = make_bench(services=but(Service.MRSPROXY))
    bench.publish({service: mode for service, mode in OFFLOADED.items() if service is not Service.MRSPROXY})
    assert {bench.request(target).ends for target in MRSPROXY} == {"404", "400"}
    assert bench.arrived == []
    assert bench.request("/ews/exchange.asmx").ends == "http"


def test_a_service_that_is_not_published_is_absent(make_bench: Callable[..., NginxBench]) -> None:
    """However it is spelled, and from wherever it climbs."""
    bench = make_bench(services=but(Service.ECP))
    bench.publish({service: OFFLOADED[service] for service in bench.spec.services})
    assert {target: bench.request(target).ends for target in CLIMBING} == dict.fromkeys(CLIMBING, "404")
    assert bench.arrived == []


def test_without_owa_the_root_leads_nowhere(make_bench: Callable[..., NginxBench]) -> None:
    """It would only redirect there."""
    bench = make_bench(services=but(Service.OWA))
    bench.publish({service: OFFLOADED[service] for service in bench.spec.services})
    assert [bench.request(target).ends for target in ("/", "/?x", "/owa/", "/ecp/")] == ["404", "404", "404", "http"]


def test_each_service_follows_its_own_mode(make_bench: Callable[..., NginxBench]) -> None:
    """One offloaded beside one that is bridged, as a plan may have it."""
    bench = make_bench()
    bench.publish({service: Mode.OFFLOAD if service is Service.EWS else Mode.BRIDGE for service in SERVICES})
    targets = ("/ews/exchange.asmx", "/ews/mrsproxy.svc", "/owa/", "/Microsoft-Server-ActiveSync", "/")
    assert [bench.request(target).ends for target in targets] == ["http", "https", "https", "https", "https"]


@pytest.mark.parametrize("length", [6000, 60000])
def test_a_path_longer_than_any_clients_is_routed_alike(offloaded: NginxBench, length: int) -> None:
    """No length makes a pattern give up and a default take over; beyond 64 KiB the request is refused."""
    found = [
        offloaded.request(target).ends
        for target in (
            "/owa/" + "a" * length,
            "/owa" * (length // 4),
            "/owa" * (length // 4) + "/.",
            "/ews/" + "a/../" * (length // 5) + "mrsproxy.svc",
            "/ews" + "%2f" * (length // 3) + "mrsproxy.svc",
            "/" * length + "powershell",
            "/owa/" + "a" * length + "/..%5c..%5cpowershell",
            "/owa/" + "a" * 70000,
        )
    ]
    assert found == ["http", "http", "https", "https", "https", "404", "404", "414"]


@pytest.mark.parametrize("length", [16384, 60000])
@pytest.mark.parametrize("target", ["/owa/", "/ews/mrsproxy.svc"])
def test_a_large_token_passes(offloaded: NginxBench, target: str, length: int) -> None:
    """A Kerberos ticket of somebody in many groups: Windows allows up to 48,000 bytes, a third more as text."""
    token = "A" * length
    assert offloaded.request(target, headers=f"Authorization: Negotiate {token}\r\n").status == 200
    (arrived,) = offloaded.arrived
    assert arrived.headers["authorization"] == f"Negotiate {token}"


def test_connections_to_servers_are_used_for_one_request(offloaded: NginxBench) -> None:
    """Whoever authenticates one shares it with nobody, not even with the client's own next request."""
    with offloaded.connected() as one, offloaded.connected() as other:
        for _ in range(4):
            for client in (one, other):
                exchange(client, "/owa/")
                exchange(client, "/ews/mrsproxy.svc")
    used = [(one.scheme, one.connection) for one in offloaded.arrived]
    assert len(set(used)) == len(used) == 16


def test_a_request_that_waits_outlives_a_reload(make_bench: Callable[..., NginxBench]) -> None:
    """An ActiveSync ping is under way for half an hour: the worker that has it stays until it is answered."""
    bench = make_bench()
    bench.publish(OFFLOADED)
    thread, outcome, server = bench.waiting()
    before = bench.nginx.workers
    bench.nginx.reload()
    bench.nginx.reload()
    assert not before & bench.nginx.workers
    assert bench.request("/ews/exchange.asmx").status == 200
    assert outcome == []
    bench.servers[server].hold.set()
    thread.join(10)
    assert outcome == [200]


def test_without_a_port_nothing_redirects(make_bench: Callable[..., NginxBench]) -> None:
    """http_port = 0: somebody else may have port 80."""
    bench = make_bench({"proxy": "http", "ntlm": "unused", "http_port": 0})
    bench.publish()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((bench.nginx.address, bench.nginx.http_port), timeout=10)


def test_links_point_to_the_port_that_clients_see(make_bench: Callable[..., NginxBench]) -> None:
    """Behind a translation of addresses clients use 443, and 443 is not written into a link."""
    bench = make_bench({"proxy": "http", "ntlm": "unused", "public_https_port": 443})
    bench.publish(OFFLOADED)
    bench.answering("/owa/redirect", ("Location", f"http://{HOSTS[0]}/owa/"))
    assert bench.request("/owa/redirect").headers["location"] == f"https://{HOSTS[0]}/owa/"
    with socket.create_connection((bench.nginx.address, bench.nginx.http_port), timeout=10) as plain:
        assert exchange(plain, "/owa/?x").headers["location"] == f"https://{HOSTS[0]}/owa/?x"


def test_a_server_with_another_name_is_given_nothing_over_tls(make_bench: Callable[..., NginxBench]) -> None:
    """The leg to the servers is verified by name; what is offloaded has no such leg."""
    bench = make_bench()
    members = [member.model_copy(update={"tls_name": "other.contoso.test"}) for member in bench.spec.members]
    bench.spec = bench.spec.model_copy(update={"members": tuple(members)})
    bench.publish(OFFLOADED)
    assert [bench.request(target).status for target in ("/ews/mrsproxy.svc", "/%6fwa/", "/owa/")] == [502, 502, 200]
    assert [one.scheme for one in bench.arrived] == ["http"]


def test_a_server_of_another_ca_is_given_nothing_over_tls(make_bench: Callable[..., NginxBench]) -> None:
    """Nor a leaf that somebody else's CA signed, whose intermediate and root NGINX does not know."""
    bench = make_bench()
    bench.spec = bench.spec.model_copy(update={"server_ca_pem": TestCA.new("somebody else").root_pem.decode()})
    bench.publish()
    assert bench.request("/ews/mrsproxy.svc").status == 502
    assert bench.arrived == []


def test_http_2_is_not_offered(offloaded: NginxBench) -> None:
    """NTLM cannot be carried in it."""
    context = ssl.create_default_context(cadata=offloaded.ca.root_pem.decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    place = (offloaded.nginx.address, offloaded.nginx.https_port)
    with (
        socket.create_connection(place, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=HOSTS[0]) as client,
    ):
        assert client.selected_alpn_protocol() != "h2"


def test_a_stream_hands_on_whatever_comes(streaming: NginxBench) -> None:
    """No path is seen: what the servers publish is published, as the facts say, and over TLS while bridged."""
    targets = ("/owa/", "/ews/mrsproxy.svc", "/powershell", "/owa/..%5cpowershell")
    assert [streaming.request(target).ends for target in targets] == ["https"] * 4
    assert sorted(one.path for one in streaming.arrived) == sorted(targets)


def test_a_stream_keeps_a_connection_of_its_own_for_each_client(streaming: NginxBench) -> None:
    """All requests of one client's connection are one connection at one server, which nobody else is sent over."""
    with streaming.connected() as one, streaming.connected() as other:
        found = [exchange(client, "/owa/").server for client in (one, other, one, other)]
    assert (found[0], found[1]) == (found[2], found[3])
    assert len({(arrived.scheme, arrived.connection) for arrived in streaming.arrived}) == 2


@pytest.mark.parametrize("mode", [Mode.BRIDGE, Mode.OFFLOAD])
def test_mrsproxys_own_name_leads_to_the_servers_tls(make_bench: Callable[..., NginxBench], mode: Mode) -> None:
    """In either mode: that connection is not opened here, so the client sees the servers' own certificate."""
    bench = make_bench({"proxy": "stream", "mrsproxy_host": MRS})
    bench.publish(dict.fromkeys(SERVICES, mode) | {Service.MRSPROXY: Mode.BRIDGE})
    with bench.connected(MRS) as client:
        assert exchange(client, "/ews/mrsproxy.svc", host=MRS).ends == "https"
        names = client.getpeercert()
        assert names is not None
        assert MRS in str(names["subjectAltName"])
    assert bench.request("/owa/").ends == ("http" if mode is Mode.OFFLOAD else "https")
    assert all(item.path != "/ews/mrsproxy.svc" for item in bench.arrived if item.scheme == "http")
