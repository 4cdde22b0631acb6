"""Live changes on a real HAProxy: no request is lost, and what must not happen does not."""

from __future__ import annotations

import random
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lbsync.changes import Drain, InstallCertificate, Mark, Publish, SwitchCertificate, SwitchMode, Undrain
from lbsync.errors import Rejected
from lbsync.model import Action, Check, Mode
from lbsync.services import ALL_SERVICES, Service
from lbsync.testing.ca import TestCA
from lbsync.testing.load import Load, LoadSpec
from lbsync.testing.ports import free_port
from tests.balancers.bench import BRIDGED
from tests.balancers.client import exchange


def rotate(bench: Any, provider: Any, before: Any, after: Any) -> None:
    """Install, then switch."""
    bench.apply(provider, InstallCertificate(leaf=after.fingerprint))
    bench.apply(provider, SwitchCertificate(before=before.fingerprint, after=after.fingerprint))


def flip(bench: Any, provider: Any, mode: Mode, service: Service = Service.OWA) -> None:
    """Switch a service."""
    other = Mode.BRIDGE if mode is Mode.OFFLOAD else Mode.OFFLOAD
    bench.apply(provider, SwitchMode(services=(service,), before=other, after=mode))


def test_no_request_is_lost(make_bench: Any) -> None:
    """Ten flips, five rotations, a reload, and each server drained and back: every request of every client is answered."""
    published = make_bench(check_interval_s=2.0)
    published.publish()
    spec = LoadSpec(
        fresh_pause_s=0.02,
        address=published.haproxy.address,
        port=published.haproxy.https_port,
        server_name="mail.contoso.test",
        ca_pem=published.ca.root_pem.decode(),
        paths=("/owa/", "/ews/exchange.asmx", "/ews/mrsproxy.svc", "/%6fwa/"),
        fresh=2,
        keep=5,
        long=0,
    )
    old, new = published.first, published.second
    with published.open() as provider, Load(spec) as load:
        for number in range(10):
            flip(published, provider, Mode.BRIDGE if number % 2 else Mode.OFFLOAD)
        for _ in range(5):
            rotate(published, provider, old, new)
            old, new = new, old
        for server in ("EX01", "EX02"):
            published.apply(provider, Drain(server=server, timeout_s=10, on_timeout="stop"))
            published.apply(provider, Undrain(server=server, timeout_s=10, on_timeout="stop"))
        published.settings["long_request_s"] = 1900
        with published.open() as changed:
            published.apply(changed, Publish(leaf=old.fingerprint, modes=BRIDGED))
    assert load.result.failures == {}
    assert load.result.requests > 50
    assert set(load.result.leaves) == {old.fingerprint, new.fingerprint}


def test_drained_servers_get_nothing_new_even_on_ntlm_connections(published: Any) -> None:
    """A connection that authenticated is moved (the client is asked to log in again) as soon as its server drains."""
    with published.open() as provider, published.connected() as client:
        assert exchange(client, "/owa/ntlm").server == ""
        first = exchange(client, "/owa/ntlm", headers="Authorization: NTLM x\r\n").server
        again = exchange(client, "/owa/ntlm", headers="Authorization: NTLM x\r\n").server
        assert first == again
        published.apply(provider, Drain(server=first, timeout_s=10, on_timeout="stop"))
        assert exchange(client, "/owa/ntlm", headers="Authorization: NTLM x\r\n").server not in {first, ""}


def test_an_ntlm_connection_is_nobody_elses(published: Any) -> None:
    """Requests of one client stay on one server connection, which no other client is ever sent over."""
    with published.connected() as one, published.connected() as other:
        for _ in range(4):
            exchange(one, "/owa/ntlm")
            exchange(one, "/owa/ntlm", headers="Authorization: NTLM one\r\n")
            exchange(other, "/owa/other")
    ones = {(item.scheme, item.connection) for item in published.arrived if item.path == "/owa/ntlm"}
    others = {(item.scheme, item.connection) for item in published.arrived if item.path == "/owa/other"}
    assert len(ones) == 1
    assert not ones & others


def drained(provider: Any, server: str) -> bool:
    """The answer to the drained check."""
    return bool(provider.check(Check(target="lb1", verb="drained", args={"server": server}, summary="")).passed)


def test_a_request_under_way_holds_up_the_drain(published: Any) -> None:
    """The server counts as drained only when the last request there has its answer."""
    thread, outcome, server = published.waiting()
    with published.open() as provider:
        (step,) = provider.lower(Drain(server=server, timeout_s=5, on_timeout="stop"), provider.observe(ALL_SERVICES))
        provider.perform(step.do, published.materials)
        assert not drained(provider, server)
        published.servers[server].hold.set()
        thread.join(10)
        assert outcome == [200]
        deadline = time.monotonic() + 10
        while not drained(provider, server):
            assert time.monotonic() < deadline


def test_what_is_left_may_be_cut(published: Any) -> None:
    """With on_timeout = cut the requests still there end when the time is over, and the server is drained."""
    thread, outcome, server = published.waiting()
    with published.open() as provider:
        published.apply(provider, Drain(server=server, timeout_s=0.3, on_timeout="cut"))
        assert drained(provider, server)
    thread.join(10)
    assert outcome in ([502], [503], [504]) or isinstance(outcome[0], OSError)


def test_what_is_left_is_cut_on_the_way_back_too(published: Any) -> None:
    """Taking "let requests in again" back drains the server, and ends what does not end by itself."""
    thread, outcome, server = published.waiting()
    with published.open() as provider:
        change = Undrain(server=server, timeout_s=0.3, on_timeout="cut")
        (step,) = provider.lower(change, provider.observe(ALL_SERVICES))
        provider.perform(step.undo, published.materials)
        assert drained(provider, server)
    thread.join(10)
    assert outcome != [200]


def test_a_drain_outlives_a_reload(published: Any) -> None:
    """A new worker starts with every server ready: those drained before are drained again."""
    with published.open() as provider:
        published.apply(provider, Drain(server="EX01", timeout_s=10, on_timeout="stop"))
    published.settings["long_request_s"] = 1900
    with published.open() as provider:
        published.apply(provider, Publish(leaf=published.first.fingerprint, modes=BRIDGED))
        assert {m.server for m in provider.observe(ALL_SERVICES).live.members if m.draining} == {"EX01"}


def test_a_server_in_maintenance_is_left_alone(published: Any) -> None:
    """Somebody set it: it is told, and neither drained nor made ready."""
    published.haproxy.ask("set server ex_owa_bridge/EX01 state maint")
    with published.open() as provider:
        seen = provider.observe(ALL_SERVICES)
        assert any("EX01 is in maintenance" in problem for problem in seen.problems)
        for change in (
            Drain(server="EX01", timeout_s=1, on_timeout="stop"),
            Undrain(server="EX01", timeout_s=1, on_timeout="stop"),
        ):
            with pytest.raises(Rejected) as caught:
                provider.perform(provider.lower(change, seen)[0].do, published.materials)
            assert caught.value.code == "maintenance"


def test_a_rotation_is_served_at_once_and_after_a_reload(published: Any) -> None:
    """Memory and disk agree; a reload by somebody else changes nothing."""
    with published.open() as provider:
        rotate(published, provider, published.first, published.second)
        assert published.served() == published.second.fingerprint
        reload_by_somebody(published)
        assert published.served() == published.second.fingerprint
        seen = provider.observe(ALL_SERVICES)
        assert (seen.leaf, seen.problems) == (published.second.fingerprint, ())
    assert (published.haproxy.owned / "certs" / "live.pem").readlink() == Path(f"{published.second.fingerprint}.pem")


def reload_by_somebody(bench: Any) -> None:
    """Another one's reload, waited for."""
    pid = bench.info("Pid")
    with socket.socket(socket.AF_UNIX) as master:
        master.connect(str(bench.haproxy.master_socket))
        master.sendall(b"reload\n")
        master.settimeout(10)
        with suppress(OSError):  # 2.6 drops the connection
            master.recv(65536)
    deadline = time.monotonic() + 20
    while bench.info("Pid") in {pid, ""}:
        assert time.monotonic() < deadline


def test_an_open_transaction_of_somebody_is_not_touched(make_bench: Any, tmp_path: Path) -> None:
    """HAProxy 2.6 would write our certificate into theirs: the switch is refused and the old one served on."""
    theirs = tmp_path / "theirs.pem"
    address = f"127.{random.randint(1, 250)}.0.1"  # noqa: S311 -- nobody else's, most likely
    bench = make_bench(
        extra=f"frontend theirs\n    bind {address}:{free_port(address)} ssl crt {theirs}\n", start=False
    )
    theirs.write_bytes(bench.first.pem())
    bench.haproxy.start()
    bench.publish()
    answer = bench.haproxy.ask(f"set ssl cert {theirs} <<\n{bench.first.pem().decode()}")
    assert "Transaction created" in answer
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        with pytest.raises(Rejected) as caught:
            bench.apply(provider, SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint))
    assert caught.value.code == "transaction_open"
    assert "abort ssl cert" in caught.value.remedy
    assert bench.served() == bench.first.fingerprint


@pytest.mark.parametrize("back", [False, True])
def test_a_transaction_that_a_killed_run_left_is_taken_over(published: Any, back: bool) -> None:
    """Forwards and backwards: our own name is nobody else's."""
    live = published.haproxy.owned / "certs" / "live.pem"
    answer = published.haproxy.ask(f"set ssl cert {live} <<\n{published.second.pem().decode()}")
    assert "Transaction created" in answer
    with published.open() as provider:
        published.apply(provider, InstallCertificate(leaf=published.second.fingerprint))
        change = SwitchCertificate(before=published.first.fingerprint, after=published.second.fingerprint)
        (step,) = provider.lower(change, provider.observe(ALL_SERVICES))
        provider.perform(step.undo if back else step.do, published.materials)
    assert "*" not in published.haproxy.ask("show ssl cert")
    assert published.served() == (published.first if back else published.second).fingerprint


def test_what_a_killed_run_left_is_removed_by_the_way_back(published: Any) -> None:
    """Half-written files and trials, by whatever is performed next; nothing but lbsync's own names is touched."""
    owned, before = published.haproxy.owned, published.files()

    def leave() -> None:
        (owned / ".check").mkdir()
        for name in (".check/exchange.cfg", ".check/.exchange.map.lbsync-tmp", ".exchange.map.lbsync-tmp"):
            (owned / name).write_text("half")
        (owned / "certs" / ".live.pem.lbsync-tmp").symlink_to("x")
        (owned / ".run-marker.lbsync-tmp").write_text("half")

    with published.open() as provider:
        seen = provider.observe(ALL_SERVICES)
        for change in (
            Publish(leaf=published.first.fingerprint, modes=BRIDGED),
            SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD),
            Mark(marker="run", present=True),
        ):
            leave()
            (step,) = provider.lower(change, seen)
            provider.perform(step.undo, published.materials)
            assert published.files() == before


def test_a_certificate_that_haproxy_refuses_leaves_the_old_one(published: Any) -> None:
    """A weak key fails at the commit: memory, link and answer stay those of before."""
    weak = published.ca.issue(["mail.contoso.test"], key="rsa1024")
    published.materials.bundles[weak.fingerprint] = weak
    before = published.files()
    with published.open() as provider:
        published.apply(provider, InstallCertificate(leaf=weak.fingerprint))
        with pytest.raises(Rejected) as caught:
            published.apply(provider, SwitchCertificate(before=published.first.fingerprint, after=weak.fingerprint))
        assert caught.value.code == "certificate"
        assert "PRIVATE" not in str(caught.value)
        assert published.served() == published.first.fingerprint
        seen = provider.observe(ALL_SERVICES)
        assert (seen.leaf, seen.problems) == (published.first.fingerprint, ())
    assert {name: data for name, data in published.files().items() if name in before} == before


def test_a_certificate_too_large_for_the_socket_is_switched_by_a_reload(published: Any) -> None:
    """2.6 answers nothing to a payload above tune.bufsize; a reload takes it."""
    names = ["mail.contoso.test", *(f"host-{number:04d}.{'x' * 40}.contoso.test" for number in range(220))]
    large = published.ca.issue(names, key="rsa2048")
    assert len(large.pem()) > 16384
    published.materials.bundles[large.fingerprint] = large
    with published.open() as provider:
        published.apply(provider, InstallCertificate(leaf=large.fingerprint))
        change = SwitchCertificate(before=published.first.fingerprint, after=large.fingerprint)
        (step,) = provider.lower(change, provider.observe(ALL_SERVICES))
        receipt = provider.perform(step.do, published.materials)
        assert "reload" in receipt.summary
        assert published.served() == large.fingerprint
        provider.perform(step.undo, published.materials)
        assert published.served() == published.first.fingerprint


def test_a_switch_to_a_certificate_that_is_not_installed_is_refused(published: Any) -> None:
    """The message says to install it first; nothing changes."""
    with published.open() as provider, pytest.raises(Rejected) as caught:
        published.apply(
            provider, SwitchCertificate(before=published.first.fingerprint, after=published.second.fingerprint)
        )
    assert caught.value.code == "not_installed"


def test_a_flip_to_a_dead_pool_is_refused(published: Any) -> None:
    """With Require SSL still on, health checks on port 80 fail: the service stays where it is."""
    for server in published.servers.values():
        server.healthy.discard("http")
    time_out = time.monotonic() + 10
    with published.open() as provider:
        while any(m.up for m in provider.observe(ALL_SERVICES).live.members if m.mode is Mode.OFFLOAD):
            assert time.monotonic() < time_out
        before = published.files()
        with pytest.raises(Rejected) as caught:
            flip(published, provider, Mode.OFFLOAD)
        assert caught.value.code == "pool_down"
        assert "Require SSL" in caught.value.remedy
        assert published.files() == before
        assert published.request("/owa/").scheme == "https"


def test_memory_and_disk_that_disagree_are_told_and_repaired(published: Any) -> None:
    """A flip by hand in memory only is a problem; publishing brings both together."""
    published.haproxy.ask(f"set map {published.haproxy.owned}/exchange.map /owa/ ex_owa_offload")
    with published.open() as provider:
        seen = provider.observe(ALL_SERVICES)
        assert any("owa is in mode offload in memory, bridge on disk" in problem for problem in seen.problems)
        assert seen.structure != seen.wanted_structure
        assert seen.modes[Service.OWA] is Mode.OFFLOAD
        published.apply(provider, Publish(leaf=published.first.fingerprint, modes=seen.modes))
        seen = provider.observe(ALL_SERVICES)
        assert (seen.problems, seen.structure) == ((), seen.wanted_structure)
        assert seen.modes[Service.OWA] is Mode.OFFLOAD


def test_a_certificate_that_differs_in_memory_is_told_and_repaired(published: Any) -> None:
    """A run killed between commit and link: the leaf is unknown, and publishing settles it."""
    live = published.haproxy.owned / "certs" / "live.pem"
    with published.open() as provider:
        published.apply(provider, InstallCertificate(leaf=published.second.fingerprint))
        live.unlink()
        live.symlink_to(f"{published.second.fingerprint}.pem")
        seen = provider.observe(ALL_SERVICES)
        assert (seen.leaf, seen.published) == (None, True)
        assert seen.structure != seen.wanted_structure
        published.apply(provider, Publish(leaf=published.second.fingerprint, modes=BRIDGED))
        seen = provider.observe(ALL_SERVICES)
        assert (seen.leaf, seen.problems) == (published.second.fingerprint, ())


def test_resumption_can_be_turned_off(make_bench: Any) -> None:
    """With resumption = false every connection is a full handshake, so it shows the leaf of today."""
    sessions: dict[bool, bool] = {}
    for resumption in (True, False):
        bench = make_bench()
        bench.settings["resumption"] = resumption
        bench.publish()
        sessions[resumption] = resumed(bench)
    assert sessions == {True: True, False: False}


def resumed(bench: Any) -> bool:
    """Whether a second connection with the first one's session is resumed (TLS 1.2, where tickets come in the handshake)."""
    import ssl

    context = ssl.create_default_context(cadata=bench.ca.root_pem.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    reused = False
    for _ in range(2):
        with (
            socket.create_connection((bench.haproxy.address, bench.haproxy.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="mail.contoso.test", session=session) as connection,
        ):
            exchange(connection, "/owa/")
            session, reused = connection.session, bool(connection.session_reused)
    return reused


def test_a_server_with_another_name_is_never_up_over_tls(make_bench: Any) -> None:
    """The leg to the servers is verified, health checks included."""
    bench = make_bench()
    members = [member.model_copy(update={"tls_name": "other.contoso.test"}) for member in bench.spec.members]
    bench.spec = bench.spec.model_copy(update={"members": tuple(members)})
    bench.publish()
    with bench.open() as provider:
        members = provider.observe(ALL_SERVICES).live.members
    assert {m.up for m in members if m.mode is Mode.BRIDGE} == {False}
    assert bench.request("/owa/").status == 503


def test_another_ca_is_not_trusted(make_bench: Any) -> None:
    """Nor a leaf of somebody else's CA."""
    bench = make_bench()
    other = TestCA.new("somebody else's CA")
    bench.spec = bench.spec.model_copy(update={"server_ca_pem": other.root_pem.decode()})
    bench.publish()
    assert bench.request("/owa/").status == 503


def test_unknown_verbs_are_a_bug(published: Any) -> None:
    """They are not passed over in silence."""
    with published.open() as provider:
        action = Action(target="lb1", verb="dance")
        with pytest.raises(ValueError, match="dance"):
            provider.read(action)
        with pytest.raises(ValueError, match="dance"):
            provider.perform(action, published.materials)
        with pytest.raises(ValueError, match="dance"):
            provider.check(Check(target="lb1", verb="dance", summary=""))
