"""What the provider contract is tried on: a provider on an empty device, and everything it said.

Rule of this room: it does and asks; what must come of it stands in ``contract``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import BaseModel

from lbsync.changes import Change, Drain, InstallCertificate, Mark, Publish, SwitchCertificate, SwitchMode, Undrain
from lbsync.facts import BalancerFacts
from lbsync.model import Check, Mode, State, Step
from lbsync.services import ALL_SERVICES, SERVICES, Service
from lbsync.target import Provider
from lbsync_certs import Bundle, Fingerprint

PATIENCE_S = 30.0
EVERY_S = 0.2
MARKER = "contract"


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
            Mark(marker=MARKER, present=True),
            InstallCertificate(leaf=self.first.fingerprint),
            Publish(leaf=self.first.fingerprint, modes=dict.fromkeys(SERVICES, Mode.BRIDGE)),
        ]
        if Mode.OFFLOAD in able.modes:
            found.append(SwitchMode(services=self.switched, before=Mode.BRIDGE, after=Mode.OFFLOAD))
        if able.drain:
            found.append(Drain(server=server, timeout_s=PATIENCE_S, on_timeout="stop"))
            found.append(Undrain(server=server, timeout_s=PATIENCE_S, on_timeout="stop"))
        found += [
            InstallCertificate(leaf=self.second.fingerprint),
            SwitchCertificate(before=self.first.fingerprint, after=self.second.fingerprint),
            Mark(marker=MARKER, present=False),
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
            deadline = time.monotonic() + min(check.deadline_s, PATIENCE_S)
            result = self.provider.check(check)
            while not result.passed and time.monotonic() < deadline:
                time.sleep(EVERY_S)
                result = self.provider.check(check)
            self.hear(check, result)
            assert result.passed, f"{check.summary}: {result.detail}"

    def read(self, step: Step) -> State:
        """What the step's action governs."""
        assert step.do is not None
        state = self.provider.read(step.do)
        self.said.append(repr(state))
        return state


def settled(facts: BalancerFacts) -> dict[str, Any]:
    """Facts without what changes by itself."""
    return facts.model_dump(mode="json", exclude={"live", "problems"})


def secrets_of(bundle: Bundle) -> list[str]:
    """Lines of the key's PEM, and its marker."""
    key = bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return ["PRIVATE KEY", *key.splitlines()[1:-1]]
