"""What a switch of sides makes of pools, and of what is saved; and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lbsync.changes import Publish, SwitchMode, SwitchSides
from lbsync.errors import Rejected, UnsupportedMode
from lbsync.kit.waiting import wait_for
from lbsync.model import Action, Mode, Step
from lbsync.target import Provider
from lbsync_f5 import things
from lbsync_f5.files import key_pem
from tests.balancers.acts import drain, offloadable, perform, rotate, seen_by, step_of, undrain
from tests.balancers.bench import BRIDGED, wait_true
from tests.f5.acts import everything, nothing_left
from tests.f5.conftest import REQUESTS, F5Bench
from tests.f5.sides import FRESH, OLD, PREFIX, PROTECTED, ready, sides, taking
from tests.f5.test_f5_attach import with_theirs


@pytest.fixture
def make_bench(make_small: Callable[..., F5Bench]) -> Callable[..., F5Bench]:
    """Few services do."""
    return make_small


@pytest.fixture
def bench(make_bench: Callable[..., F5Bench]) -> F5Bench:
    """Published under the first leaf, with no session resumed."""
    bench = make_bench(PROTECTED)
    bench.publish()
    return bench


def test_the_way_back_leaves_everything_as_it_was(bench: F5Bench) -> None:
    """Running and saved: certificate, policies, pools and who is drained, however often each way is gone."""
    with bench.open() as provider:
        step = ready(bench, provider)
        assert step.do is not None
        before, state = everything(bench), provider.read(step.do)
        for _ in range(2):
            for action in (step.do, step.do, step.undo, step.undo):
                perform(bench, provider, action)
        after = everything(bench)
        assert {name for name in before | after if before.get(name) != after.get(name)} == set()
        assert provider.read(step.do) == state
        leaf = bench.first.fingerprint
        assert state == {"leaf": leaf, "states": {FRESH: ["drain"], OLD: ["ready"]}}
    assert not bench.device.unsaved


def test_a_closed_pool_takes_nobody_whatever_comes_after(bench: F5Bench) -> None:
    """One of each pair of pools is live: drains, other settings and modes leave the other one closed, another rotation turns."""
    ports = {str(one.https_port) for one in bench.spec.members}
    fresh = {str(one.https_port) for one in bench.spec.members if one.name == FRESH}
    with bench.open() as provider:
        assert (taking(bench)["owa_bridge"], taking(bench)["owa_bridge_twin"]) == (ports, set())
        step = ready(bench, provider)
        perform(bench, provider, step.do)
        assert (taking(bench)["owa_bridge"], taking(bench)["owa_bridge_twin"]) == (set(), fresh)
        bench.apply(provider, undrain(OLD))
        bench.apply(provider, drain(FRESH))
        bench.apply(provider, undrain(FRESH))
        assert (taking(bench)["owa_bridge"], taking(bench)["owa_bridge_twin"]) == (set(), ports)
        for there, back in ((Mode.BRIDGE, Mode.OFFLOAD), (Mode.OFFLOAD, Mode.BRIDGE)):
            bench.apply(provider, SwitchMode(services=offloadable(bench), before=there, after=back))
            assert bench.request("/owa/").status == 200
    bench.settings["long_request_s"] = 1900
    with bench.open() as provider:
        bench.apply(provider, Publish(leaf=bench.second.fingerprint, modes=BRIDGED))
        seen = seen_by(provider)
        assert (seen.structure, seen.problems, seen.blockers) == (seen.wanted_structure, (), ())
        assert (taking(bench)["owa_bridge"], taking(bench)["owa_bridge_twin"]) == (set(), ports)
        assert {bench.request("/owa/").server for _ in range(10)} == set(bench.servers)
        bench.apply(provider, drain(OLD))
        change = SwitchSides(
            before=bench.second.fingerprint, after=bench.first.fingerprint, old=(FRESH,), fresh=(OLD,),
            timeout_s=10, on_timeout="stop",
        )  # fmt: skip
        perform(bench, provider, step_of(provider, change).do)
        assert (taking(bench)["owa_bridge"], taking(bench)["owa_bridge_twin"]) == (ports - fresh, set())
        bench.apply(provider, undrain(FRESH))
        assert seen_by(provider).problems == ()
    assert bench.served() == bench.first.fingerprint
    nothing_left(bench)


def test_another_server_joins_the_live_pools_only(bench: F5Bench) -> None:
    """A publish that changes who is in a pool leaves the closed one closed: a server goes, and comes back."""
    with bench.open() as provider:
        perform(bench, provider, ready(bench, provider).do)
        bench.apply(provider, undrain(OLD))
    whole = bench.spec
    for count in (1, 2):
        bench.spec = whole.model_copy(update={"members": whole.members[:count]})
        with bench.open() as provider:
            bench.apply(provider, Publish(leaf=bench.second.fingerprint, modes=BRIDGED))
        assert {len(found) for name, found in taking(bench).items() if name.endswith("_bridge")} == {0}
        assert {len(found) for name, found in taking(bench).items() if name.endswith("_twin")} == {count}
        assert {bench.request("/owa/").server for _ in range(6)} == set([*bench.servers][:count])


def test_a_reboot_brings_back_one_side_or_the_other_whole(bench: F5Bench) -> None:
    """Before the save everything is as before, the drain too; after it leaf and servers are the new ones together."""
    first, second = bench.first.fingerprint, bench.second.fingerprint
    with bench.open() as provider:
        step = ready(bench, provider)
        changed = bench.device.running.changed

        def reboot() -> None:
            if bench.served() == second:
                changed.clear()
                bench.device.reload_saved()

        changed.append(reboot)
        perform(bench, provider, step.do)
        assert changed == []
        assert (bench.served(), {bench.request("/owa/").server for _ in range(6)}) == (first, {OLD})
        perform(bench, provider, step.do)
        bench.device.reload_saved()
        wait_true(provider, step.until)
        assert (bench.served(), {bench.request("/owa/").server for _ in range(6)}) == (second, {FRESH})
        bench.apply(provider, undrain(OLD))
        bench.device.reload_saved()
        assert seen_by(provider).problems == ()
    nothing_left(bench)


def refused(bench: F5Bench, provider: Provider, step: Step) -> Rejected:
    """What a refused switch says; nothing at all was changed by it."""
    before = everything(bench)
    with pytest.raises(Rejected) as caught:
        perform(bench, provider, step.do)
    after = everything(bench)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()
    assert bench.served() == bench.first.fingerprint
    assert bench.request("/owa/").server == OLD
    assert caught.value.remedy
    return caught.value


def test_a_refused_transaction_changes_nothing(bench: F5Bench) -> None:
    """A key that does not match, a transaction that expires: certificate, policies and servers stay, and it can be done again."""
    device, path = bench.device, f"{PREFIX}{bench.second.fingerprint}.key"
    with bench.open() as provider:
        step = ready(bench, provider)
        device.transaction_timeout_s = 0.0
        assert refused(bench, provider, step).code == "transaction_expired"
        device.transaction_timeout_s = 120.0
        device.remove(things.SSL_KEY, path)
        device.foreign_file(things.SSL_KEY, path, key_pem(bench.first))
        assert refused(bench, provider, step).code == "01070317"
        device.remove(things.SSL_KEY, path)
        device.foreign_file(things.SSL_KEY, path, key_pem(bench.second))
        perform(bench, provider, step.do)
        wait_true(provider, step.until)
    nothing_left(bench)


def up(provider: Provider) -> set[str]:
    """Servers whose live pools that bridge are up."""
    return {one.server for one in seen_by(provider).live.members if one.up and one.mode is Mode.BRIDGE}


def test_nobody_is_sent_to_servers_that_are_down(make_bench: Callable[..., F5Bench]) -> None:
    """Down by their monitors, or forced offline by somebody: it is told, and nothing is changed."""
    bench = make_bench(PROTECTED | {"monitor_timeout_s": 2})
    bench.publish()
    with bench.open() as provider:
        step = ready(bench, provider)
        bench.servers[FRESH].healthy.discard("https")
        assert wait_for(lambda: FRESH not in up(provider), 10)
        assert refused(bench, provider, step).code == "pool_down"
        bench.servers[FRESH].healthy.add("https")
        perform(bench, provider, step.do)
        perform(bench, provider, step.undo)
        pool = f"{PREFIX}owa_bridge"
        member = f":{bench.spec.members[0].https_port}"
        found = bench.device.object("ltm/pool", pool) or {}
        forced = {"state": "user-down", "session": "user-disabled"}
        members = [
            {"name": one["fullPath"]} | (forced if one["name"].endswith(member) else {}) for one in found["members"]
        ]
        bench.device.foreign("ltm/pool", {"name": pool, "members": members})
        assert refused(bench, provider, step).code == "maintenance"


def not_planned(bench: F5Bench) -> str:
    """Why leaf and side are not changed together here."""
    with bench.open() as provider, pytest.raises(UnsupportedMode) as caught:
        provider.lower(sides(bench), seen_by(provider))
    assert caught.value.remedy
    return caught.value.message


def test_what_cannot_change_its_side_is_refused_while_planning(bench: F5Bench) -> None:
    """Settings that are not published yet (sessions may still be resumed), and offloaded services."""
    bench.settings["resumption"] = True
    assert "what is published is not what the settings call for" in not_planned(bench)
    bench.settings["resumption"] = False
    with bench.open() as provider:
        bench.apply(provider, SwitchMode(services=offloadable(bench), before=Mode.BRIDGE, after=Mode.OFFLOAD))
    assert "services are offloaded here" in not_planned(bench)


def test_where_requests_are_balanced_one_by_one_sides_are_not_changed(make_bench: Callable[..., F5Bench]) -> None:
    """A client's open connection would find nobody with its next request: the capability says no, and so does the plan."""
    bench = make_bench(REQUESTS | {"resumption": False})
    bench.publish()
    with bench.open() as provider:
        assert not provider.capabilities.switches_sides
    assert "requests of one client go to several servers" in not_planned(bench)


def test_a_virtual_server_that_persists_is_refused_while_planning(make_bench: Callable[..., F5Bench]) -> None:
    """A disabled member is still given clients that persist to it: they would meet the other leaf."""
    bench = with_theirs(make_bench, PROTECTED, persist=[{"name": "cookie", "partition": "Common", "tmDefault": "yes"}])
    bench.publish()
    assert "has a persistence profile" in not_planned(bench)


def test_nothing_published_has_no_side(make_bench: Callable[..., F5Bench]) -> None:
    """Taken away between plan and run: told, and nothing is made."""
    bench = make_bench(PROTECTED)
    bench.publish()
    with bench.open() as provider:
        step = ready(bench, provider)
        bench.device.foreign("ltm/virtual", {"name": f"{PREFIX}https", "policies": []})
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, step.do)
    assert caught.value.code == "no_policy"
    assert bench.served() == bench.first.fingerprint


def test_without_sides_a_rotation_is_as_before(bench: F5Bench) -> None:
    """A switch of the certificate alone leaves the live pools live, on either side."""
    with bench.open() as provider:
        perform(bench, provider, ready(bench, provider).do)
        bench.apply(provider, undrain(OLD))
        rotate(bench, provider, bench.second, bench.first)
        assert {bench.request("/owa/").server for _ in range(10)} == set(bench.servers)
    assert bench.served() == bench.first.fingerprint


def without_twins(step: Step) -> Action:
    """The publish of a lbsync that knew no twins."""
    assert step.do is not None
    listed = step.do.args["things"]
    assert isinstance(listed, list)
    kept = [one for one in listed if not (isinstance(one, dict) and str(one["path"]).endswith("_twin"))]
    return step.do.model_copy(update={"args": {**step.do.args, "things": kept}})


def test_what_an_earlier_version_published_gets_closed_pools_by_the_next_publish(bench: F5Bench) -> None:
    """Until then sides cannot change, and the plan says so; nor can it go back to that version with the other side live."""
    with bench.open() as provider:
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        perform(bench, provider, without_twins(step))
        assert [name for name in taking(bench) if name.endswith("_twin")] == []
        assert "not what the settings call for" in not_planned(bench)
        perform(bench, provider, step.do)
        wait_true(provider, step.until)
        assert {len(found) for name, found in taking(bench).items() if name.endswith("_twin")} == {0}
        perform(bench, provider, ready(bench, provider).do)
        before = everything(bench)
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, without_twins(step))
        assert caught.value.code == "closed"
        assert everything(bench) == before
