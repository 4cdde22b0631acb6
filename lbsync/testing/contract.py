"""What must hold of any balancer's provider, stated once: ours and third parties' run this very class.

Rule of this room: it knows the contract (``lbsync.target``) and no product. Subclass ``ProviderContract`` in a test file, give
it a fixture ``subject``, and pytest holds the provider to every promise::

    class TestMyBalancer(ProviderContract):
        @pytest.fixture
        def subject(self) -> Generator[Subject]:
            with plugin.open(spec, settings) as provider:
                yield Subject(provider, first, second, servers=("EX01", "EX02"))
"""

from __future__ import annotations

import itertools
import time
from typing import Any, ClassVar

import pytest
from pydantic import JsonValue

from lbsync.changes import (
    Drain,
    InstallCertificate,
    Publish,
    SwitchMode,
    SwitchSides,
    UninstallCertificate,
)
from lbsync.errors import UnsupportedMode
from lbsync.facts import MemberLive
from lbsync.model import Check, Mode, State, Step
from lbsync.services import SERVICES, Service
from lbsync.testing.subject import EVERY_S, PATIENCE_S, Subject, secrets_of, settled

__all__ = ["ProviderContract", "Subject", "settled"]


class ProviderContract:
    """The promises of ``lbsync.target``, as tests. Give a fixture ``subject``.

    ``prefix_step`` above 1 tries only every nth prefix of a plan, for a second, slower way to a device whose provider passes
    with all of them elsewhere.
    """

    prefix_step: ClassVar[int] = 1

    @pytest.fixture
    def subject(self) -> Subject:
        """A fresh subject for each test."""
        raise RuntimeError("supply a fixture `subject`: a provider opened on a device without anything of lbsync's")

    def test_capabilities_are_told_before_anything_is_opened(self, subject: Subject) -> None:
        """A plan asks what a device can do without touching it."""
        able = subject.provider.capabilities
        assert able.modes
        assert able.ntlm_safe <= able.modes

    def test_observing_changes_nothing(self, subject: Subject) -> None:
        """Two looks at an untouched device see the same."""
        assert settled(subject.observe()) == settled(subject.observe())

    def test_a_device_without_anything_of_ours_is_not_published(self, subject: Subject) -> None:
        """Absence is a value: no error, no leaf, no blocker."""
        seen = subject.observe()
        assert (seen.published, seen.structure, seen.leaf, seen.marker) == (False, None, None, None)
        assert seen.blockers == ()
        assert seen.wanted_structure

    def test_lowering_is_pure(self, subject: Subject) -> None:
        """The same facts lower to the same steps, with unique ids, and touch nothing."""
        seen = subject.observe()
        steps = subject.steps(seen)
        assert steps == subject.steps(seen)
        assert len({step.id for step in steps}) == len(steps)
        assert settled(subject.observe()) == settled(seen)

    def test_steps_survive_being_stored(self, subject: Subject) -> None:
        """A plan is saved as JSON and read back unchanged."""
        for step in subject.steps(subject.observe()):
            assert Step.model_validate_json(step.model_dump_json()) == step

    def test_applying_converges(self, subject: Subject) -> None:
        """Each effect performed twice ends as if performed once, in what was wanted; the same plan is then no work."""
        for step in subject.steps(subject.observe()):
            subject.do(step, times=2)
        seen = subject.observe()
        assert (seen.published, seen.leaf, seen.marker) == (True, subject.second.fingerprint, None)
        assert seen.structure == seen.wanted_structure
        assert {subject.first.fingerprint, subject.second.fingerprint} <= set(seen.installed)
        able = Mode.OFFLOAD in subject.provider.capabilities.modes
        assert set(subject.offloadable) <= set(seen.modes)
        offloaded = {service for service, mode in seen.modes.items() if mode is Mode.OFFLOAD}
        assert offloaded == (set(subject.switched) if able else set())
        assert seen.problems == ()

    def test_undo_restores_from_every_prefix(self, subject: Subject) -> None:
        """However many steps were performed, taking them back (and one never performed) leaves what was before."""
        before = settled(subject.observe())
        steps = subject.steps(subject.observe())
        for done in range(len(steps), -1, -self.prefix_step):
            for step in steps[:done]:
                subject.do(step)
            for step in reversed(steps[: done + 1]):
                subject.undo(step)
            assert settled(subject.observe()) == before, f"after {done} steps"

    def test_reading_tells_before_and_after_apart(self, subject: Subject) -> None:
        """What an action governs differs before and after it, is stable under repetition, and the same seen by its undo."""
        steps = subject.steps(subject.observe())
        history: list[tuple[Step, State]] = []
        for step in steps:
            if step.do is None or step.undo is None:
                subject.do(step)
                continue
            before = subject.read(step)
            subject.do(step)
            left = subject.read(step)
            assert before != left, step.id
            assert left == subject.read(step), step.id
            assert left == subject.provider.read(step.undo), step.id
            history.append((step, before))
        for step, before in reversed(history):
            subject.undo(step)
            assert subject.read(step) == before, step.id

    def test_a_drained_server_is_seen_drained(self, subject: Subject) -> None:
        """Draining one server leaves the others alone, and is undone by its undo."""
        if not subject.provider.capabilities.drain:
            pytest.skip("this device does not drain")
        for step in subject.steps(subject.observe())[:3]:
            subject.do(step)
        drain = subject.provider.lower(
            Drain(server=subject.servers[0], timeout_s=PATIENCE_S, on_timeout="stop"), subject.observe()
        )
        for step in drain:
            subject.do(step)
        members = subject.observe().live.members
        assert {m.server for m in members if m.draining} == {subject.servers[0]}
        assert all(m.draining for m in members if m.server == subject.servers[0])
        for step in reversed(drain):
            subject.undo(step)
        assert not any(m.draining for m in subject.observe().live.members)

    def test_sides_are_switched_in_one_step_and_back(self, subject: Subject) -> None:
        """Another leaf and other servers at once, twice as once; it leaves the other side drained, and its undo mirrors it."""
        if not subject.provider.capabilities.switches_sides:
            pytest.skip("this device cannot switch leaf and servers in one moment")
        for step in subject.steps(subject.observe())[:3]:
            subject.do(step)
        fresh, *old = subject.servers
        leaf, after = subject.first.fingerprint, subject.second.fingerprint
        patience = {"timeout_s": PATIENCE_S, "on_timeout": "stop"}
        for change in (InstallCertificate(leaf=after), Drain.model_validate({"server": fresh, **patience})):
            for step in subject.provider.lower(change, subject.observe()):
                subject.do(step)
        sides = {"before": leaf, "after": after, "old": tuple(old), "fresh": (fresh,)}
        before = settled(subject.observe())
        steps = subject.provider.lower(SwitchSides.model_validate(sides | patience), subject.observe())
        self._switch_sides_and_back(subject, steps, sides)
        assert settled(subject.observe()) == before
        assert {m.server for m in subject.observe().live.members if m.draining} == {fresh}

    @staticmethod
    def _switch_sides_and_back(subject: Subject, steps: tuple[Step, ...], sides: dict[str, Any]) -> None:
        switch = steps[0]
        before = subject.read(switch)
        for step in steps:
            subject.do(step, times=2)
        seen, left = subject.observe(), subject.read(switch)
        assert seen.leaf == sides["after"]
        assert {m.server for m in seen.live.members if m.draining} == set(sides["old"])
        assert left != before
        assert switch.undo is not None
        assert left == subject.provider.read(switch.undo)
        for step in reversed(steps):
            subject.undo(step)
        assert subject.read(switch) == before

    def test_a_certificate_that_is_not_served_is_removed_for_good(self, subject: Subject) -> None:
        """Without a way back, twice as once, and seen to be gone; the one that is served stays, whoever asks."""
        for step in subject.steps(subject.observe())[:3]:
            subject.do(step)
        served, other = subject.first.fingerprint, subject.second.fingerprint
        for step in subject.provider.lower(InstallCertificate(leaf=other), subject.observe()):
            subject.do(step)
        seen = subject.observe()
        (step,) = subject.provider.lower(UninstallCertificate(leaf=other), seen)
        before = subject.read(step)
        assert step.undo is None
        assert not any(subject.provider.check(check).passed for check in step.until)
        subject.do(step, times=2)
        assert subject.read(step) != before
        (kept,) = subject.provider.lower(UninstallCertificate(leaf=served), seen)
        assert kept.do is not None
        subject.hear(subject.provider.perform(kept.do, subject))
        assert not any(subject.provider.check(check).passed for check in kept.until)
        after = subject.observe()
        assert (after.leaf, after.installed) == (served, (served,))

    def test_members_are_told_per_service_and_mode(self, subject: Subject) -> None:
        """Once published, every server shows in the pools of the service, up; each can be asked about by itself."""
        for step in subject.steps(subject.observe())[:3]:
            subject.do(step)
        modes = subject.provider.capabilities.modes

        def up(members: tuple[MemberLive, ...]) -> set[tuple[str, Mode]]:
            return {(m.server, m.mode) for m in members if m.service is subject.service and m.up}

        wanted = {(server, mode) for server in subject.servers for mode in modes}
        deadline = time.monotonic() + PATIENCE_S
        while up(subject.observe().live.members) != wanted and time.monotonic() < deadline:
            time.sleep(EVERY_S)
        assert up(subject.observe().live.members) == wanted
        for server, mode in sorted(wanted):
            assert subject.provider.check(_up_alone(subject, mode, server)).passed
            assert not subject.provider.check(_up_alone(subject, mode, f"not-{server}")).passed

    def test_mrsproxy_is_never_offloaded(self, subject: Subject) -> None:
        """MRSProxy works over TLS only: whoever asks for it in clear is refused while planning."""
        seen = subject.observe()
        leaf, plain = subject.first.fingerprint, Mode.OFFLOAD
        with pytest.raises(UnsupportedMode):
            subject.provider.lower(SwitchMode(services=(Service.MRSPROXY,), before=Mode.BRIDGE, after=plain), seen)
        with pytest.raises(UnsupportedMode):
            subject.provider.lower(Publish(leaf=leaf, modes=dict.fromkeys(SERVICES, plain)), seen)

    def test_a_mode_the_device_cannot_do_is_refused_while_planning(self, subject: Subject) -> None:
        """Never discovered half-way."""
        seen = subject.observe()
        for mode in set(Mode) - subject.provider.capabilities.modes:
            other = next(iter(set(Mode) - {mode}))
            with pytest.raises(UnsupportedMode):
                subject.provider.lower(SwitchMode(services=subject.switched, before=other, after=mode), seen)

    def test_a_device_that_sees_no_path_switches_all_its_services_or_none(self, subject: Subject) -> None:
        """One listener has one mode there: a change of only some services is refused while planning, both ways."""
        able = subject.provider.capabilities
        if able.per_path_modes:
            pytest.skip("this device chooses the mode by path")
        if able.modes != frozenset(Mode):
            pytest.skip("this device has one mode only")
        seen, every = subject.observe(), subject.offloadable
        for before, after in itertools.permutations(Mode):
            for some in (every[:1], every[1:], (subject.service,)):
                with pytest.raises(UnsupportedMode):
                    subject.provider.lower(SwitchMode(services=some, before=before, after=after), seen)

    def test_nothing_said_holds_a_key(self, subject: Subject) -> None:
        """Steps, receipts, states, facts and evidence carry names and fingerprints only."""
        steps = subject.steps(subject.observe())
        for step in steps:
            subject.do(step)
            if step.do is not None:
                subject.read(step)
            subject.observe()
        for step in reversed(steps):
            subject.undo(step)
        said = "\n".join(subject.said)
        for bundle in (subject.first, subject.second):
            for secret in secrets_of(bundle):
                assert secret not in said


def _up_alone(subject: Subject, mode: Mode, server: str) -> Check:
    """The question whether one server is up in a pool, whoever else is."""
    args: dict[str, JsonValue] = {"service": subject.service.value, "mode": mode.value, "server": server}
    return Check(target=subject.provider.name, verb="pool-up", args=args, summary=f"{server} is up")
