"""The two-sided switch on a real HAProxy: no connection ever meets a server that holds another leaf than it was opened with."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from lbsync.changes import InstallCertificate, Publish, SwitchSides
from lbsync.errors import Rejected
from lbsync.kit.seal import body_of, seal
from lbsync.model import Step
from lbsync.testing.load import Load, LoadSpec
from lbsync_haproxy import layout
from lbsync_haproxy.render import STRUCTURE_VARIABLE, structure_of
from tests.balancers.acts import drain, perform, seen_by, step_of, undrain
from tests.balancers.bench import BRIDGED, wait_true
from tests.haproxy.bound import BoundClients, ask, misled
from tests.haproxy.test_haproxy_live import drained, reload_by_somebody
from tests.longer import one_now

if TYPE_CHECKING:
    from lbsync.target import Provider
    from tests.haproxy.conftest import HaproxyBench


@pytest.fixture
def sided(published: HaproxyBench) -> HaproxyBench:
    """Published without resumption, the second leaf installed, EX02 drained as if it held that one by now."""
    return make_sided(published)


def make_sided(bench: HaproxyBench) -> HaproxyBench:
    """The same of any bench."""
    bench.settings["resumption"] = False
    bench.publish()
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        bench.apply(provider, drain("EX02"))
    return bench


def sides(bench: HaproxyBench, *, timeout_s: float = 10.0, cut: bool = False) -> SwitchSides:
    """From EX01 with the first leaf to EX02 with the second."""
    return SwitchSides(
        before=bench.first.fingerprint,
        after=bench.second.fingerprint,
        old=("EX01",),
        fresh=("EX02",),
        timeout_s=timeout_s,
        on_timeout="cut" if cut else "stop",
    )


def holds(bench: HaproxyBench) -> dict[str, str]:
    """What each server stands for."""
    return {"EX01": bench.first.fingerprint, "EX02": bench.second.fingerprint}


def switch(bench: HaproxyBench, provider: Provider, step: Step) -> None:
    """Perform a step and wait for its checks."""
    perform(bench, provider, step.do)
    wait_true(provider, step.until)


def eventually(question: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_capabilities_tell_how_resumption_is_turned_off(published: HaproxyBench) -> None:
    """It switches sides always, and resumes sessions as its settings say."""
    with published.open() as provider:
        able = provider.capabilities
        assert (able.switches_sides, able.resumes_sessions) == (True, True)
        assert "resumption = false" in able.resumption_remedy
    published.settings["resumption"] = False
    with published.open() as provider:
        assert not provider.capabilities.resumes_sessions


def test_under_load_every_connection_stays_with_servers_that_hold_its_leaf(sided: HaproxyBench) -> None:
    """Three switches there and back: every request is answered, by the side that holds its connection's leaf."""
    sided.forget()
    with sided.open() as provider, BoundClients(sided) as clients:
        change = sides(sided, timeout_s=30)
        for _ in range(3):
            steps = provider.lower(change, provider.observe(frozenset()))
            for step in steps:
                if step.do is not None:
                    perform(sided, provider, step.do)
                wait_true(provider, step.until)
            assert sided.served() == sided.second.fingerprint
            perform(sided, provider, steps[0].undo)
            wait_true(provider, steps[0].undo_until)
            assert sided.served() == sided.first.fingerprint
    assert clients.failures == {}
    assert min(clients.asked[leaf] for leaf in holds(sided).values()) > 50
    assert misled(sided, holds(sided)) == []


def test_no_request_of_a_busy_listener_is_lost(sided: HaproxyBench) -> None:
    """Handshakes and keep-alive sessions of the load's own clients, through a switch and back."""
    spec = LoadSpec(
        fresh_pause_s=0.02,
        address=sided.haproxy.address,
        port=sided.haproxy.https_port,
        server_name="mail.contoso.test",
        ca_pem=sided.ca.root_pem.decode(),
        paths=("/owa/", "/ews/exchange.asmx", "/ews/mrsproxy.svc"),
        fresh=2,
        keep=5,
        long=0,
    )
    with sided.open() as provider, Load(spec) as load:
        step = step_of(provider, sides(sided))
        switch(sided, provider, step)
        perform(sided, provider, step.undo)
        wait_true(provider, step.undo_until)
    assert load.result.failures == {}
    assert set(load.result.leaves) == set(holds(sided).values())


def test_a_connection_of_before_keeps_its_side_and_counts_while_it_is_idle(sided: HaproxyBench) -> None:
    """Its next request may come at any time: the old server is drained only once such connections are gone."""
    with sided.open() as provider, sided.connected() as before:
        assert ask(before).server == "EX01"
        switch(sided, provider, step_of(provider, sides(sided)))
        with sided.connected() as after:
            assert ask(after).server == "EX02"
        assert not drained(provider, "EX01")
        answer = ask(before)
        assert (answer.server, answer.headers["connection"]) == ("EX01", "close")
        assert eventually(lambda: drained(provider, "EX01"))


def test_a_long_request_in_the_old_worker_holds_up_the_drain(sided: HaproxyBench) -> None:
    """What was begun under the old leaf is waited for, and answered."""
    thread, outcome, server = sided.waiting()
    assert server == "EX01"
    with sided.open() as provider:
        switch(sided, provider, step_of(provider, sides(sided)))
        assert not drained(provider, "EX01")
        assert sided.request("/owa/").server == "EX02"
        sided.servers["EX01"].hold.set()
        thread.join(10)
        assert outcome == [200]
        assert eventually(lambda: drained(provider, "EX01"))


def test_what_is_left_in_the_old_worker_may_be_cut(sided: HaproxyBench) -> None:
    """A request there ends; an idle connection is closed when it asks again, and reaches neither side."""
    thread, outcome, _ = sided.waiting()
    with sided.open() as provider, sided.connected() as idle:
        assert ask(idle).server == "EX01"
        sided.apply(provider, sides(sided, timeout_s=0.3, cut=True))
        assert drained(provider, "EX01")
        thread.join(10)
        assert outcome in ([502], [503]) or isinstance(outcome[0], OSError)
        sided.forget()
        with pytest.raises(ConnectionError):
            ask(idle)
        assert sided.arrived == []


def test_going_back_waits_for_the_connections_of_the_new_side(sided: HaproxyBench) -> None:
    """Its servers change next: until the last connection opened under the new leaf is gone they are not drained."""
    with sided.open() as provider:
        step = step_of(provider, sides(sided))
        switch(sided, provider, step)
        with sided.connected() as after:
            assert ask(after).server == "EX02"
            perform(sided, provider, step.undo)
            assert sided.request("/owa/").server == "EX01"
            assert not drained(provider, "EX02")
            assert ask(after).server == "EX02"
        wait_true(provider, step.undo_until)


def test_twice_is_once(sided: HaproxyBench) -> None:
    """What is served already costs no second reload, there and back."""
    with sided.open() as provider:
        step = step_of(provider, sides(sided))
        for action in (step.do, step.undo):
            perform(sided, provider, action)
            pid = sided.info("Pid")
            perform(sided, provider, action)
            assert sided.info("Pid") == pid


def test_a_failed_reload_leaves_everything_as_before(sided: HaproxyBench) -> None:
    """Whether HAProxy says so or stays silent: link, states, files and what is served are those of before."""
    before, pid = sided.files(), sided.info("Pid")
    main = sided.haproxy.main.read_text()

    def refused(code: str) -> None:
        with sided.open() as provider:
            step = step_of(provider, sides(sided))
            with pytest.raises(Rejected) as caught:
                perform(sided, provider, step.do)
            assert caught.value.code == code
            assert sided.files() == before
            assert sided.info("Pid") == pid
            assert {m.server for m in seen_by(provider).live.members if m.draining} == {"EX02"}
        assert sided.served() == sided.first.fingerprint
        assert sided.request("/owa/").server == "EX01"

    sided.haproxy.main.write_text(f"{main}\n    no-such-keyword\n")
    refused("config")
    sided.haproxy.main.write_text(main)
    sided.settings |= {"reload": ["true"], "master_socket": None, "reload_timeout_s": 0.5}
    refused("reload_failed")


@pytest.mark.parametrize("back", one_now([False, True]))
def test_a_switch_that_was_killed_half_way_is_told_and_repaired(sided: HaproxyBench, back: bool) -> None:
    """The link moved and the states written, no reload: doing it again does it, taking it back needs no reload."""
    files, pid = sided.files(), sided.info("Pid")
    with sided.open() as provider:
        step = step_of(provider, sides(sided))
        live = sided.haproxy.owned / "certs" / "live.pem"
        live.unlink()
        live.symlink_to(f"{sided.second.fingerprint}.pem")
        state = sided.haproxy.owned / "servers.state"
        state.write_text(state.read_text().replace("EX02", "EX01"))
        told = " ".join(seen_by(provider).problems)
        assert "the next reload would change it" in told
        assert "EX02 would be ready again after a reload" in told
        assert "EX01 would not be ready after a reload" in told
        perform(sided, provider, step.undo if back else step.do)
        wait_true(provider, step.undo_until if back else step.until)
        seen = seen_by(provider)
    assert (sided.info("Pid") == pid) is back
    assert seen.leaf == (sided.first if back else sided.second).fingerprint
    assert not any("reload" in problem for problem in seen.problems)
    assert (sided.files() == files) is back


def test_a_side_that_is_down_is_not_switched_to(sided: HaproxyBench) -> None:
    """With every fresh server down in a pool that serves now, nothing is changed."""
    files, pid = sided.files(), sided.info("Pid")
    sided.servers["EX02"].healthy.clear()
    with sided.open() as provider:
        assert eventually(lambda: not any(m.up for m in seen_by(provider).live.members if m.server == "EX02"))
        step = step_of(provider, sides(sided))
        with pytest.raises(Rejected) as caught:
            perform(sided, provider, step.do)
    assert caught.value.code == "pool_down"
    assert (sided.files(), sided.info("Pid")) == (files, pid)


def test_what_is_not_ready_for_a_switch_is_refused(sided: HaproxyBench) -> None:
    """A server in maintenance, one that is not there, a configuration of an older lbsync: nothing is changed, and why is said."""
    with sided.open() as provider:
        step = step_of(provider, sides(sided))
        stranger = step_of(provider, sides(sided).model_copy(update={"fresh": ("EX09",)}))
        pid = sided.info("Pid")

        def code(action: Any) -> str:
            with pytest.raises(Rejected) as caught:
                perform(sided, provider, action)
            return caught.value.code

        assert code(stranger.do) == "no_server"
        sided.haproxy.ask("set server ex_owa_bridge/EX01 state maint")
        assert code(step.do) == "maintenance"
        sided.haproxy.ask("set server ex_owa_bridge/EX01 state ready")
        configuration = sided.haproxy.owned / "exchange.cfg"
        configuration.write_text(configuration.read_text().replace("balance leastconn", "balance first"))
        assert code(step.do) == "not_loaded"
    assert sided.info("Pid") == pid


def test_what_was_drained_begins_drained_whoever_reloads(sided: HaproxyBench) -> None:
    """Another one's reload, and a start after a stop, find EX02 drained from the first connection on; undrained, it is ready."""
    with sided.open() as provider, BoundClients(sided, (0.01, 0.01)) as clients:
        reload_by_somebody(sided)
        assert {m.server for m in seen_by(provider).live.members if m.draining} == {"EX02"}
    assert clients.failures == {}
    assert misled(sided, holds(sided)) == []
    sided.haproxy.stop()
    sided.haproxy.start()
    with sided.open() as provider:
        assert {m.server for m in seen_by(provider).live.members if m.draining} == {"EX02"}
        sided.apply(provider, undrain("EX02"))
        reload_by_somebody(sided)
        assert not any(m.draining for m in seen_by(provider).live.members)


def test_a_publish_that_moves_ports_finds_what_was_drained_drained(sided: HaproxyBench) -> None:
    """HAProxy would take the port from the state file: it has the new configuration's, and proxies numbered anew."""
    sided.settings["http_port"] = 0
    members = [
        member.model_copy(update={"https_port": member.http_port, "http_port": member.https_port})
        for member in sided.spec.members
    ]
    sided.spec = sided.spec.model_copy(update={"members": tuple(members)})
    with sided.open() as provider:
        step = step_of(provider, Publish(leaf=sided.first.fingerprint, modes=BRIDGED))
        perform(sided, provider, step.do)
        assert {m.server for m in seen_by(provider).live.members if m.draining} == {"EX02"}
    ports = {line.split()[18] for line in sided.haproxy.ask("show servers state").splitlines() if "_bridge " in line}
    assert ports == {str(member.https_port) for member in members}
    assert "ID mismatch" not in sided.haproxy.log


def test_a_damaged_state_file_does_not_keep_haproxy_from_starting(sided: HaproxyBench) -> None:
    """Nor one that is missing: every server is ready then."""
    state = sided.haproxy.owned / "servers.state"
    for text in ("\x00\x01 no version", "1\nex_owa_bridge EX02\n", None):
        sided.haproxy.stop()
        if text is None:
            state.unlink()
        else:
            state.write_text(text)
        sided.haproxy.start()
        with sided.open() as provider:
            assert not any(m.draining for m in seen_by(provider).live.members)
            assert not any("after a reload" in problem for problem in seen_by(provider).problems)


def test_under_zero_warning_a_reload_keeps_drains_and_a_start_is_never_refused(make_bench: Any) -> None:
    """There a drained server's line would be an error: only reloads of ours know what is drained, and a start has all ready."""
    bench = make_sided(make_bench(extra_global="    zero-warning"))
    with bench.open() as provider, BoundClients(bench) as clients:
        step = step_of(provider, sides(bench))
        switch(bench, provider, step)
        perform(bench, provider, step.undo)
        wait_true(provider, step.undo_until)
        assert any("would be ready again after a reload" in problem for problem in seen_by(provider).problems)
    assert clients.failures == {}
    assert misled(bench, holds(bench)) == []
    bench.haproxy.stop()
    bench.haproxy.start()


def test_without_the_masters_socket_connections_of_before_are_seen_but_not_cut(sided: HaproxyBench) -> None:
    """The kernel knows them; which server they may reach it does not, so every one counts, and none can be told to end."""
    sided.settings |= {"master_socket": None, "reload": ["kill", "-USR2", str(sided.haproxy.pid)]}
    with sided.open() as provider, sided.connected() as before:
        assert ask(before).server == "EX01"
        step, cut = provider.lower(sides(sided, timeout_s=0.3, cut=True), seen_by(provider))
        switch(sided, provider, step)
        assert not drained(provider, "EX01")
        with pytest.raises(Rejected) as caught:
            perform(sided, provider, cut.do)
        assert caught.value.code == "old_worker"
        assert ask(before).server == "EX01"
        assert eventually(lambda: drained(provider, "EX01"))


def test_a_drain_waits_for_connections_of_before_a_reload(published: HaproxyBench) -> None:
    """A worker that ends takes no orders: its clients' next requests may go to the server, so it is not drained before."""
    with published.open() as provider, published.connected() as before:
        assert ask(before).status == 200
        reload_by_somebody(published)
        perform(published, provider, step_of(provider, drain("EX01")).do)
        assert not drained(provider, "EX01")
        assert ask(before).headers["connection"] == "close"
        assert eventually(lambda: drained(provider, "EX01"))


def test_a_configuration_of_an_older_lbsync_is_put_back_and_keeps_its_drains(sided: HaproxyBench) -> None:
    """Taking our first publish over it back leaves its files alone, without a state file; what is drained stays so."""
    _write_older_configuration(sided)
    (sided.haproxy.owned / "servers.state").unlink()
    reload_by_somebody(sided)
    before = sided.files()
    with sided.open() as provider:
        perform(sided, provider, step_of(provider, drain("EX02")).do)
        switching, publishing = (
            step_of(provider, change) for change in (sides(sided), Publish(leaf=sided.first.fingerprint, modes=BRIDGED))
        )
        with pytest.raises(Rejected, match="an older lbsync"):
            perform(sided, provider, switching.do)
        for action in (publishing.do, publishing.undo):
            perform(sided, provider, action)
            assert {m.server for m in seen_by(provider).live.members if m.draining} == {"EX02"}
    assert sided.files() == before


def _write_older_configuration(bench: HaproxyBench) -> None:
    path = bench.haproxy.owned / layout.CFG
    lines = body_of(path.read_text()).splitlines(keepends=True)
    plain = "".join(line for line in lines if "server-state" not in line)
    others = {name: (bench.haproxy.owned / name).read_text() for name in layout.TEXT_FILES if name != layout.CFG}
    digest = structure_of({**others, layout.CFG: seal(plain)})
    path.write_text(seal(re.sub(f"(setenv {STRUCTURE_VARIABLE}) .*", rf"\1 {digest}", plain)))


def test_a_reload_that_serves_something_else_is_followed_by_one_that_serves_what_was(sided: HaproxyBench) -> None:
    """Somebody's reload command puts its own certificate in: the sides are taken back with it, and the switch has failed."""
    live, before = sided.haproxy.owned / "certs" / "live.pem", sided.files()
    command = sided.haproxy.directory / "reload.sh"
    theirs = f"ln -sfn {sided.first.fingerprint}.pem {live}"
    command.write_text(f"#!/bin/sh\n{theirs}\nkill -USR2 {sided.haproxy.pid}\n")
    command.chmod(0o755)
    sided.settings["reload"] = [str(command)]
    with sided.open() as provider:
        with pytest.raises(Rejected) as caught:
            perform(sided, provider, step_of(provider, sides(sided)).do)
        assert caught.value.code == "not_loaded"
        seen = seen_by(provider)
    assert seen.leaf == sided.first.fingerprint
    assert {m.server for m in seen.live.members if m.draining} == {"EX02"}
    assert sided.files() == before
