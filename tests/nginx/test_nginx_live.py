"""Live changes on a real NGINX: no fresh client is ever turned away, and what must not happen does not."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable

import pytest

from lbsync.changes import Change, Drain, InstallCertificate, Mark, Publish, SwitchCertificate, SwitchMode
from lbsync.errors import Rejected
from lbsync.model import Action, Check, Mode, Step
from lbsync.services import Service
from lbsync.target import Provider
from lbsync.testing.ca import TestCA
from lbsync.testing.load import Load, LoadSpec
from tests.balancers.acts import ALL, drain, flip, perform, rotate, seen_by, step_of, undrain
from tests.balancers.bench import BRIDGED, wait_true
from tests.balancers.client import exchange
from tests.nginx.acts import by_reload, every_way, everything
from tests.nginx.conftest import HTTP, STREAM, VARIABLE, NginxBench

KEEPS_IDLE_CLIENTS = (1, 27, 4)


def loading(bench: NginxBench) -> Load:
    """Clients of the listener: fresh ones, and some that keep their connections."""
    spec = LoadSpec(
        fresh_pause_s=0.02,
        address=bench.running.address,
        port=bench.running.https_port,
        server_name="mail.contoso.test",
        ca_pem=bench.ca.root_pem.decode(),
        paths=("/owa/", "/ews/exchange.asmx", "/ews/mrsproxy.svc", "/%6fwa/"),
        fresh=1,
        keep=4,
        long=0,
    )
    return Load(spec)


@by_reload
def test_no_fresh_client_is_turned_away(make_bench: Callable[..., NginxBench], settings: dict[str, object]) -> None:
    """Flips, rotations, each server drained and back, a new structure: every one a reload under load, long requests included.

    Clients that keep their connection lose nothing either, but with requests before 1.27.4.
    """
    bench = make_bench(settings)
    bench.publish()
    old, new = bench.first, bench.second
    waiting = [bench.waiting() for _ in range(3)]
    with bench.open() as provider, loading(bench) as load:
        for mode in (Mode.OFFLOAD, Mode.BRIDGE):
            flip(bench, provider, mode)
        rotate(bench, provider, old, new)
        for name in bench.servers:
            step = step_of(provider, drain(name))
            perform(bench, provider, step.do)
            perform(bench, provider, step.undo)
        bench.settings["long_request_s"] = 1900
        with bench.open() as changed:
            bench.apply(changed, Publish(leaf=new.fingerprint, modes=BRIDGED))
    for server in bench.servers.values():
        server.hold.set()
    for thread, outcome, _ in waiting:
        thread.join(10)
        assert outcome == [200]
    result = load.result
    assert not [kind for kind in result.failures if not kind.startswith("keep")]
    if settings == STREAM or bench.nginx.version >= KEEPS_IDLE_CLIENTS:
        assert result.failures == {}
    assert result.requests > 50
    assert set(result.leaves) == {old.fingerprint, new.fingerprint}


def test_a_certificate_by_variable_is_switched_without_a_loss(make_bench: Callable[..., NginxBench]) -> None:
    """No worker is replaced, and no client that keeps its connection notices, in every version."""
    bench = make_bench(HTTP | VARIABLE)
    bench.publish()
    old, new = bench.first, bench.second
    workers = bench.nginx.workers
    with bench.open() as provider, loading(bench) as load:
        for _ in range(3):
            rotate(bench, provider, old, new)
            old, new = new, old
    assert load.result.failures == {}
    assert set(load.result.leaves) == {old.fingerprint, new.fingerprint}
    assert bench.nginx.workers == workers


@by_reload
def test_a_drained_server_gets_nothing_new(make_bench: Callable[..., NginxBench], settings: dict[str, object]) -> None:
    """Everything goes to the other one, until it is put back."""
    bench = make_bench(settings)
    bench.publish()
    with bench.open() as provider:
        bench.apply(provider, drain())
        assert {bench.request("/owa/").server for _ in range(20)} == {"EX02"}
        assert bench.servers["EX01"].arrived == []
        assert seen_by(provider).problems == ("EX01 is drained in NGINX: it gets nothing new.",)
        bench.apply(provider, undrain())
        assert {bench.request("/owa/").server for _ in range(20)} == {"EX01", "EX02"}


def drained(provider: Provider, server: str) -> bool:
    """The answer to the drained check."""
    return provider.check(Check(target="lb1", verb="drained", args={"server": server}, summary="")).passed


@by_reload
def test_a_request_under_way_holds_up_the_drain(
    make_bench: Callable[..., NginxBench], settings: dict[str, object]
) -> None:
    """A server counts as drained when the last connection to it has ended, that of a worker of two reloads ago included."""
    bench = make_bench(settings)
    bench.publish()
    thread, outcome, server = bench.waiting()
    with bench.open() as provider:
        perform(bench, provider, step_of(provider, drain(server)).do)
        bench.nginx.reload()
        assert not drained(provider, server)
        bench.servers[server].hold.set()
        thread.join(10)
        assert outcome == [200]
        wait_true(provider, [Check(target="lb1", verb="drained", args={"server": server}, summary="drained")])


def test_an_open_connection_holds_up_the_drain_of_a_stream(streaming: NginxBench) -> None:
    """Whether anything is asked over it or not: it may be at any moment."""
    with streaming.open() as provider:
        with streaming.connected() as client:
            server = exchange(client, "/owa/").server
            perform(streaming, provider, step_of(provider, drain(server)).do)
            assert not drained(provider, server)
        wait_true(provider, [Check(target="lb1", verb="drained", args={"server": server}, summary="drained")])


@by_reload
def test_only_what_is_left_at_a_drained_server_is_cut(
    make_bench: Callable[..., NginxBench], settings: dict[str, object]
) -> None:
    """With on_timeout = cut the connections still there end when the time is over; those to the other server do not.

    Where requests are seen, one that may be repeated is then asked of the other server.
    """
    if os.geteuid() != 0:
        pytest.skip("root is missing: only root may end connections of others")
    bench = make_bench(settings)
    bench.publish()
    waiting: dict[str, tuple[threading.Thread, list[object]]] = {}
    while set(waiting) != set(bench.servers):
        thread, outcome, server = bench.waiting()
        waiting[server] = (thread, outcome)
    with bench.open() as provider:
        bench.apply(provider, Drain(server="EX01", timeout_s=0.3, on_timeout="cut"))
        assert drained(provider, "EX01")
        assert not drained(provider, "EX02")
    for held in bench.servers.values():
        held.hold.set()
    for thread, _ in waiting.values():
        thread.join(10)
    (cut,), (kept,) = (waiting[name][1] for name in ("EX01", "EX02"))
    assert kept == 200
    assert isinstance(cut, OSError) if settings == STREAM else cut == 200


def test_a_flip_to_a_dead_upstream_is_refused(published: NginxBench) -> None:
    """With Require SSL still on, health checks on port 80 fail: the service stays where it is, and nothing was reloaded."""
    for server in published.servers.values():
        server.healthy.discard("http")
    before, workers = everything(published), published.nginx.workers
    with published.open() as provider:
        with pytest.raises(Rejected, match="answers 403") as caught:
            flip(published, provider, Mode.OFFLOAD)
        assert caught.value.code == "pool_down"
        assert "Require SSL" in caught.value.remedy
        assert (everything(published), published.nginx.workers) == (before, workers)
        assert published.request("/owa/").scheme == "https"
        published.servers["EX02"].healthy.add("http")
        flip(published, provider, Mode.OFFLOAD)
    assert published.request("/owa/").scheme == "http"


@every_way
def test_each_undo_restores_byte_for_byte(make_bench: Callable[..., NginxBench], settings: dict[str, object]) -> None:
    """Files, links, modes and owners, at each step of a rollout and of its way back."""
    bench = make_bench(settings)
    services = (Service.OWA,) if settings["proxy"] == "http" else ALL
    first, second = bench.first.fingerprint, bench.second.fingerprint
    changes: tuple[Change, ...] = (
        Mark(marker="run", present=True),
        InstallCertificate(leaf=first),
        Publish(leaf=first, modes=BRIDGED),
        SwitchMode(services=services, before=Mode.BRIDGE, after=Mode.OFFLOAD),
        drain(),
        undrain(),
        InstallCertificate(leaf=second),
        SwitchCertificate(before=first, after=second),
    )
    done: list[tuple[Step, dict[str, tuple[object, ...]]]] = []
    with bench.open() as provider:
        for change in changes:
            step, before = step_of(provider, change), everything(bench)
            perform(bench, provider, step.do)
            wait_true(provider, step.until)
            assert everything(bench) != before, step.id
            done.append((step, before))
        for step, before in reversed(done):
            perform(bench, provider, step.undo)
            wait_true(provider, step.undo_until)
            assert everything(bench) == before, step.id


def test_rights_that_somebody_gave_our_files_stay(published: NginxBench) -> None:
    """Each change replaces a file by another; its mode is the one it had."""
    published.nginx.http_file.chmod(0o600)
    with published.open() as provider:
        flip(published, provider, Mode.OFFLOAD)
    assert published.nginx.http_file.stat().st_mode & 0o777 == 0o600


@every_way
def test_a_rotation_lasts(make_bench: Callable[..., NginxBench], settings: dict[str, object]) -> None:
    """Served at once, after a reload of somebody's, and after a restart."""
    bench = make_bench(settings)
    bench.publish()
    with bench.open() as provider:
        rotate(bench, provider, bench.first, bench.second)
        assert bench.served() == bench.second.fingerprint
        for again in (bench.nginx.reload, bench.nginx.restart):
            again()
            assert bench.served() == bench.second.fingerprint
            seen = seen_by(provider)
            assert (seen.leaf, seen.problems, seen.structure) == (
                bench.second.fingerprint,
                (),
                seen.wanted_structure,
            )


@by_reload
def test_resumption_can_be_turned_off(make_bench: Callable[..., NginxBench], settings: dict[str, object]) -> None:
    """With resumption = false every connection is a full handshake, so it shows the leaf of today; in both versions of TLS."""
    found: dict[tuple[bool, str], bool] = {}
    for resumption in (True, False):
        bench = make_bench({**settings, "resumption": resumption})
        bench.publish()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            found[resumption, version.name] = resumed(bench, version)
    assert {key for key, reused in found.items() if reused} == {(True, "TLSv1_2"), (True, "TLSv1_3")}


def resumed(bench: NginxBench, version: ssl.TLSVersion) -> bool:
    """Whether a second connection with the first one's session is resumed."""
    context = ssl.create_default_context(cadata=bench.ca.root_pem.decode())
    context.minimum_version = context.maximum_version = version
    session: ssl.SSLSession | None = None
    reused = False
    for _ in range(2):
        with (
            socket.create_connection((bench.running.address, bench.running.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="mail.contoso.test", session=session) as connection,
        ):
            assert exchange(connection, "/owa/").status == 200
            session, reused = connection.session, bool(connection.session_reused)
    return reused


@pytest.mark.parametrize(("settings", "wrong"), [(HTTP, "name"), (STREAM, "authority")], ids=["http", "stream"])
def test_the_leg_to_the_servers_is_verified(
    make_bench: Callable[..., NginxBench], settings: dict[str, object], wrong: str
) -> None:
    """A server with another name, or with a leaf of somebody else's CA, is never up over TLS and never gets a request."""
    bench = make_bench(settings)
    if wrong == "name":
        members = tuple(member.model_copy(update={"tls_name": "other.contoso.test"}) for member in bench.spec.members)
        bench.spec = bench.spec.model_copy(update={"members": members})
    else:
        other = TestCA.new("somebody else's CA").root_pem.decode()
        bench.spec = bench.spec.model_copy(update={"server_ca_pem": other})
    bench.publish()
    with bench.open() as provider:
        members_now = seen_by(provider).live.members
    assert {(m.mode, m.up) for m in members_now} == {(Mode.BRIDGE, False), (Mode.OFFLOAD, True)}
    if settings == HTTP:
        assert bench.request("/owa/").status == 502
    else:
        with pytest.raises(OSError, match=r".*"):
            bench.request("/owa/")
    assert bench.arrived == []


def test_unknown_verbs_are_a_bug(bench: NginxBench) -> None:
    """They are not passed over in silence."""
    with bench.open() as provider:
        action = Action(target="lb1", verb="dance")
        with pytest.raises(ValueError, match="dance"):
            provider.read(action)
        with pytest.raises(ValueError, match="dance"):
            perform(bench, provider, action)
        with pytest.raises(ValueError, match="dance"):
            provider.check(Check(target="lb1", verb="dance", summary=""))
