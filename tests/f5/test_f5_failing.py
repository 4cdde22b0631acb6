"""What goes wrong in the middle of a change: the device ends with what was wanted or as it was, and the message says which."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lbsync.changes import Change, InstallCertificate, Publish, SwitchCertificate, SwitchMode, SwitchSides
from lbsync.errors import Rejected, TargetError, Unreachable
from lbsync.lab.bigip.faults import Asked, Fault
from lbsync.model import Mode, Step
from lbsync.services import Service
from lbsync.target import Provider
from lbsync.testing.ports import free_port
from tests.balancers.acts import drain, flip, perform, seen_by, step_of, undrain
from tests.balancers.bench import BRIDGED, OFFLOADED, wait_true
from tests.f5.acts import drained, everything, nothing_left, running
from tests.f5.conftest import CONNECTIONS, REQUESTS, F5Bench
from tests.longer import one_now

DROPS = (Fault.DROP_BEFORE, Fault.DROP_AFTER)
Kind = tuple[str, tuple[str, ...], bool]
"""Method, the first parts of the path, and whether in a transaction."""


@pytest.fixture
def make_bench(make_small: Callable[..., F5Bench]) -> Callable[..., F5Bench]:
    """Few services do."""
    return make_small


def differ(one: dict[str, str], other: dict[str, str]) -> set[str]:
    """Names of what differs. A transaction whose opening was answered to nobody stays until its time is over."""
    return {name for name in one | other if one.get(name) != other.get(name)} - {"transactions"}


def trouble(bench: F5Bench, *faults: Fault | None) -> None:
    """The next requests meet these; whatever was scripted before is forgotten."""
    bench.device.faults.forget()
    bench.device.fault(*faults)


def trouble_at(bench: F5Bench, chosen: Callable[[Asked], bool], *faults: Fault | None) -> None:
    """The next requests of these meet them: how many others come between depends on how long things took."""
    bench.device.faults.forget()
    bench.device.faults.script_for(chosen, *faults)


def kind_of(one: Asked) -> Kind:
    """What tells requests of a step apart."""
    return one.method, tuple(one.path.split("/")[3:5]), bool(one.transaction)


def of(kind: Kind) -> Callable[[Asked], bool]:
    """Chooses the requests of one kind."""
    return lambda one: kind_of(one) == kind


def commits(one: Asked) -> bool:
    """Whether a request commits a transaction."""
    return one.method == "PATCH" and "/transaction/" in one.path


def sweep(bench: F5Bench, provider: Provider, step: Step, part: slice) -> int:
    """One connection broken at each kind of the step's requests, before and after it was carried out; how many kinds there are.

    Whatever the step said, performing it again ends as if nothing had been; its undo ends as before.
    """
    for action in (step.do, step.undo):
        perform(bench, provider, action)
    before = running(bench)
    start = len(bench.device.log)
    perform(bench, provider, step.do)
    kinds = list(dict.fromkeys(kind_of(one) for one in bench.device.log[start:] if "/login" not in one.path))
    wanted = running(bench)
    perform(bench, provider, step.undo)
    for kind in kinds[part]:
        for fault in DROPS:
            trouble_at(bench, of(kind), fault)
            try:
                perform(bench, provider, step.do)
            except Unreachable:
                trouble(bench)
                perform(bench, provider, step.do)
            trouble(bench)
            assert differ(running(bench), wanted) == set(), (kind, fault)
            perform(bench, provider, step.undo)
            assert differ(running(bench), before) == set(), (kind, fault)
    return len(kinds)


@pytest.mark.parametrize("first", one_now(range(1, 4)))
def test_a_publish_survives_a_connection_that_breaks(bench: F5Bench, first: int) -> None:
    """At each kind of request: looks, an upload, objects, queued ones, commits, the policy's draft, the save."""
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        assert sweep(bench, provider, step, slice(first + 6, None, 3)) > 15


CHANGES: dict[str, Callable[[F5Bench], Change]] = {
    "install": lambda bench: InstallCertificate(leaf=bench.second.fingerprint),
    "switch certificate": lambda bench: SwitchCertificate(
        before=bench.first.fingerprint, after=bench.second.fingerprint
    ),
    "switch mode": lambda _: SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD),
    "drain": lambda _: drain(),
    "switch sides": lambda bench: SwitchSides(
        before=bench.first.fingerprint,
        after=bench.second.fingerprint,
        old=("EX02",),
        fresh=("EX01",),
        timeout_s=10,
        on_timeout="stop",
    ),
}


@pytest.mark.parametrize("name", one_now(CHANGES, 2))
def test_each_other_step_survives_it_too(make_bench: Callable[..., F5Bench], name: str) -> None:
    """Whatever is lost, the step or its repetition ends in what was wanted, and its undo in what was."""
    sides = name == "switch sides"
    bench = make_bench(CONNECTIONS if sides else REQUESTS)
    bench.publish()
    with bench.open() as provider:
        if name in {"switch certificate", "switch sides"}:
            bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        if sides:
            bench.apply(provider, drain())
        step = step_of(provider, CHANGES[name](bench))
        if name == "drain":  # without waiting for monitors, which changes no request
            undo = step.undo.model_copy(update={"args": {**step.undo.args, "settle": False}}) if step.undo else None
            step = step.model_copy(update={"undo": undo})
        assert sweep(bench, provider, step, slice(1, None, 1 if sides else 2)) >= 3


@pytest.mark.parametrize("number", one_now([30, 0, 43]))
def test_a_device_that_goes_away_is_given_up_soon(bench: F5Bench, number: int) -> None:
    """In the middle of a publish: the message says that nobody knows; once it is back, the undo leaves what was before."""
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        before = running(bench)
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        trouble(bench, *[None] * number, *[Fault.DROP_AFTER] * 400)
        began = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            perform(bench, provider, step.do)
        assert time.monotonic() - began < 8
        assert "connection failed" in caught.value.message
        trouble(bench)
        perform(bench, provider, step.undo)
        assert differ(running(bench), before) == set()
        perform(bench, provider, step.do)
        wait_true(provider, step.until)
    assert bench.request("/owa/").status == 200


@pytest.mark.parametrize("number", one_now([30, 17, 42]))
def test_a_device_that_is_busy_for_a_moment_is_waited_for(bench: F5Bench, number: int) -> None:
    """503 in the middle, inside a transaction or at its commit: nobody notices."""
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        trouble(bench, *[None] * number, Fault.BUSY, Fault.BUSY)
        perform(bench, provider, step.do)
        wait_true(provider, step.until)
        seen = seen_by(provider)
        assert (seen.structure, seen.problems) == (seen.wanted_structure, ())
    nothing_left(bench)


def test_a_restarting_device_is_waited_for_and_in_the_end_told(published: F5Bench) -> None:
    """Its page instead of JSON: a short one passes unnoticed, a long one is an error that says what it is."""
    published.settings["busy_timeout_s"] = 1.0
    with published.open() as provider:
        published.device.restarting(1)
        assert seen_by(provider).published
        published.device.restarting(10_000)
        with pytest.raises(Unreachable, match="busy or restarting") as caught:
            provider.observe(frozenset(Service))
        assert caught.value.code == "busy"
        published.device.restarting(0)
        assert seen_by(provider).published


def test_a_transaction_that_expires_is_told_and_nothing_of_it_is_done(bench: F5Bench) -> None:
    """A device that is too slow for its own time-out: the message says to run it again."""
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        before = everything(bench)
        bench.device.transaction_timeout_s = 0.0
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, step.do)
        assert caught.value.code == "transaction_expired"
        assert "run it again" in caught.value.remedy
        assert differ(everything(bench), before) == set()
        bench.device.transaction_timeout_s = 120.0
        perform(bench, provider, step.do)
        bench.device.transaction_timeout_s = 0.0
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, step.undo)
        assert caught.value.code == "transaction_expired"
    nothing_left(bench)


def test_a_refused_change_of_what_is_published_changes_nothing(make_bench: Callable[..., F5Bench]) -> None:
    """Other monitors, another port that somebody has by now: neither comes, and nobody notices."""
    bench = make_bench(REQUESTS)
    bench.publish(OFFLOADED)
    address = bench.running.address
    port = free_port(address)
    bench.settings |= {"monitor_interval_s": 2, "monitor_timeout_s": 3, "long_request_s": 1900, "https_port": port}
    with bench.open() as provider:
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=OFFLOADED))
        bench.device.foreign("ltm/virtual", {"name": "/Common/theirs", "destination": f"/Common/{address}:{port}"})
        before = everything(bench)
        with pytest.raises(Rejected, match="illegally shares") as caught:
            perform(bench, provider, step.do)
        assert caught.value.code == "01070333"
        assert differ(everything(bench), before) == set()
    assert bench.request("/owa/").scheme == "http"
    nothing_left(bench)


def test_a_reboot_in_the_middle_of_a_publish_is_noticed(bench: F5Bench) -> None:
    """What was made and not saved is gone when the switch refers to it: refused, and run again it works."""
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        changed = bench.device.running.changed

        def reboot() -> None:
            changed.clear()
            bench.device.reload_saved()

        changed.append(reboot)
        with pytest.raises(Rejected) as caught:
            perform(bench, provider, step.do)
        assert caught.value.remedy
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        perform(bench, provider, step.do)
        wait_true(provider, step.until)
    assert bench.served() == bench.first.fingerprint
    nothing_left(bench)


def test_a_reboot_in_the_middle_of_a_drain_changes_nothing(published: F5Bench) -> None:
    """A drain is saved, as its end is: a server that changes meanwhile must not be sent anybody by a reboot."""
    with published.open() as provider:
        published.apply(provider, drain())
        published.device.reload_saved()
        assert drained(provider, "EX01")
        assert seen_by(provider).problems == ("EX01 is drained on the BIG-IP: it takes no requests.",)
        published.apply(provider, undrain())
        published.device.reload_saved()
        assert seen_by(provider).problems == ()


def test_a_reboot_keeps_what_was_published_and_switched(make_bench: Callable[..., F5Bench]) -> None:
    """Every change that lasts is saved with it: the device comes up with certificate, modes and objects."""
    bench = make_bench(REQUESTS)
    bench.publish()
    with bench.open() as provider:
        flip(bench, provider, Mode.OFFLOAD)
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        bench.apply(provider, SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint))
        before = seen_by(provider)
        bench.device.reload_saved()
        after = seen_by(provider)
    assert after.model_dump(exclude={"live"}) == before.model_dump(exclude={"live"})
    assert not bench.device.unsaved
    assert (bench.served(), bench.request("/owa/").scheme) == (bench.second.fingerprint, "http")


@pytest.mark.parametrize("fault", one_now([Fault.DROP_AFTER, Fault.ERROR_AFTER]))
def test_a_commit_that_was_done_but_said_otherwise_is_looked_at_again(
    make_bench: Callable[..., F5Bench], fault: Fault
) -> None:
    """Nothing that may be live by now is taken away; performed again, the step ends as it would have."""
    bench = make_bench(REQUESTS)
    bench.settings |= {"busy_timeout_s": 0}
    with bench.open() as provider:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
        step = step_of(provider, Publish(leaf=bench.first.fingerprint, modes=BRIDGED))
        start = len(bench.device.log)
        perform(bench, provider, step.do)
        last = sum(commits(one) for one in bench.device.log[start:]) - 1
        wanted = running(bench)
        perform(bench, provider, step.undo)
        for number in (0, last):
            trouble_at(bench, commits, *[None] * number, fault)
            with pytest.raises(Unreachable) as caught:
                perform(bench, provider, step.do)
            assert caught.value.state
            assert bench.device.paths("ltm/pool")
            trouble(bench)
            perform(bench, provider, step.do)
            assert differ(wanted, running(bench)) == set()
            perform(bench, provider, step.undo)


def test_a_gateway_that_gives_up_is_no_refusal(published: F5Bench) -> None:
    """504 of the device's own web server, with a page instead of an answer: waited for like a busy device, then told."""
    published.settings |= {"busy_timeout_s": 0}
    before = everything(published)
    with published.open() as provider:
        step = step_of(
            provider, SwitchCertificate(before=published.first.fingerprint, after=published.first.fingerprint)
        )
        trouble(published, *[Fault.GATEWAY] * 20)
        with pytest.raises(Unreachable) as caught:
            perform(published, provider, step.do)
        trouble(published)
    assert "504" in caught.value.message
    assert differ(before, everything(published)) == set()


def test_an_upload_that_cannot_be_removed_is_told(bench: F5Bench) -> None:
    """It may hold a private key: the message says where it lies."""
    bench.device.read_only_downloads = True
    with bench.open() as provider, pytest.raises(Rejected) as caught:
        bench.apply(provider, InstallCertificate(leaf=bench.first.fingerprint))
    assert caught.value.code == "upload_left"
    assert "perhaps with a private key" in caught.value.state
    bench.device.read_only_downloads = False


def test_an_upload_that_a_killed_run_left_goes_when_it_is_resumed(bench: F5Bench) -> None:
    """The objects are all there by then, and nothing else would look at the upload again."""
    with bench.open() as provider:
        step = step_of(provider, InstallCertificate(leaf=bench.first.fingerprint))
        bench.device.read_only_downloads = True
        with pytest.raises(Rejected):
            perform(bench, provider, step.do)
        bench.device.read_only_downloads = False
        assert bench.device.downloads != ()
        assert "installed already" in perform(bench, provider, step.do).summary
    assert bench.device.downloads == ()


def test_an_account_that_may_only_read_is_told_and_gives_its_token_back(published: F5Bench) -> None:
    """401 "Authorization failed" is no old token: no second login is spent on it."""
    before = everything(published)
    with published.open() as provider:
        step = step_of(
            provider, SwitchMode(services=(Service.OWA, Service.EWS), before=Mode.BRIDGE, after=Mode.OFFLOAD)
        )
        published.device.read_only_account = True
        start = len(published.device.log)
        with pytest.raises(TargetError) as caught:
            perform(published, provider, step.do)
        assert [one for one in published.device.log[start:] if "authn/login" in one.path] == []
        published.device.read_only_account = False
    assert "role" in f"{caught.value.message} {caught.value.remedy}"
    assert differ(before, everything(published)) == set()
    nothing_left(published)
