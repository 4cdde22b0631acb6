"""Logins that belong to a connection: no client becomes another one, and MRSProxy is never in clear."""

from __future__ import annotations

import json
import random
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from lbsync.changes import Drain, InstallCertificate, SwitchCertificate, Undrain
from lbsync.model import Mode
from lbsync.services import ALL_SERVICES, Service
from lbsync.target import Provider
from lbsync.testing.ca import TestCA
from lbsync.testing.ntlm_server import NtlmServer
from tests.balancers.acts import perform, rotate, seen_by
from tests.balancers.bench import BRIDGED, HOSTS, OFFLOADED
from tests.balancers.client import Answer, exchange
from tests.f5.conftest import CONNECTIONS, MRS, NAME, REQUESTS, F5Bench
from tests.longer import one_now

PATHS = ("/ews/exchange.asmx", "/mapi/emsmdb/", "/rpc/rpcproxy.dll", "/oab/oab.xml")


@dataclass(frozen=True)
class Way:
    """One way to be published; ``arrives`` is the port on which requests reach the servers."""

    apart: bool
    modes: dict[Service, Mode]
    arrives: str
    host: str = HOSTS[0]

    @property
    def paths(self) -> tuple[str, ...]:
        """What is asked for there."""
        return ("/ews/mrsproxy.svc",) if self.host == MRS else PATHS


ACCEPTED = {
    "bridged": Way(apart=False, modes=BRIDGED, arrives="https"),
    "offloaded, MRSProxy apart": Way(apart=True, modes=OFFLOADED, arrives="http"),
    "MRSProxy by its own name": Way(apart=True, modes=OFFLOADED, arrives="https", host=MRS),
}


@pytest.fixture(params=one_now(ACCEPTED))
def way(request: pytest.FixtureRequest) -> Way:
    """Each configuration that the plan accepts."""
    return ACCEPTED[request.param]


@pytest.fixture
def servers(authority: TestCA) -> Generator[dict[str, NtlmServer]]:
    """Two servers whose logins belong to the connection."""
    leaf = authority.issue([NAME], key="ec256")
    with ExitStack() as stack:
        yield {name: stack.enter_context(NtlmServer(name, leaf)) for name in ("EX01", "EX02")}


@pytest.fixture
def bench_of(servers: dict[str, NtlmServer], make_bench: Callable[..., F5Bench]) -> Callable[..., F5Bench]:
    """Builds benches whose members are those servers."""

    def make(settings: dict[str, object], *, apart: bool = False) -> F5Bench:
        bench = make_bench(settings)
        if apart:
            bench.settings |= apart_of(bench)
        members = tuple(
            member.model_copy(update={"http_port": found.http_port, "https_port": found.https_port})
            for member in bench.spec.members
            for found in [servers[member.name]]
        )
        bench.spec = bench.spec.model_copy(update={"members": members})
        return bench

    return make


def apart_of(bench: F5Bench) -> dict[str, object]:
    """The settings of MRSProxy's own virtual server."""
    place = {"mrsproxy_address": bench.running.address, "mrsproxy_port": bench.bigip.mrsproxy_port}
    return {"mrsproxy_host": MRS, **place}


@contextmanager
def connected(bench: F5Bench, host: str = HOSTS[0]) -> Generator[ssl.SSLSocket]:
    """A TLS connection to the virtual server of a name."""
    port = bench.bigip.mrsproxy_port if host == MRS else bench.running.https_port
    context = ssl.create_default_context(cadata=bench.ca.root_pem.decode())
    with (
        socket.create_connection((bench.running.address, port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=HOSTS[0]) as connection,
    ):
        yield connection


class Client:
    """A person with a TLS connection of their own, and who they must be to a server; empty for nobody."""

    def __init__(self, bench: F5Bench, user: str = "", host: str = HOSTS[0]) -> None:
        self.user = user
        self.now = ""
        self._bench, self._host = bench, host
        self._stack = ExitStack()
        self._connection: ssl.SSLSocket | None = None

    def ask(self, path: str, token: str = "") -> Answer:
        """One request; on a new connection, as nobody, where there is none or the balancer closed it."""
        headers = f"Authorization: NTLM {token}\r\n" if token else ""
        while True:
            fresh = self._connection is None
            connection = self._connection or self._stack.enter_context(connected(self._bench, self._host))
            self._connection = connection
            try:
                return exchange(connection, path, headers=headers, host=self._host)
            except OSError:
                if fresh:
                    raise
                self.leave()

    def log_on(self, path: str) -> str:
        """Both steps of a login; who the server says one is now."""
        self.ask(path, "T1")
        self.now = self.user
        return who(self.ask(path, f"T3:{self.user}"))

    def leave(self) -> None:
        """Hang up."""
        self._stack.close()
        self._connection, self.now = None, ""


def who(answer: Answer) -> str:
    """Who a server took the connection for; empty for nobody, who is refused."""
    user = str(json.loads(answer.body)["user"] or "")
    assert answer.status == (200 if user else 401), answer
    return user


def test_no_client_becomes_another(way: Way, bench_of: Callable[..., F5Bench], servers: dict[str, NtlmServer]) -> None:
    """Alice logs on, Mallory comes on a connection of her own, Bob logs on: each stays who they are."""
    bench = bench_of(CONNECTIONS, apart=way.apart)
    bench.publish(way.modes)
    alice, bob, mallory = (Client(bench, user, way.host) for user in ("alice", "bob", ""))
    for path in way.paths:
        assert alice.log_on(path) == "alice"
        assert [who(mallory.ask(path)) for _ in range(3)] == ["", "", ""]
        assert bob.log_on(path) == "bob"
        assert [who(client.ask(path)) for client in (alice, mallory, bob)] == ["alice", "", "bob"]
    found = [session for server in servers.values() for session in server.sessions]
    assert {session.scheme for session in found} == {way.arrives}
    assert all(len(set(session.users)) <= 1 for session in found)


def test_nor_while_the_configuration_changes(
    way: Way, bench_of: Callable[..., F5Bench], servers: dict[str, NtlmServer]
) -> None:
    """Whoever logs on, asks and hangs up in whatever order, through a rotation, and a server drained and back."""
    bench = bench_of(CONNECTIONS, apart=way.apart)
    bench.publish(way.modes)
    chance = random.Random(1)  # noqa: S311 -- the same order each time
    people = [Client(bench, user, way.host) for user in ("alice", "bob", "carol", "", "")]

    def live() -> None:
        for _ in range(25):
            client, path = chance.choice(people), chance.choice(way.paths)
            match chance.randrange(6):
                case 0 if client.user:
                    said = client.log_on(path)
                case 1:
                    client.leave()
                    said = who(client.ask(path))
                case _:
                    said = who(client.ask(path))
            assert said == client.now

    live()
    with bench.open() as provider:
        rotate(bench, provider, bench.first, bench.second)
        live()
        (drain,) = provider.lower(Drain(server="EX01", timeout_s=1, on_timeout="stop"), provider.observe(ALL_SERVICES))
        perform(bench, provider, drain.do)  # whoever has a connection there may keep it
        live()
        bench.apply(provider, Undrain(server="EX01", timeout_s=1, on_timeout="stop"))
    live()
    assert {user for server in servers.values() for user in server.users} == {"alice", "bob", "carol"}


def test_mrsproxy_is_never_in_clear_beside_what_is(bench_of: Callable[..., F5Bench]) -> None:
    """Everything else offloaded: MRSProxy is reset where it might ride a plain connection, and served at its own address."""
    bench = bench_of(CONNECTIONS, apart=True)
    bench.publish(OFFLOADED)
    with connected(bench) as client:
        assert json.loads(exchange(client, "/owa/").body)["scheme"] == "http"
        with pytest.raises(ConnectionError):
            exchange(client, "/ews/mrsproxy.svc")
    for path in ("/owa/", "/ews/exchange.asmx", "/", "/ews/mrsproxy.svc/../exchange.asmx"):
        with connected(bench, MRS) as client, pytest.raises(ConnectionError):
            exchange(client, path, host=MRS)
    with connected(bench, MRS) as client:
        found = [
            json.loads(exchange(client, path, host=MRS).body)["scheme"]
            for path in ("/ews/mrsproxy.svc", "/EWS/MRSProxy.svc/x")
        ]
    assert found == ["https", "https"]


def test_mixed_requests_of_one_connection_each_go_their_own_way(make_bench: Callable[..., F5Bench]) -> None:
    """Without NTLM: OWA in clear, MRSProxy over TLS, by turns on one connection that a client keeps."""
    bench = make_bench(REQUESTS)
    bench.publish(OFFLOADED)
    with bench.connected() as client:
        for _ in range(10):
            for path, scheme in (("/owa/", "http"), ("/ews/mrsproxy.svc", "https"), ("/ews/exchange.asmx", "http")):
                assert exchange(client, path).scheme == scheme
    assert not [path for path in bench.plain() if "mrsproxy" in path]


@pytest.mark.parametrize("scheme", one_now(["Negotiate", "NTLM", "ntlm", "NEGOTIATE"]))
def test_nobody_logs_on_where_requests_share_connections(
    scheme: str, bench_of: Callable[..., F5Bench], servers: dict[str, NtlmServer]
) -> None:
    """Declared unused: whoever tries is reset, and the next client is nobody."""
    bench = bench_of(REQUESTS)
    bench.publish(OFFLOADED)
    for path in (*PATHS, "/ews/mrsproxy.svc", "/owa/x:y"):
        with connected(bench) as client:
            assert exchange(client, path).status == 401
            with pytest.raises(ConnectionError):
                exchange(client, path, headers=f"Authorization: {scheme} T1\r\n")
        with connected(bench) as client:
            assert exchange(client, path, headers="Authorization: Basic YTpi\r\n").status == 401
    assert not any(session.users for server in servers.values() for session in server.sessions)


@pytest.mark.parametrize("careless", [True, False], ids=["OneConnect", "without"])
def test_what_lbsync_does_not_do_would_mix_clients_up(
    bench_of: Callable[..., F5Bench], servers: dict[str, NtlmServer], careless: bool
) -> None:
    """A virtual server as anybody would make it: with OneConnect Mallory, who never logs on, is taken for Alice."""
    bench = bench_of(CONNECTIONS)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
    leaf, device = bench.first.fingerprint, bench.device
    member = {"name": f"/Common/127.0.0.1:{servers['EX01'].http_port}", "address": "127.0.0.1"}
    device.foreign("ltm/pool", {"name": "/Common/careless", "members": [member]})
    pair = {"name": "x", "cert": f"/Common/lbsync_lb1_{leaf}.crt", "key": f"/Common/lbsync_lb1_{leaf}.key"}
    if bench.first.chain:
        pair["chain"] = f"/Common/lbsync_lb1_{leaf}.chain.crt"
    device.foreign("ltm/profile/client-ssl", {"name": "/Common/careless-tls", "certKeyChain": [pair]})
    profiles = ["/Common/http", "/Common/tcp", "/Common/careless-tls", *(["/Common/oneconnect"] if careless else [])]
    device.foreign(
        "ltm/virtual",
        {
            "name": "/Common/careless",
            "destination": f"/Common/{bench.running.address}:{bench.running.https_port}",
            "pool": "/Common/careless",
            "profiles": [{"name": name} for name in profiles],
        },
    )
    alice, mallory = Client(bench, "alice"), Client(bench)
    assert alice.log_on(PATHS[0]) == "alice"
    assert (who(mallory.ask(PATHS[0])) == "alice") is careless


@pytest.mark.parametrize("wrong", ["name", "authority"])
@pytest.mark.parametrize("settings", one_now([CONNECTIONS, REQUESTS]), ids=["connections", "requests"])
def test_a_server_that_does_not_verify_is_never_talked_to(
    make_bench: Callable[..., F5Bench], settings: dict[str, object], wrong: str
) -> None:
    """Another name, or a leaf of somebody else's CA: the client is reset, and the server hears nothing, in clear or not."""
    bench = make_bench(settings)
    if wrong == "name":
        members = tuple(member.model_copy(update={"tls_name": "other.contoso.test"}) for member in bench.spec.members)
        bench.spec = bench.spec.model_copy(update={"members": members})
    else:
        other = TestCA.new("somebody else's CA").root_pem.decode()
        bench.spec = bench.spec.model_copy(update={"server_ca_pem": other})
    bench.publish()
    for path in ("/owa/", "/ews/mrsproxy.svc"):
        with pytest.raises(ConnectionError):
            bench.request(path)
    assert bench.arrived == []


def test_mrsproxys_own_virtual_server_shares_the_certificate(make_bench: Callable[..., F5Bench]) -> None:
    """One client-ssl profile for both: a rotation reaches both at once."""
    bench = make_bench(CONNECTIONS)
    bench.settings |= apart_of(bench)
    bench.publish(OFFLOADED)
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        bench.apply(provider, SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint))
        assert whole(provider)
    for host in (HOSTS[0], MRS):
        with connected(bench, host) as client:
            leaf = client.getpeercert(binary_form=True)
            assert leaf == bench.second.leaf.public_bytes(encoding())


def whole(provider: Provider) -> bool:
    """Whether everything is as published."""
    seen = seen_by(provider)
    return seen.structure == seen.wanted_structure and not seen.problems and not seen.blockers


def encoding() -> Encoding:
    """DER."""
    return Encoding.DER
