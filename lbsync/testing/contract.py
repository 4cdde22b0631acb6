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
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import BaseModel

from lbsync.changes import Change, Drain, InstallCertificate, Mark, Publish, SwitchCertificate, SwitchMode, Undrain
from lbsync.errors import UnsupportedMode
from lbsync.facts import BalancerFacts, MemberLive
from lbsync.model import Check, Mode, State, Step
from lbsync.services import ALL_SERVICES, SERVICES, Service
from lbsync.target import Provider
from lbsync_certs import Bundle, Fingerprint

_PATIENCE_S = 30.0
_EVERY_S = 0.05
_MARKER = "contract"


@dataclass
class Subject:
    """A provider opened on a device that nothing of lbsync's was published on, and what to publish.

    ``first`` and ``second`` are certificates for the published names, ``servers`` the names of at least two healthy members,
    ``service`` one that may be offloaded and whose pools are healthy in both modes; ``services`` are all that the balancer was
    given to publish, ``service`` among them.
    """

    provider: Provider
    first: Bundle
    second: Bundle
    servers: tuple[str, ...]
    service: Service = Service.OWA
    services: tuple[Service, ...] = tuple(SERVICES)
    said: list[str] = field(default_factory=list[str])
    """Everything the provider said, as JSON."""

    @property
    def switched(self) -> tuple[Service, ...]:
        """What a change of mode names here: the one service, or all that may be offloaded where no path is seen."""
        return (self.service,) if self.provider.capabilities.per_path_modes else self.offloadable

    @property
    def offloadable(self) -> tuple[Service, ...]:
        """All services but MRSProxy."""
        return tuple(service for service in self.services if SERVICES[service].offloadable)

    def open(self, leaf: Fingerprint) -> Bundle:
        """The subject is its own MaterialSource."""
        return next(bundle for bundle in (self.first, self.second) if bundle.fingerprint == leaf)

    def observe(self) -> BalancerFacts:
        """Facts, recorded."""
        facts = self.provider.observe(ALL_SERVICES)
        assert isinstance(facts, BalancerFacts)
        self.hear(facts)
        return facts

    def hear(self, *values: BaseModel) -> None:
        """Record what was said."""
        self.said += [value.model_dump_json() for value in values]

    def changes(self) -> tuple[Change, ...]:
        """A whole rollout and a rotation, as far as the device is able to."""
        able, server = self.provider.capabilities, self.servers[0]
        found: list[Change] = [
            Mark(marker=_MARKER, present=True),
            InstallCertificate(leaf=self.first.fingerprint),
            Publish(leaf=self.first.fingerprint, modes=dict.fromkeys(SERVICES, Mode.BRIDGE)),
        ]
        if Mode.OFFLOAD in able.modes:
            found.append(SwitchMode(services=self.switched, before=Mode.BRIDGE, after=Mode.OFFLOAD))
        if able.drain:
            found.append(Drain(server=server, timeout_s=_PATIENCE_S, on_timeout="stop"))
            found.append(Undrain(server=server, timeout_s=_PATIENCE_S, on_timeout="stop"))
        found += [
            InstallCertificate(leaf=self.second.fingerprint),
            SwitchCertificate(before=self.first.fingerprint, after=self.second.fingerprint),
            Mark(marker=_MARKER, present=False),
        ]
        return tuple(found)

    def steps(self, seen: BalancerFacts) -> list[Step]:
        """Every change lowered by the same facts, as a plan does."""
        steps = [step for change in self.changes() for step in self.provider.lower(change, seen)]
        self.hear(*steps)
        return steps

    def do(self, step: Step, *, times: int = 1) -> None:
        """Perform a step, then wait for its checks."""
        if step.do is not None:
            for _ in range(times):
                self.hear(self.provider.perform(step.do, self))
        self.wait(step.until)

    def undo(self, step: Step) -> None:
        """Take a step back, then wait for its checks."""
        if step.undo is not None:
            self.hear(self.provider.perform(step.undo, self))
            self.wait(step.undo_until)

    def wait(self, checks: Iterable[Check]) -> None:
        """Ask until every check is true."""
        for check in checks:
            deadline = time.monotonic() + min(check.deadline_s, _PATIENCE_S)
            result = self.provider.check(check)
            while not result.passed and time.monotonic() < deadline:
                time.sleep(_EVERY_S)
                result = self.provider.check(check)
            self.hear(check, result)
            assert result.passed, f"{check.summary}: {result.detail}"

    def read(self, step: Step) -> State:
        """What the step's action governs."""
        assert step.do is not None
        state = self.provider.read(step.do)
        self.said.append(repr(state))
        return state


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
            Drain(server=subject.servers[0], timeout_s=_PATIENCE_S, on_timeout="stop"), subject.observe()
        )
        for step in drain:
            subject.do(step)
        members = subject.observe().live.members
        assert {m.server for m in members if m.draining} == {subject.servers[0]}
        assert all(m.draining for m in members if m.server == subject.servers[0])
        for step in reversed(drain):
            subject.undo(step)
        assert not any(m.draining for m in subject.observe().live.members)

    def test_members_are_told_per_service_and_mode(self, subject: Subject) -> None:
        """Once published, every server shows in the pools of the service, up."""
        for step in subject.steps(subject.observe())[:3]:
            subject.do(step)
        modes = subject.provider.capabilities.modes

        def up(members: tuple[MemberLive, ...]) -> set[tuple[str, Mode]]:
            return {(m.server, m.mode) for m in members if m.service is subject.service and m.up}

        wanted = {(server, mode) for server in subject.servers for mode in modes}
        deadline = time.monotonic() + _PATIENCE_S
        while up(subject.observe().live.members) != wanted and time.monotonic() < deadline:
            time.sleep(_EVERY_S)
        assert up(subject.observe().live.members) == wanted

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
            for secret in _secrets(bundle):
                assert secret not in said


def settled(facts: BalancerFacts) -> dict[str, Any]:
    """Facts without what changes by itself."""
    return facts.model_dump(mode="json", exclude={"live", "problems"})


def _secrets(bundle: Bundle) -> list[str]:
    """Lines of the key's PEM, and its marker."""
    key = bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return ["PRIVATE KEY", *key.splitlines()[1:-1]]
