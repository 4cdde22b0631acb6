"""An active and a standby BIG-IP: changes on the active one, each synchronised, and what a fail-over makes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lbsync.changes import InstallCertificate, Publish, SwitchCertificate, SwitchMode, SwitchSides
from lbsync.errors import Rejected, TargetError
from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.faults import Fault
from lbsync.lab.bigip.pair import GROUP, BigIpPair
from lbsync.lab.bigip.traffic import Traffic
from lbsync.model import Mode
from lbsync.services import ALL_SERVICES
from lbsync.testing.ca import TestCA
from lbsync.testing.contract import ProviderContract, Subject
from lbsync.testing.ports import free_port, own_address
from lbsync_certs import Bundle
from lbsync_f5 import plugin
from tests.balancers.acts import drain, offloadable, perform, seen_by, step_of
from tests.balancers.bench import BRIDGED, Bench, short_directory, spec_of, two_servers, wait_true
from tests.balancers.simulated import objects_of
from tests.f5.conftest import CONNECTIONS, FEW, NAME
from tests.longer import LONGER, one_now


class SimulatedPair:
    """Two devices that share a data plane, on one management port of two addresses, with one account."""

    def __init__(self, directory: Path, **pair: Any) -> None:
        self.addresses = (own_address(), own_address())
        self.address = self.addresses[0]
        self.https_port, self.http_port = (free_port(self.address) for _ in range(2))
        self.owned = directory
        ca = TestCA.new("management")
        own: dict[str, Any] = {"sync_lag_s": 0.05, "addresses": self.addresses, "port": free_port(self.address)}
        self.pair = BigIpPair(directory, ca=ca, plane=Traffic(directory / "traffic"), **own | pair)
        first, second = self.pair.devices
        second.passwords.update(first.passwords)

    @property
    def settings(self) -> dict[str, object]:
        """``[balancers.settings]`` for it."""
        first = self.pair.devices[0]
        return {
            "hosts": list(self.addresses),
            "port": first.management_port,
            "user": first.user,
            "password": first.password,
            "ca_file": str(first.directory / "ca.pem"),
            "bind_address": self.address,
            "https_port": self.https_port,
            "http_port": self.http_port,
            "monitor_interval_s": 1,
            "monitor_timeout_s": 2,
            "sync_timeout_s": 5,
            "busy_timeout_s": 1,
        }


class PairBench(Bench):
    """A bench whose balancer is a pair."""

    @property
    def pair(self) -> BigIpPair:
        """Its knobs."""
        assert isinstance(self.running, SimulatedPair)
        return self.running.pair

    @property
    def hosts(self) -> list[str]:
        """The management addresses, the active device's first."""
        return [device.address for device in self.pair.devices]

    @property
    def active(self) -> BigIp:
        """The device that carries the traffic."""
        return self.pair.active

    @property
    def standby(self) -> BigIp:
        """The other one."""
        return self.pair.standby

    def agrees(self) -> bool:
        """Whether both run the same objects."""
        one, other = (self.objects(device, "running ") for device in self.pair.devices)
        return one == other

    @staticmethod
    def objects(device: BigIp, which: str) -> Mapping[str, str]:
        """Objects of one device that run, or that are saved."""
        found = {name.removeprefix(which): text for name, text in objects_of(device).items() if name.startswith(which)}
        return {name: text for name, text in found.items() if not name.startswith("cm/")}


def build(
    stack: ExitStack,
    authority: TestCA,
    leaves: tuple[Bundle, Bundle],
    settings: dict[str, object] | None = None,
    **pair: Any,
) -> PairBench:
    """A bench that ends with ``stack``; other keyword arguments go to the pair."""
    running = SimulatedPair(stack.enter_context(short_directory()), **pair)
    servers = two_servers(stack, authority, NAME)
    stack.enter_context(running.pair)
    wanted = running.settings | (CONNECTIONS if settings is None else settings)
    spec = spec_of(servers, authority, FEW, NAME)
    return PairBench(plugin, running, servers, authority, *leaves, spec=spec, settings=wanted)


@pytest.fixture
def make_bench(authority: TestCA, leaves: tuple[Bundle, Bundle]) -> Generator[Callable[..., PairBench]]:
    """Builds benches that end with the test."""
    with ExitStack() as stack:
        yield partial(build, stack, authority, leaves)


@pytest.fixture
def bench(make_bench: Callable[..., PairBench]) -> PairBench:
    """A pair without anything of ours."""
    return make_bench()


@LONGER
class TestPair(ProviderContract):
    """The contract, kept by the active device; the standby's address is the first in hosts."""

    prefix_step = 12

    @pytest.fixture
    def subject(self, make_bench: Callable[..., PairBench]) -> Generator[Subject]:
        """A fresh pair before two servers."""
        bench = make_bench()
        bench.settings["hosts"] = bench.hosts[::-1]
        with bench.open() as provider:
            yield Subject(provider, bench.first, bench.second, servers=("EX01", "EX02"), services=FEW)


@pytest.mark.parametrize("first", one_now(["active", "standby"]))
def test_changes_are_made_on_the_active_device_alone(bench: PairBench, first: str) -> None:
    """Whichever stands first in hosts: the standby is asked who it is, and gets everything by synchronisation."""
    if first == "standby":
        bench.settings["hosts"] = bench.hosts[::-1]
    bench.publish()
    assert bench.request("/owa/").status == 200
    asked = [one for one in bench.standby.log if "/authn/" not in one.path and "/tokens/" not in one.path]
    # A run may have been there before a failover, and been killed between upload and removal.
    assert {one.path.partition("/mgmt/tm/")[2] for one in asked if one.method != "GET"} == {"util/unix-rm"}
    assert bench.agrees()
    assert bench.pair.sync_status == "In Sync"
    for device in bench.pair.devices:
        assert (device.tokens_of[device.user], device.open_transactions, device.downloads) == (0, 0, ())


def test_each_change_is_saved_on_the_active_device_and_known_to_both(bench: PairBench) -> None:
    """Publish, rotation, modes: after each the group is in sync, and a reboot of the active one loses nothing."""
    first, second = bench.first.fingerprint, bench.second.fingerprint
    with bench.open() as provider:
        for change in (
            InstallCertificate(leaf=first),
            Publish(leaf=first, modes=BRIDGED),
            SwitchMode(services=offloadable(bench), before=Mode.BRIDGE, after=Mode.OFFLOAD),
            InstallCertificate(leaf=second),
            SwitchCertificate(before=first, after=second),
        ):
            bench.apply(provider, change)
            assert bench.pair.sync_status == "In Sync"
            assert bench.agrees()
        assert not bench.active.unsaved
        assert seen_by(provider).notes[-1] == f"Each change is synchronised to /Common/{GROUP}."


def test_a_fail_over_between_two_steps_is_followed(bench: PairBench) -> None:
    """The next step is done on the device that is active by then, with everything that was synchronised; no step fails."""
    bench.publish()
    with bench.open() as provider:
        before = bench.active
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        bench.pair.fail_over()
        assert bench.active is not before
        step = step_of(provider, SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint))
        assert step.do is not None
        provider.perform(step.do, bench.materials)
        wait_true(provider, step.until)
        assert bench.agrees()
        assert seen_by(provider).blockers == ()
    assert bench.served() == bench.second.fingerprint


def test_what_is_read_after_a_fail_over_is_the_active_devices(bench: PairBench) -> None:
    """A standby knows of no connections: it is not asked whether a server is drained."""
    bench.publish()
    with bench.open() as provider:
        assert seen_by(provider).blockers == ()
        bench.pair.fail_over()
        asked = len(bench.standby.log)
        threading.Event().wait(2.1)  # for so long a device is taken to be the active one
        assert seen_by(provider).blockers == ()
        later = [one.path for one in bench.standby.log[asked:] if "/tokens/" not in one.path]
        assert set(later) <= {"/mgmt/shared/authn/login", "/mgmt/tm/sys", "/mgmt/tm/cm/device"}


def test_a_fail_over_after_a_switch_of_sides_keeps_leaf_and_servers_together(bench: PairBench) -> None:
    """Both devices have both; before the switch is given to the other one, that one has neither."""
    bench.publish()
    first, second = bench.first.fingerprint, bench.second.fingerprint
    change = SwitchSides(before=first, after=second, old=("EX02",), fresh=("EX01",), timeout_s=10, on_timeout="stop")

    def meets() -> tuple[str, frozenset[str]]:
        return bench.served(), frozenset(bench.request("/owa/").server for _ in range(6))

    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=second))
        bench.apply(provider, drain("EX01"))
        step = step_of(provider, change)
        changed = bench.active.running.changed

        def fail_over() -> None:
            if bench.served() == second:
                changed.remove(fail_over)
                bench.pair.fail_over()

        changed.append(fail_over)
        with suppress(TargetError):
            perform(bench, provider, step.do)
        assert fail_over not in changed
        assert meets() in {(first, frozenset({"EX02"})), (second, frozenset({"EX01"}))}
        until_in_sync(bench)
        perform(bench, provider, step.do)
        wait_true(provider, step.until)
        bench.pair.fail_over()
        assert meets() == (second, frozenset({"EX01"}))
        assert bench.agrees()


@pytest.mark.parametrize("number", one_now(range(4)))
def test_a_fail_over_in_the_middle_of_a_step_loses_nothing(bench: PairBench, number: int) -> None:
    """After whichever of a publish's changes: the device finishes what it began and gives it to the group, or says that not.

    Run again on the one that is active by then, it ends in what was wanted on both.
    """
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        assert step.do is not None
        changed, countdown = bench.active.running.changed, [number]

        def fail_over() -> None:
            countdown[0] -= 1
            if countdown[0] < 0:
                changed.remove(fail_over)
                bench.pair.fail_over()

        changed.append(fail_over)
        before = bench.active
        with suppress(TargetError):
            provider.perform(step.do, bench.materials)
        until_in_sync(bench)
        provider.perform(step.do, bench.materials)
        assert bench.active is not before
        wait_true(provider, step.until)
        assert bench.agrees()
    assert bench.served() == bench.first.fingerprint


def until_in_sync(bench: PairBench) -> None:
    """Wait for it."""
    for _ in range(100):
        if bench.pair.sync_status == "In Sync":
            return
        threading.Event().wait(0.05)
    raise AssertionError(bench.pair.sync_status)


def test_devices_that_do_not_reach_each_other_are_told_and_how_things_are(bench: PairBench) -> None:
    """While planning by a blocker; in the middle of a run by an error: the active one has the change, its peer does not."""
    bench.publish()
    bench.settings["sync_timeout_s"] = 0.5
    with bench.open() as provider:
        step = step_of(provider, SwitchMode(services=offloadable(bench), before=Mode.BRIDGE, after=Mode.OFFLOAD))
        assert step.do is not None
        bench.pair.connected = False
        with pytest.raises(Rejected) as caught:
            provider.perform(step.do, bench.materials)
        assert caught.value.code == "not_synced"
        assert "a failover would undo it" in caught.value.state
        assert "Disconnected" in caught.value.message
        assert caught.value.remedy
        assert bench.request("/owa/").scheme == "http"
        (blocker,) = seen_by(provider).blockers
        assert "not in sync (Disconnected)" in blocker
        bench.pair.connected = True
        assert step.undo is not None
        provider.perform(step.undo, bench.materials)
        assert bench.agrees()
    assert bench.request("/owa/").scheme == "https"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("Changes Pending", "lbsync's config-sync would spread that change too"),
        ("Awaiting Initial Sync", "decide which device has the right configuration"),
        ("Not All Devices Synced", "a config-sync is under way"),
        ("Disconnected", "repair the connection"),
        ("Sync Failure", "the last config-sync failed"),
        ("Something New", "see `tmsh show cm sync-status`"),
    ],
)
def test_each_state_of_the_group_is_told_by_itself(bench: PairBench, status: str, told: str) -> None:
    """A blocker each, with what to do about it."""
    for device in bench.pair.devices:
        device.sync_status = status
    (line,) = bench.blockers().splitlines()
    assert f"The group is not in sync ({status})" in line
    assert told in line


def test_somebody_elses_pending_change_is_not_spread(bench: PairBench) -> None:
    """It is a blocker, until they have synchronised it."""
    bench.publish()
    bench.active.foreign("ltm/pool", {"name": "/Common/theirs"})
    assert "not in sync (Changes Pending)" in bench.blockers()
    bench.pair.synchronise()
    until_in_sync(bench)
    assert bench.blockers() == ""


def test_a_group_that_synchronises_by_itself_is_only_waited_for(make_bench: Callable[..., PairBench]) -> None:
    """With autoSync nobody is told to: config-sync is not asked for, and both have the same in the end."""
    bench = make_bench()
    bench.active.foreign("cm/device-group", {"name": f"/Common/{GROUP}", "autoSync": "enabled"})
    until_in_sync(bench)
    bench.publish()
    assert not [
        one for device in bench.pair.devices for one in device.log if one.method == "POST" and one.path == "/mgmt/tm/cm"
    ]
    until_in_sync(bench)
    assert bench.agrees()


def test_a_group_that_is_not_there_is_told(bench: PairBench) -> None:
    """By the groups that are."""
    bench.settings["device_group"] = "/Common/other"
    assert bench.blockers() == f"There is no sync-failover group /Common/other; there are: /Common/{GROUP}."
    bench.settings["device_group"] = f"/Common/{GROUP}"
    assert bench.blockers() == ""


def test_the_standby_alone_in_hosts_is_told(bench: PairBench) -> None:
    """The other address is what is missing."""
    bench.settings["hosts"] = bench.hosts[1:]
    (line,) = bench.blockers().splitlines()
    assert "is standby: changes are made on the active device only. Add its management address to hosts" in line


def test_a_device_that_is_down_leaves_the_other(bench: PairBench) -> None:
    """The first of hosts does not answer: the other one, active by then, is asked and changed."""
    bench.publish()
    bench.pair.fail_over()
    bench.standby.stop()
    with bench.open() as provider:
        seen = provider.observe(ALL_SERVICES)
        assert seen.kind == "balancer"
        assert seen.published
        assert seen.leaf == bench.first.fingerprint


def test_a_change_on_the_other_device_is_not_overwritten(bench: PairBench) -> None:
    """Made after the plan, by somebody, on the standby: our config-sync would undo it, so nothing is changed."""
    bench.publish()
    with bench.open() as provider:
        step = step_of(provider, SwitchMode(services=offloadable(bench), before=Mode.BRIDGE, after=Mode.OFFLOAD))
        bench.standby.foreign("ltm/pool", {"name": "/Common/theirs-on-standby"})
        was = dict(bench.objects(bench.active, "running "))
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, step.do)
    assert caught.value.code == "not_synced"
    assert "the change is not on" in caught.value.message
    assert dict(bench.objects(bench.active, "running ")) == was
    assert "/Common/theirs-on-standby" in bench.standby.paths("ltm/pool")


def test_a_key_that_was_left_on_the_other_device_is_taken_away(bench: PairBench) -> None:
    """Cut off between the upload and its removal, and failed over: the undo of the installation removes it there too."""
    bench.publish()
    left = bench.active
    with bench.open() as provider:
        step = step_of(provider, InstallCertificate(leaf=bench.second.fingerprint))
        perform(bench, provider, step.do)
        perform(bench, provider, step.undo)
        start = len(left.log)
        left.faults.script_for(
            lambda _: any("file-transfer" in one.path for one in left.log[start:-1]), *[Fault.DROP_BEFORE] * 20
        )
        with suppress(TargetError):
            perform(bench, provider, step.do)
        assert left.downloads != ()
        left.faults.forget()
        bench.pair.fail_over()
        for _ in range(3):  # the first tries find out who is active now
            try:
                perform(bench, provider, step.undo)
                break
            except TargetError:
                continue
    assert left.downloads == ()


def test_of_two_active_devices_none_is_worked_on(bench: PairBench) -> None:
    """Each carries a part of the traffic: told, with their names."""
    bench.standby.failover_state = "active"
    with bench.open() as provider:
        blockers = seen_by(provider).blockers
    assert any("2 devices are active" in one for one in blockers), blockers
