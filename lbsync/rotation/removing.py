"""The steps that retire certificates, and what a person is told before agreeing to them.

Rule of this room: pure; it arranges what targets lower. No step here has a way back, so those that may be refused come first:
one server alone, to see that it works, then the others at once, and the balancers last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from lbsync.changes import Mark, RemoveCertificate, UninstallCertificate
from lbsync.desired import FactSet
from lbsync.facts import ServerFacts
from lbsync.model import StepId
from lbsync.rotation.ground import Found, Ground
from lbsync.rotation.in_use import released
from lbsync.rotation.retiring import Retiring
from lbsync.target import Target
from lbsync.weave import Weave

NO_WAY_BACK = (
    "There is no way back: what is removed is gone from these servers and balancers, no rollback brings it back, and runs that "
    "would serve it again can no longer be rolled back."
)


class Removal:
    """A removal being woven. ``weave`` has its steps, ``notes`` what is told; both are empty where nothing is chosen."""

    def __init__(
        self, ground: Ground, chosen: Sequence[Retiring], targets: Mapping[str, Target], *, basis: str, now: datetime
    ) -> None:
        self.weave = Weave()
        self.notes: list[str] = []
        self._ground = ground
        self._facts: FactSet = ground.facts
        self._chosen = [one.found for one in chosen]
        self._targets = targets
        # As every run's: two hosts that saw the same farm must not take each other's marker for their own.
        self._marker = f"plan {basis[:12]} of {now.isoformat()}"
        if self._chosen:
            self._weave()

    def _weave(self) -> None:
        self.notes = [NO_WAY_BACK, *(_key_of(one) for one in self._chosen)]
        front = self._mark((), present=True)
        holding = [
            server for server in self._facts.servers if any(server.server in one.servers for one in self._chosen)
        ]
        for servers in (holding[:1], holding[1:]):
            ends = [step for server in servers for step in self._remove(server, front)]
            front = tuple(ends) or front
        self._mark(self._uninstall(front), present=False)

    def _remove(self, server: ServerFacts, front: tuple[StepId, ...]) -> tuple[StepId, ...]:
        """One after the other on one server."""
        for one in self._chosen:
            if one.thumbprint is not None and server.server in one.servers:
                change = RemoveCertificate(
                    leaf=one.fingerprint,
                    thumbprint=one.thumbprint,
                    released=released(one, self._ground, server.server),
                )
                front = self.weave.add(self._targets[server.server].lower(change, server), after=front)
        return front

    def _uninstall(self, front: tuple[StepId, ...]) -> tuple[StepId, ...]:
        ends: list[StepId] = []
        for seen in self._facts.balancers:
            held = [one for one in self._chosen if seen.balancer in one.balancers]
            last = front
            for one in held:
                change = UninstallCertificate(leaf=one.fingerprint)
                last = self.weave.add(self._targets[seen.balancer].lower(change, seen), after=last)
            ends += last if held else ()
        return tuple(ends) or front

    def _mark(self, front: tuple[StepId, ...], *, present: bool) -> tuple[StepId, ...]:
        """On every balancer that is published or loses something: another host's lbsync keeps away meanwhile."""
        ends: list[StepId] = []
        for seen in self._facts.balancers:
            if seen.published or any(seen.balancer in one.balancers for one in self._chosen):
                change = Mark(marker=self._marker, present=present)
                ends += self.weave.add(self._targets[seen.balancer].lower(change, seen), after=front)
        return tuple(ends) or front


def _key_of(one: Found) -> str:
    if one.files:
        return f"{one.name}: its private key stays in {', '.join(one.files)}."
    return (
        f"{one.name}: its private key is gone for good then, as far as lbsync knows: no file of [certificate] renewals has it. "
        "Keep a PFX of it elsewhere if it may be needed."
    )
