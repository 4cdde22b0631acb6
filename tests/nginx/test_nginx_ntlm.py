"""Logins that belong to a connection: no client becomes another one where the plan accepts, and would where it refuses."""

from __future__ import annotations

import json
import random
import shutil
import ssl
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests_ntlm import HttpNtlmAuth

from lbsync.advise import advise
from lbsync.changes import Drain, InstallCertificate, SwitchCertificate, Undrain
from lbsync.lab.farm import LabFarm
from lbsync.lab.spec import LabSpec
from lbsync.model import Mode
from lbsync.services import ALL_SERVICES, Service
from lbsync.target import BalancerSpec, Member, Provider
from lbsync.testing.ca import TestCA
from lbsync.testing.farm_facts import NOW, all_modes, desired, fact_set, leaf_info, server_facts
from lbsync.testing.nginx import RunningNginx
from lbsync.testing.ntlm_server import NtlmServer
from lbsync.testing.ports import free_port
from lbsync_nginx import plugin
from tests.balancers.bench import HOSTS, Bench
from tests.balancers.client import Answer, exchange
from tests.nginx.conftest import HTTP, MRS, STREAM, VARIABLE, NginxBench

PATHS = ("/ews/exchange.asmx", "/mapi/emsmdb/", "/rpc/rpcproxy.dll", "/oab/oab.xml", "/ews/mrsproxy.svc")
OFFLOADED, BRIDGED = all_modes(Mode.OFFLOAD), all_modes(Mode.BRIDGE)


@dataclass(frozen=True)
class Way:
    """One way to be published. ``name`` is what clients ask for, ``arrives`` the port their requests reach the servers on."""

    settings: dict[str, object]
    modes: dict[Service, Mode]
    carries: bool
    arrives: tuple[str, ...]
    name: str = HOSTS[0]
    mrsproxy: bool = True
    """Whether MRSProxy is enabled on the servers."""


PLAIN_STREAM: dict[str, object] = {"proxy": "stream"}
ACCEPTED = {
    "http": Way(HTTP, OFFLOADED, carries=False, arrives=("http", "https")),
    "http, bridged": Way(HTTP, BRIDGED, carries=False, arrives=("https",)),
    "http, by variable": Way(HTTP | VARIABLE, OFFLOADED, carries=False, arrives=("http", "https")),
    "stream, bridged": Way(PLAIN_STREAM, BRIDGED, carries=True, arrives=("https",)),
    "stream, offloaded": Way(PLAIN_STREAM, OFFLOADED, carries=True, arrives=("http",), mrsproxy=False),
    "stream with a name for MRSProxy": Way(STREAM, OFFLOADED, carries=True, arrives=("http",)),
    "MRSProxy by its own name": Way(STREAM, OFFLOADED, carries=True, arrives=("https",), name=MRS),
}


@pytest.fixture(params=list(ACCEPTED))
def way(request: pytest.FixtureRequest) -> Way:
    """Each configuration that the plan accepts."""
    return ACCEPTED[request.param]


@pytest.fixture
def servers(require: Callable[[str], None], authority: TestCA) -> Generator[dict[str, NtlmServer]]:
    """Two servers whose logins belong to the connection."""
    require("nginx")
    leaf = authority.issue([MRS], key="ec256")
    with ExitStack() as stack:
        yield {name: stack.enter_context(NtlmServer(name, leaf)) for name in ("EX01", "EX02")}


@pytest.fixture
def bench_of(servers: dict[str, NtlmServer], make_bench: Callable[..., NginxBench]) -> Callable[..., NginxBench]:
    """Builds benches whose members are those servers."""

    def make(settings: dict[str, object] | None = None, **nginx: object) -> NginxBench:
        bench = make_bench(settings, **nginx)
        members = tuple(
            member.model_copy(update={"http_port": found.http_port, "https_port": found.https_port})
            for member in bench.spec.members
            for found in [servers[member.name]]
        )
        bench.spec = bench.spec.model_copy(update={"members": members})
        return bench

    return make


class Client:
    """A person with a TLS connection of their own, and who they must be to a server; empty for nobody."""

    def __init__(self, bench: Bench, user: str, *, name: str, carries: bool) -> None:
        self.user = user
        self.now = ""
        self._bench, self._name, self._carries = bench, name, carries
        self._stack = ExitStack()
        self._connection: ssl.SSLSocket | None = None

    def ask(self, path: str, token: str = "") -> Answer:
        """One request; on a new connection, as nobody, where there is none or the balancer closed it."""
        headers = f"Authorization: NTLM {token}\r\n" if token else ""
        while True:
            fresh = self._connection is None
            connection = self._connection or self._stack.enter_context(self._bench.connected(self._name))
            self._connection = connection
            try:
                return exchange(connection, path, headers=headers, host=self._name)
            except OSError:
                if fresh:
                    raise
                self.leave()

    def log_on(self, path: str) -> str:
        """Both steps of a login; who the server says one is now. Where a reload fell between them, once more."""
        self.ask(path, "T1")
        answer = self.ask(path, f"T3:{self.user}")
        self.now = self.user if self._carries else ""
        return who(answer)

    def leave(self) -> None:
        """Hang up."""
        self._stack.close()
        self._connection, self.now = None, ""


def who(answer: Answer) -> str:
    """Who a server took the connection for; empty for nobody, who is refused."""
    user = str(json.loads(answer.body)["user"] or "")
    assert answer.status == (200 if user else 401), answer
    return user


def live_together(clients: list[Client], chance: random.Random, turns: int) -> Iterator[tuple[str, str]]:
    """Everybody does this and that in turn; who they were taken for, and who they must be."""
    for _ in range(turns):
        client, path = chance.choice(clients), chance.choice(PATHS)
        match chance.randrange(6):
            case 0 if client.user:
                said = client.log_on(path)
            case 1:
                client.leave()
                said = who(client.ask(path))
            case _:
                said = who(client.ask(path))
        yield said, client.now


def judged(provider: Provider, way: Way) -> set[str]:
    """What the plan refuses of this way, by the names of the rules."""
    servers = tuple(server_facts(name, leaf_info(names=(*HOSTS, MRS))) for name in ("EX01", "EX02"))
    seen = provider.observe(ALL_SERVICES)
    assert seen.kind == "balancer"
    facts = fact_set(balancers=(seen,)).model_copy(update={"servers": servers})
    enabled = dict.fromkeys(("EX01", "EX02"), way.mrsproxy)
    facts = facts.model_copy(update={"farm": facts.farm.model_copy(update={"mrsproxy_enabled": enabled})})
    wish = desired(way.modes, leaf=leaf_info(names=(*HOSTS, MRS)))
    return {finding.rule for finding in advise(wish, facts, {"lb1": provider.capabilities}, NOW).refusals}


def test_no_client_becomes_another(
    way: Way, bench_of: Callable[..., NginxBench], servers: dict[str, NtlmServer]
) -> None:
    """Alice logs on, Mallory comes on a connection of her own, Bob logs on: each stays who they are, where any can log on."""
    bench = bench_of(way.settings)
    with bench.open() as provider:
        assert judged(provider, way) == set()
    bench.publish(way.modes)
    alice, bob, mallory = (Client(bench, user, name=way.name, carries=way.carries) for user in ("alice", "bob", ""))
    for path in PATHS:
        assert alice.log_on(path) == alice.now
        assert [who(mallory.ask(path)) for _ in range(3)] == ["", "", ""]
        assert bob.log_on(path) == bob.now
        assert [who(client.ask(path)) for client in (alice, mallory, bob)] == [alice.now, "", bob.now]
    found = [session for server in servers.values() for session in server.sessions]
    assert {session.scheme for session in found} == set(way.arrives)
    if way.carries:
        assert (alice.now, bob.now) == ("alice", "bob")
        assert all(len(set(session.users)) <= 1 for session in found)
    else:
        assert not any(session.users for session in found)
        assert {session.requests for session in found} == {1}


def test_nor_while_the_configuration_changes(
    way: Way, bench_of: Callable[..., NginxBench], servers: dict[str, NtlmServer]
) -> None:
    """Whoever logs on, asks and hangs up in whatever order, through reloads, another certificate and a drained server."""
    bench = bench_of(way.settings)
    bench.publish(way.modes)
    chance = random.Random(1)  # noqa: S311 -- the same order each time
    people = [Client(bench, user, name=way.name, carries=way.carries) for user in ("alice", "bob", "carol", "", "")]

    def live() -> None:
        for said, must in live_together(people, chance, 25):
            assert said == must

    live()
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        bench.apply(provider, SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint))
        live()
        (drain,) = provider.lower(Drain(server="EX01", timeout_s=1, on_timeout="stop"), provider.observe(ALL_SERVICES))
        assert drain.do is not None
        provider.perform(drain.do, bench.materials)  # whoever has a connection there may keep it
        live()
        bench.apply(provider, Undrain(server="EX01", timeout_s=1, on_timeout="stop"))
    bench.nginx.reload()
    live()
    assert {user for server in servers.values() for user in server.users} == (
        {"alice", "bob", "carol"} if way.carries else set()
    )


def test_what_would_mix_clients_up_is_refused_by_the_plan(make_bench: Callable[..., NginxBench]) -> None:
    """Requests by path, without a word on how clients log on: each service that offers NTLM is refused, in either mode."""
    bench = make_bench({"proxy": "http"})
    with bench.open() as provider:
        for modes in (BRIDGED, OFFLOADED):
            assert judged(provider, Way({}, modes, carries=False, arrives=())) == {"balancer-ntlm"}


def test_offloading_mrsproxy_with_the_rest_is_refused_by_the_plan(make_bench: Callable[..., NginxBench]) -> None:
    """Connections passed on whole to port 80, MRSProxy enabled and without a name of its own: it would be offloaded too."""
    bench = make_bench(PLAIN_STREAM)
    with bench.open() as provider:
        refused = judged(provider, Way({}, OFFLOADED, carries=True, arrives=()))
    assert refused == {"mrsproxy-on-shared-listener"}


CARELESS = """
    upstream careless {{ zone careless 64k; server {member}; {upstream} }}
    server {{
        listen {address}:{port} ssl;
        server_name mail.contoso.test;
        ssl_certificate {directory}/careless.pem;
        ssl_certificate_key {directory}/careless.pem;
        location / {{ proxy_pass http://careless; {location} }}
    }}
"""
KEPT = ("keepalive 16;", 'proxy_http_version 1.1; proxy_set_header Connection "";')


@pytest.mark.parametrize("told", [("", ""), KEPT], ids=["as it comes", "keep-alive to servers"])
def test_what_is_refused_would_mix_clients_up(
    told: tuple[str, str], bench_of: Callable[..., NginxBench], servers: dict[str, NtlmServer]
) -> None:
    """NGINX as anybody would set it up: Mallory, who never logs on, is taken for Alice.

    With keep-alive to the servers in every version; from 1.29.7 on without a word about it.
    """
    bench = bench_of(start=False)
    running = bench.nginx
    server = servers["EX01"]
    text = CARELESS.format(
        member=f"{server.address}:{server.http_port}",
        address=running.address,
        port=running.https_port,
        directory=running.directory,
        upstream=told[0],
        location=told[1],
    )
    (running.directory / "careless.pem").write_bytes(bench.first.pem())
    running.main.write_text(running.main.read_text().replace("http {", f"http {{{text}", 1))
    running.start()
    leaks = told == KEPT or running.version >= (1, 29, 7)
    alice = Client(bench, "alice", name=HOSTS[0], carries=leaks)
    assert alice.log_on(PATHS[0]) == alice.now
    taken_for = {who(Client(bench, "", name=HOSTS[0], carries=False).ask(PATHS[0])) for _ in range(40)}
    assert ("alice" in taken_for) is leaks


class ToAddress(HTTPAdapter):
    """HTTPS to an address, verified for a published name."""

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        """As the base class has it, with the name to verify."""
        super().init_poolmanager(*args, server_hostname=self._name, assert_hostname=self._name, **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def protected(require: Callable[[str], None]) -> Generator[tuple[LabFarm, Bench]]:
    """A farm with Extended Protection on, and an NGINX in front that bridges connections with the servers' own leaf."""
    require("nginx")
    folder = Path(tempfile.mkdtemp(prefix="lb", dir="/tmp"))
    spec = LabSpec(servers=2, faults=0, extended_protection=True, extra_names=(MRS,))
    try:
        with LabFarm(spec, folder / "farm") as farm, RunningNginx(folder) as nginx:
            members = tuple(
                Member(
                    name=server.name,
                    address=server.address,
                    http_port=server.http_port,
                    https_port=server.https_port,
                    tls_name=HOSTS[0],
                )
                for server in farm.servers.values()
            )
            balancer = BalancerSpec(
                name="lb1", hosts=HOSTS, members=members, services=tuple(Service), server_ca_pem=farm.ca_pem
            )
            settings = nginx.settings | STREAM | {"inner_port": free_port("127.0.0.1"), "proof_s": 0.1}
            other = farm.ca.issue((*HOSTS, MRS))
            bench = Bench(plugin, nginx, {}, farm.ca, farm.leaf, other, spec=balancer, settings=settings)
            bench.publish()
            yield farm, bench
    finally:
        shutil.rmtree(folder)


def ask_as_outlook(farm: LabFarm, bench: Bench, path: str, name: str = HOSTS[0]) -> int:
    """Log on with NTLM and a channel binding, as an unmodified client does; the last status."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(farm.directory / "ca.pem")
        session.mount("https://", ToAddress(name))
        session.auth = HttpNtlmAuth(*farm.mailbox)
        url = f"https://{bench.running.address}:{bench.running.https_port}{path}"
        return session.get(url, headers={"Host": name}, timeout=30).status_code


def test_channel_bindings_hold_through_bridged_connections(protected: tuple[LabFarm, Bench]) -> None:
    """With the servers' own leaf on NGINX a client under Extended Protection logs on; with another one it does not.

    MRSProxy's own name is passed through to the servers' TLS, so that it does either way.
    """
    farm, bench = protected
    ways = {("/ews/exchange.asmx", HOSTS[0]), ("/mapi/emsmdb/", HOSTS[0]), ("/ews/mrsproxy.svc", HOSTS[0])}
    passed_through = ("/ews/mrsproxy.svc", MRS)
    assert {way: ask_as_outlook(farm, bench, *way) for way in {*ways, passed_through}} == dict.fromkeys(
        {*ways, passed_through}, 200
    )
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        bench.apply(provider, SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint))
    assert {way: ask_as_outlook(farm, bench, *way) for way in ways} == dict.fromkeys(ways, 401)
    assert ask_as_outlook(farm, bench, *passed_through) == 200
