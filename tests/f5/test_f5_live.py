"""Live changes on a simulated BIG-IP: no request is lost, and what must not happen does not."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from lbsync.changes import Drain, InstallCertificate, Mark, Publish, SwitchMode
from lbsync.errors import Rejected
from lbsync.model import Action, Check, Mode
from lbsync.services import SERVICES, Service
from lbsync.target import Provider
from lbsync.testing.load import Load, LoadSpec
from tests.balancers.acts import drain, flip, offloadable, perform, rotate, seen_by, step_of, undrain
from tests.balancers.bench import BRIDGED, OFFLOADED, wait_true
from tests.balancers.client import exchange
from tests.f5.acts import drained, everything, nothing_left, running
from tests.f5.conftest import CONNECTIONS, REQUESTS, F5Bench
from tests.longer import one_now

ways = pytest.mark.parametrize("settings", one_now([CONNECTIONS, REQUESTS]), ids=["connections", "requests"])
PREFIX = "/Common/lbsync_lb1_"


@pytest.fixture
def make_bench(make_small: Callable[..., F5Bench]) -> Callable[..., F5Bench]:
    """Few services do."""
    return make_small


def loading(bench: F5Bench, *paths: str) -> Load:
    """Clients of the listener: fresh ones, and some that keep their connections."""
    spec = LoadSpec(
        fresh_pause_s=0.02,
        address=bench.running.address,
        port=bench.running.https_port,
        server_name="mail.contoso.test",
        ca_pem=bench.ca.root_pem.decode(),
        paths=paths or ("/owa/", "/ews/exchange.asmx"),
        fresh=1,
        keep=3,
        long=0,
    )
    return Load(spec)


@ways
def test_no_request_is_lost(make_bench: Callable[..., F5Bench], settings: dict[str, object]) -> None:
    """Rotations, changes of modes, each server drained and back, another structure: all of it under load."""
    bench = make_bench(settings)
    bench.publish()
    old, new = bench.first, bench.second
    thread, outcome, waited = bench.waiting()
    paths = ("/owa/", "/ews/exchange.asmx", "/owa/x:y", "/ews/mrsproxy.svc") if settings == REQUESTS else ()
    with bench.open() as provider, loading(bench, *paths) as load:
        rotate(bench, provider, old, new)
        time.sleep(0.2)  # a handshake with the new one, before the old one is served again
        for mode in (Mode.OFFLOAD, Mode.BRIDGE):
            flip(bench, provider, mode)
        other = next(name for name in bench.servers if name != waited)
        step = step_of(provider, drain(other))
        perform(bench, provider, step.do)
        perform(bench, provider, step_of(provider, undrain(other)).do)
        bench.settings["long_request_s"] = 1900
        with bench.open() as changed:
            bench.apply(changed, Publish(leaf=old.fingerprint, modes=BRIDGED))
    bench.servers[waited].hold.set()
    thread.join(10)
    assert outcome == [200]
    result = load.result
    assert result.failures == {}
    assert result.requests > 30
    assert set(result.leaves) == {old.fingerprint, new.fingerprint}
    assert bench.device.plane.mishaps == ()  # type: ignore[attr-defined]
    nothing_left(bench)


@ways
def test_a_long_poll_outlives_every_change(make_bench: Callable[..., F5Bench], settings: dict[str, object]) -> None:
    """A rotation, a change of modes and of its own virtual server, and a drain: its answer still comes."""
    bench = make_bench(settings)
    bench.publish()
    thread, outcome, server = bench.waiting()
    with bench.open() as provider:
        rotate(bench, provider, bench.first, bench.second)
        flip(bench, provider, Mode.OFFLOAD)
        perform(bench, provider, step_of(provider, drain(server)).do)
        assert not drained(provider, server)
        assert bench.served() == bench.second.fingerprint
        bench.servers[server].hold.set()
        thread.join(10)
        assert outcome == [200]
        wait_true(provider, [Check(target="lb1", verb="drained", args={"server": server}, summary="drained")])


@ways
def test_a_drained_server_gets_nothing_new(make_bench: Callable[..., F5Bench], settings: dict[str, object]) -> None:
    """Everything new goes to the other one, until it is put back."""
    bench = make_bench(settings)
    bench.publish()
    with bench.open() as provider:
        bench.apply(provider, drain())
        bench.forget()
        assert {bench.request("/owa/").server for _ in range(10)} == {"EX02"}
        assert bench.servers["EX01"].arrived == []
        assert seen_by(provider).problems == ("EX01 is drained on the BIG-IP: it takes no requests.",)
        bench.apply(provider, undrain())
        assert {bench.request("/owa/").server for _ in range(10)} == {"EX01", "EX02"}
        assert seen_by(provider).problems == ()


def test_a_drain_ends_although_connections_to_servers_are_kept(make_bench: Callable[..., F5Bench]) -> None:
    """OneConnect keeps idle connections for moments only; the clients' own stay open and go to the other server."""
    bench = make_bench(REQUESTS)
    bench.publish(OFFLOADED)
    with bench.open() as provider, bench.connected() as client:
        for _ in range(6):
            exchange(client, "/owa/")
        bench.apply(provider, drain(timeout_s=9))
        assert drained(provider, "EX01")
        assert exchange(client, "/owa/").server == "EX02"


def test_an_open_connection_holds_up_the_drain_of_a_client(published: F5Bench) -> None:
    """Where connections belong to clients one keeps its server, whether anything is asked over it or not."""
    with published.open() as provider:
        with published.connected() as client:
            server = exchange(client, "/owa/").server
            perform(published, provider, step_of(provider, drain(server)).do)
            assert not drained(provider, server)
            assert exchange(client, "/owa/").server == server
        wait_true(provider, [Check(target="lb1", verb="drained", args={"server": server}, summary="drained")])


def test_only_what_is_left_at_a_drained_server_is_cut(published: F5Bench) -> None:
    """With on_timeout = cut the connections still there end when the time is over; those to the other server do not."""
    waiting: dict[str, tuple[threading.Thread, list[object]]] = {}
    while set(waiting) != set(published.servers):
        thread, outcome, server = published.waiting()
        waiting[server] = (thread, outcome)
    with published.open() as provider:
        published.apply(provider, Drain(server="EX01", timeout_s=0.3, on_timeout="cut"))
        assert drained(provider, "EX01")
        assert not drained(provider, "EX02")
    for held in published.servers.values():
        held.hold.set()
    for thread, _ in waiting.values():
        thread.join(10)
    (cut,), (kept,) = (waiting[name][1] for name in ("EX01", "EX02"))
    assert isinstance(cut, OSError)
    assert kept == 200


def test_the_way_back_of_a_drain_spares_clients_of_the_old_modes(make_bench: Callable[..., F5Bench]) -> None:
    """A client keeps the policy of its connection: it never meets a plain port whose server requires TLS again."""
    bench = make_bench(REQUESTS | {"monitor_timeout_s": 2})
    bench.publish(OFFLOADED)
    with bench.open() as provider, bench.connected() as old:
        assert exchange(old, "/owa/").scheme == "http"
        steps = {name: step_of(provider, drain(name)) for name in bench.servers}
        bench.apply(provider, SwitchMode(services=offloadable(bench), before=Mode.OFFLOAD, after=Mode.BRIDGE))
        assert exchange(old, "/owa/").scheme == "http"
        assert bench.request("/owa/").scheme == "https"
        perform(bench, provider, steps["EX01"].do)
        bench.servers["EX01"].healthy.discard("http")  # Require SSL is on
        perform(bench, provider, steps["EX01"].undo)
        bench.forget()
        assert {(exchange(old, "/owa/").server) for _ in range(8)} == {"EX02"}
        assert bench.servers["EX01"].paths("http") == []
        assert {bench.request("/owa/").server for _ in range(8)} == {"EX01", "EX02"}
        members = {one.server: one for one in seen_by(provider).live.members if one.mode is Mode.OFFLOAD}
        assert (members["EX01"].up, members["EX01"].draining) == (False, False)


def test_a_flip_to_a_dead_pool_is_refused(make_bench: Callable[..., F5Bench]) -> None:
    """With Require SSL still on, health checks on port 80 fail: the service stays where it is."""
    bench = make_bench(REQUESTS | {"monitor_timeout_s": 2})
    for server in bench.servers.values():
        server.healthy.discard("http")
    bench.publish()
    before = everything(bench)
    with bench.open() as provider:
        with pytest.raises(Rejected, match="no server is up") as caught:
            flip(bench, provider, Mode.OFFLOAD)
        assert caught.value.code == "pool_down"
        assert "Require SSL" in caught.value.remedy
        assert everything(bench) == before
        bench.servers["EX02"].healthy.add("http")
        flip(bench, provider, Mode.OFFLOAD)
    answer = bench.request("/owa/")
    assert (answer.scheme, answer.server) == ("http", "EX02")


def test_what_killed_runs_left_is_cleared_by_the_next_publish(published: F5Bench) -> None:
    """A policy, a draft and a pool of ours that nothing uses; nobody else's of a similar name."""
    device = published.device
    wanted = running(published)
    (policy,) = device.paths("ltm/policy")
    theirs = {"strategy": "/Common/first-match", "rules": [{"name": "x"}]}
    body = {**theirs, "description": f"lbsync lb1 {'a' * 32}"}
    device.foreign("ltm/policy", {"name": f"/Common/Drafts/{PREFIX[8:]}modes_1234567890abcdef", **body})
    device.foreign("ltm/policy", {"name": f"{PREFIX}modes_fedcba0987654321", "legacy": True, **body})
    device.foreign("ltm/policy", {"name": f"{PREFIX}modes_theirs", "legacy": True, **theirs})
    device.foreign("ltm/pool", {"name": f"{PREFIX}gone_bridge", "description": f"lbsync lb1 {'a' * 32}"})
    device.foreign("ltm/pool", {"name": f"{PREFIX}theirs", "description": "not lbsync's"})
    device.foreign("ltm/pool", {"name": "/Common/lbsync_lb2_owa_bridge", "description": f"lbsync lb2 {'a' * 32}"})
    with published.open() as provider:
        seen = seen_by(provider)
        assert seen.structure != seen.wanted_structure
        published.apply(provider, Publish(leaf=published.first.fingerprint, modes=BRIDGED))
        seen = seen_by(provider)
        assert (seen.structure, seen.problems) == (seen.wanted_structure, ())
    assert device.paths("ltm/policy") == (policy, f"{PREFIX}modes_theirs")
    left = {name for name in running(published) if name not in wanted}
    assert left == {
        f"running ltm/policy {PREFIX}modes_theirs",
        f"running ltm/pool {PREFIX}theirs",
        "running ltm/pool /Common/lbsync_lb2_owa_bridge",
    }


CHANGED: dict[str, dict[str, object]] = {
    "monitor": {"monitor_interval_s": 2, "monitor_timeout_s": 7},
    "translation": {"snat": "none"},
    "no port 80": {"http_port": 0},
    "long requests": {"long_request_s": 3600},
    "no resumption": {"resumption": False},
    "one VLAN": {"vlans": ("/Common/external",)},
    "ntlm": {"ntlm": "used"},
}


@pytest.mark.parametrize("what", one_now([*CHANGED, "a server less", "another CA and name"], 2))
def test_other_settings_are_published_and_taken_back(make_bench: Callable[..., F5Bench], what: str) -> None:
    """What differs is told, one publish brings all of it, and its undo brings back what was."""
    bench = make_bench(REQUESTS)
    bench.publish(OFFLOADED)
    with bench.open() as provider:
        if what == "ntlm":
            bench.apply(provider, SwitchMode(services=offloadable(bench), before=Mode.OFFLOAD, after=Mode.BRIDGE))
        modes = BRIDGED if what == "ntlm" else OFFLOADED
    before = everything(bench)
    spec = bench.spec
    if what == "a server less":
        bench.spec = spec.model_copy(update={"members": spec.members[1:]})
    elif what == "another CA and name":
        named = tuple(one.model_copy(update={"tls_name": "other.contoso.test"}) for one in spec.members)
        bench.spec = spec.model_copy(update={"members": named, "server_ca_pem": spec.server_ca_pem * 2})
    else:
        bench.settings |= CHANGED[what]
    with bench.open() as provider:
        seen = seen_by(provider)
        assert seen.structure != seen.wanted_structure
        assert (seen.blockers, seen.problems) == ((), ())
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=modes))
        assert step.details
        perform(bench, provider, step.do)
        wait_true(provider, step.until)
        seen = seen_by(provider)
        assert (seen.structure, seen.problems) == (seen.wanted_structure, ())
        assert seen.modes == {service: modes[service] for service in bench.spec.services}
        assert everything(bench) != before
        perform(bench, provider, step.undo)
        wait_true(provider, step.undo_until)
        after = everything(bench)
        # Which CA was in use before is needed for the way back: its file stays until nothing of ours is there.
        kept = "lbsync_lb1_server-ca_" if what == "another CA and name" else "nothing"
        different = {name for name in before | after if before.get(name) != after.get(name)}
        assert {name for name in different if kept not in name} == set()
    nothing_left(bench)


def test_an_edited_object_is_told_and_repaired_by_the_next_publish(published: F5Bench) -> None:
    """A problem names it; nothing else is held up by it."""
    was = everything(published)
    published.device.foreign("ltm/pool", {"name": f"{PREFIX}owa_bridge", "slowRampTime": 10})
    with published.open() as provider:
        seen = seen_by(provider)
        (problem,) = seen.problems
        assert f"ltm/pool {PREFIX}owa_bridge differs from what lbsync wrote" in problem
        assert seen.blockers == ()
        rotate(published, provider, published.first, published.second)
        rotate(published, provider, published.second, published.first)
        published.apply(provider, Publish(leaf=published.first.fingerprint, modes=BRIDGED))
        assert seen_by(provider).problems == ()
    assert {name for name, text in was.items() if everything(published).get(name) != text} == set()


@ways
def test_a_whole_run_and_its_way_back_leave_nothing(
    make_bench: Callable[..., F5Bench], settings: dict[str, object]
) -> None:
    """Marker, certificate, objects, modes, rotation, and all of it back: running and saved configuration as before."""
    bench = make_bench(settings)
    before = everything(bench)
    first, second = bench.first.fingerprint, bench.second.fingerprint
    with bench.open() as provider:
        changes = (
            Mark(marker="run", present=True),
            InstallCertificate(leaf=first),
            Publish(leaf=first, modes=BRIDGED),
            SwitchMode(services=offloadable(bench), before=Mode.BRIDGE, after=Mode.OFFLOAD),
            InstallCertificate(leaf=second),
        )
        done = []
        for change in changes:
            step = step_of(provider, change)
            perform(bench, provider, step.do)
            wait_true(provider, step.until)
            done.append(step)
        assert bench.request("/owa/").scheme == "http"
        for step in reversed(done):
            perform(bench, provider, step.undo)
    after = everything(bench)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()
    nothing_left(bench)


def test_resumption_can_be_turned_off(make_bench: Callable[..., F5Bench]) -> None:
    """With resumption = false no session is cached: every connection shows the leaf of today."""
    cached = {}
    for resumption in (True, False):
        bench = make_bench({"resumption": resumption})
        bench.publish()
        profile = bench.device.object("ltm/profile/client-ssl", f"{PREFIX}client-ssl")
        assert profile is not None
        cached[resumption] = (profile["cacheSize"], profile["sessionTicket"])
        assert bench.request("/owa/").status == 200
    assert cached == {True: (262144, "disabled"), False: (0, "disabled")}


@pytest.mark.parametrize(
    ("version", "welcome"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, False)],
)
def test_clients_speak_tls_1_2(make_bench: Callable[..., F5Bench], version: ssl.TLSVersion, welcome: bool) -> None:
    """Older versions are refused by the profile's ciphers; 1.3 needs a cipher group, which lbsync does not make."""
    bench = make_bench({})
    bench.publish()
    context = ssl.create_default_context(cadata=bench.ca.root_pem.decode())
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # to ask for an old version is the point
        context.minimum_version = context.maximum_version = version
    place = (bench.running.address, bench.running.https_port)
    with (
        socket.create_connection(place, timeout=10) as plain,
        nullcontext() if welcome else pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="mail.contoso.test").close()
    assert bench.request("/owa/").status == 200


def test_unknown_verbs_are_a_bug(bench: F5Bench) -> None:
    """They are not passed over in silence."""
    with bench.open() as provider:
        action = Action(target="lb1", verb="dance")
        for ask in (lambda: provider.read(action), lambda: perform(bench, provider, action)):
            with pytest.raises(ValueError, match="dance"):
                ask()
        with pytest.raises(ValueError, match="dance"):
            provider.check(Check(target="lb1", verb="dance", summary=""))


def at(provider: Provider, service: Service) -> Mode:
    """The mode that is live."""
    return seen_by(provider).modes[service]


def test_modes_are_chosen_for_each_service_alone(make_bench: Callable[..., F5Bench]) -> None:
    """One after another in clear: each goes there by itself, the others stay."""
    bench = make_bench(REQUESTS, services=tuple(SERVICES))
    bench.publish()
    with bench.open() as provider:
        for service in (Service.OWA, Service.EWS):
            bench.apply(provider, SwitchMode(services=(service,), before=Mode.BRIDGE, after=Mode.OFFLOAD))
        assert [at(provider, one) for one in (Service.OWA, Service.EWS, Service.MAPI, Service.MRSPROXY)] == [
            Mode.OFFLOAD,
            Mode.OFFLOAD,
            Mode.BRIDGE,
            Mode.BRIDGE,
        ]
    paths = ("/owa/", "/ews/exchange.asmx", "/mapi/emsmdb/", "/ews/mrsproxy.svc")
    assert [bench.request(path).scheme for path in paths] == ["http", "http", "https", "https"]
    assert len(bench.device.paths("ltm/policy")) == 1
