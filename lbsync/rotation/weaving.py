"""The order of a rotation: which step follows which, so that nobody notices.

Rule of this room: pure; it arranges what targets lower. Without Extended Protection the balancers change first, all at once,
then the servers one by one while nobody is sent to them. With it, no connection may ever meet a server that holds another
leaf than the one it was opened with: half of the servers change, then each balancer changes leaf and side in one moment, then
the other half changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from lbsync.changes import (
    Drain,
    EnableCertificate,
    ImportCertificate,
    InstallCertificate,
    SwitchCertificate,
    SwitchSides,
)
from lbsync.desired import Desired, FactSet
from lbsync.facts import BalancerFacts, ServerFacts
from lbsync.model import Check, Mode, Step, StepId
from lbsync.phases import Phases
from lbsync.rotation.also import also_enable, lacking
from lbsync.rotation.sides import Sides
from lbsync.rotation.telling import AT_ONCE, moments
from lbsync.services import MailService, Service
from lbsync.target import Capabilities, Target
from lbsync_certs import Fingerprint


class Rotation(Phases):
    """A rotation being woven; see ``Phases``. The balancers of ``facts`` are all published.

    ``also`` are the services besides IIS that servers give the certificate to.
    """

    def __init__(
        self,
        desired: Desired,
        facts: FactSet,
        targets: Mapping[str, Target],
        capabilities: Mapping[str, Capabilities],
        *,
        basis: str,
        now: datetime,
        also: Sequence[MailService] = (),
    ) -> None:
        super().__init__(desired, facts, targets, capabilities, basis=basis, now=now)
        self.also = also

    def is_due(self, server: ServerFacts) -> bool:
        """Whether IIS, or one of the other services, has another certificate there."""
        return self._served(server) != self.leaf or bool(lacking(server, self.also, self.thumbprint))

    def one_by_one(self, servers: Sequence[ServerFacts]) -> None:
        """Balancers at once, proof from outside, then ``servers``. Leaves no step at all where nothing must change."""
        switching = self._switching
        if not (switching or servers):
            return
        self._mark(present=True)
        self._install()
        self._switch(switching)
        self._prove("rotated")
        if servers:
            self._import(servers)
            self._rolling([(server, self._enabling(server)) for server in servers])
            self._prove("proven")
        self._mark(present=False)

    def in_two_sides(self, sides: Sides) -> None:
        """Half by half, as Extended Protection needs it."""
        self.notes += moments(sides, self.facts.balancers, self.desired.limits)
        self._mark(present=True)
        self._install()
        self._import([server for server in (*sides.fresh, *sides.old) if self._served(server) != self.leaf])
        self._old_half_is_up(sides)
        for server in sides.fresh:
            self.front = self._drain_on_all(server.server)
        self._enable([server for server in sides.fresh if self.is_due(server)])
        self._switch_sides(sides)
        self._prove("rotated")
        self._enable(sides.old)
        for server in sides.old:
            self.front = self._undrain(server.server, self.front)
        self._prove("proven")
        self._mark(present=False)

    def at_once(self, servers: Sequence[ServerFacts]) -> None:
        """In a maintenance window: every balancer, then every server, and nobody is drained; some requests fail meanwhile."""
        switching = self._switching
        if not (switching or servers):
            return
        self.notes.append(AT_ONCE)
        self._mark(present=True)
        self._install()
        self._import(servers)
        self._switch(switching)
        self._enable(servers)
        self._prove("proven")
        self._mark(present=False)

    @property
    def _switching(self) -> tuple[tuple[BalancerFacts, Fingerprint], ...]:
        """The balancers that serve another leaf, and which."""
        balancers = self.facts.balancers
        return tuple((seen, seen.leaf) for seen in balancers if seen.leaf is not None and seen.leaf != self.leaf)

    def _install(self) -> None:
        """Onto every balancer at once; nothing serves it yet."""
        ends: list[StepId] = []
        for seen in self.facts.balancers:
            if self.leaf not in seen.installed:
                steps = self.targets[seen.balancer].lower(InstallCertificate(leaf=self.leaf), seen)
                ends += self.weave.add(steps, after=self.front)
        self.front = tuple(ends) or self.front

    def _switch(self, balancers: Sequence[tuple[BalancerFacts, Fingerprint]]) -> None:
        ends: list[StepId] = []
        for seen, before in balancers:
            change = SwitchCertificate(before=before, after=self.leaf)
            ends += self.weave.add(self.targets[seen.balancer].lower(change, seen), after=self.front)
        self.front = tuple(ends) or self.front

    def _switch_sides(self, sides: Sides) -> None:
        ends: list[StepId] = []
        limits = self.desired.limits
        for seen in self.facts.balancers:
            change = SwitchSides(
                before=sides.leaf,
                after=self.leaf,
                old=tuple(server.server for server in sides.old),
                fresh=tuple(server.server for server in sides.fresh),
                timeout_s=limits.drain_timeout_s,
                on_timeout=limits.on_drain_timeout,
            )
            ends += self.weave.add(self.targets[seen.balancer].lower(change, seen), after=self.front)
        self.front = tuple(ends)

    def _old_half_is_up(self, sides: Sides) -> None:
        """It serves alone from now on: where one of it is down or drained by somebody, nothing is drained at all."""
        ends: list[StepId] = []
        names = [server.server for server in sides.old]
        for seen in self.facts.balancers:
            gate = Step(
                id=StepId(f"{seen.balancer}:half-up"),
                target=seen.balancer,
                sign="?",
                summary=f"wait until {', '.join(names)}, who serve alone next, are up and take requests",
                until=tuple(_up(seen.balancer, name) for name in names),
            )
            ends += self.weave.add((gate,), after=self.front)
        self.front = tuple(ends)

    def _drain_on_all(self, server: str) -> tuple[StepId, ...]:
        """As ``_drain`` does, without asking for enough others: the other half must be enough, or nobody could rotate."""
        limits, ends = self.desired.limits, list[StepId]()
        for seen in self.facts.balancers:
            change = Drain(server=server, timeout_s=limits.drain_timeout_s, on_timeout=limits.on_drain_timeout)
            ends += self.weave.add(self.targets[seen.balancer].lower(change, seen), after=self.front)
        return tuple(ends)

    def _import(self, servers: Sequence[ServerFacts]) -> None:
        """Into the store of each that has it not, with its key."""
        change, ends = ImportCertificate(leaf=self.leaf, thumbprint=self.thumbprint), list[StepId]()
        for server in servers:
            if self._holds(server):
                continue
            ends += self.weave.add(self.targets[server.server].lower(change, server), after=self.front)
        self.front = tuple(ends) or self.front

    def _holds(self, server: ServerFacts) -> bool:
        stored = server.certificate(self.thumbprint)
        return stored is not None and stored.has_private_key

    def _enable(self, servers: Sequence[ServerFacts]) -> None:
        """All at once: nobody is sent to any of them."""
        ends: list[StepId] = []
        for server in servers:
            steps = self.targets[server.server].lower(self._enabling(server), server)
            ends += self.weave.add(steps, after=self.front)
        self.front = tuple(ends) or self.front

    def _enabling(self, server: ServerFacts) -> EnableCertificate:
        held = server.front_end_leaf
        return EnableCertificate(
            before=held.info.thumbprint if held else None,
            after=self.thumbprint,
            also=also_enable(server, self.also, self.thumbprint),
        )

    def _modes_at_the_end(self, seen: BalancerFacts) -> Mapping[Service, Mode]:
        """Those it has: a rotation changes none."""
        return self._start_modes(seen)

    def _prove(self, name: str) -> None:
        """Every listener serves it on every name, and every service answers."""
        summary = "every listener serves the new certificate and every service answers, seen from outside"
        self._gate(name, summary, self._final_checks())


def _up(balancer: str, server: str) -> Check:
    summary = f"{server} is up and takes requests"
    return Check(target=balancer, verb="member-up", args={"server": server, "services": None}, summary=summary)
