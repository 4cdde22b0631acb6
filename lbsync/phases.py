"""The phases of a change, in the order that loses no request.

Rule of this room: pure; it arranges what targets lower and decides nothing about what must change (see ``difference``).

A server stops requiring SSL only while nobody is sent to it, a service goes to plain HTTP only after every server accepts
it, and comes back to TLS before any server demands it. Each step is whole both ways, so the same graph walked backwards
keeps the same promise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from lbsync.changes import (
    Drain,
    EnableCertificate,
    ImportCertificate,
    InstallCertificate,
    Mark,
    Publish,
    RequireSsl,
    SetOutlookAnywhere,
    SwitchCertificate,
    SwitchMode,
    Undrain,
)
from lbsync.desired import Desired, FactSet
from lbsync.difference import flag_changes, outlook_anywhere_change
from lbsync.facts import BalancerFacts, ServerFacts
from lbsync.gates import answers_plain, ready, spare
from lbsync.model import Check, Mode, Step, StepId
from lbsync.parts import in_groups, modes_meanwhile
from lbsync.services import NO_SSL, SERVICES, Service
from lbsync.target import Capabilities, Target
from lbsync.verdict import Expected
from lbsync.weave import Weave
from lbsync_certs import Fingerprint

DIRECTORY = "directory"
OUTSIDE = "outside"


class Phases:
    """One plan being woven; each method adds a phase after the steps that ``front`` names.

    ``capabilities`` is by balancer name; a rollout asks for those of every balancer, a distribution for none. Raises
    AssertionError where no certificate is known: the rules refuse that before.
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
    ) -> None:
        if desired.leaf is None:
            raise AssertionError("a plan without a certificate")
        self.leaf = desired.leaf.fingerprint
        self.thumbprint = desired.leaf.thumbprint
        self.desired = desired
        self.facts = facts
        self.targets = targets
        self.capabilities = capabilities
        self.basis = basis
        # With the time of planning: two hosts that saw the same farm must not take each other's marker for their own.
        self.marker = f"plan {basis[:12]} of {now.isoformat()}"
        self.weave = Weave()
        self.front: tuple[StepId, ...] = ()
        self.notes: list[str] = []

    def rollout(self) -> None:
        """Everything from here to the wanted modes; leaves no step at all where nothing must change."""
        self._mark(present=True)
        marked = len(self.weave.steps)
        self._certificates_and_structure()
        self._modes(Mode.BRIDGE)
        if len(self.weave.steps) > marked:
            self._gate("bridged", "clients are served over TLS to the servers", self._serving_checks())
        self._outlook_anywhere()
        self._servers()
        self._modes(Mode.OFFLOAD)
        if len(self.weave.steps) == marked:
            self.weave = Weave()  # nothing to do: no marker either
            return
        self._gate("proven", "every service answers as wanted, seen from outside", self._final_checks())
        self._mark(present=False)

    def distribution(self) -> None:
        """The certificate into every member's store, then onto IIS 443 server by server while nobody is sent to it.

        Leaves no step where every member serves it already. Marks and drains the balancers of ``facts``, which must all be
        published. Source of the order: OWA and ECP cookies are tied to the server's certificate, and its pools recycle.
        """
        leaf = self.desired.leaf
        todo = [s for s in self.facts.servers if self._served(s) != self.leaf]
        if leaf is None or not todo:
            return
        self._mark(present=True)
        imports: list[StepId] = []
        for server in todo:
            if server.certificate(leaf.thumbprint) is None:
                change = ImportCertificate(leaf=leaf.fingerprint, thumbprint=leaf.thumbprint)
                imports += self.weave.add(self.targets[server.server].lower(change, server), after=self.front)
        self.front = tuple(imports) or self.front
        before = [was.info.thumbprint if (was := server.front_end_leaf) else None for server in todo]
        changes = [EnableCertificate(before=held, after=leaf.thumbprint) for held in before]
        self._rolling(list(zip(todo, changes, strict=True)))
        self._mark(present=False)

    @staticmethod
    def _served(server: ServerFacts) -> Fingerprint | None:
        leaf = server.front_end_leaf
        return leaf.info.fingerprint if leaf else None

    def _mark(self, *, present: bool) -> None:
        ends: list[StepId] = []
        for seen in self.facts.balancers:
            change = Mark(marker=self.marker, present=present)
            ends += self.weave.add(self.targets[seen.balancer].lower(change, seen), after=self.front)
        self.front = tuple(ends)

    def _certificates_and_structure(self) -> None:
        ends: list[StepId] = []
        for seen in self.facts.balancers:
            target, front = self.targets[seen.balancer], self.front
            if self.leaf not in seen.installed:
                front = self.weave.add(target.lower(InstallCertificate(leaf=self.leaf), seen), after=front)
            if not seen.published or seen.structure != seen.wanted_structure:
                serve = seen.leaf if seen.published and seen.leaf else self.leaf
                front = self.weave.add(
                    target.lower(Publish(leaf=serve, modes=self._start_modes(seen)), seen), after=front
                )
            if seen.published and seen.leaf and seen.leaf != self.leaf:
                front = self.weave.add(
                    target.lower(SwitchCertificate(before=seen.leaf, after=self.leaf), seen), after=front
                )
            ends += front
        self.front = tuple(dict.fromkeys(ends))

    def _start_modes(self, seen: BalancerFacts) -> dict[Service, Mode]:
        if not seen.published:
            return dict.fromkeys(SERVICES, Mode.BRIDGE)
        return {service: seen.modes.get(service, Mode.BRIDGE) for service in SERVICES}

    def _modes(self, mode: Mode) -> None:
        """Switch to ``mode`` what shall be in it and is not, where the pools it goes to are up."""
        ends: list[StepId] = []
        for seen in self.facts.balancers:
            now = self._start_modes(seen)
            then = self._modes_at_the_end(seen)
            moving = tuple(s for s in SERVICES if then[s] is mode and now[s] is not mode)
            if not moving:
                continue
            together = self.capabilities[seen.balancer].switches_together
            for services in [moving] if together else [(service,) for service in moving]:
                name = f"ready:{mode}" if together else f"ready:{services[0]}:{mode}"
                gate = self.weave.add((ready(seen.balancer, name, services, mode),), after=self.front)
                change = SwitchMode(services=services, before=now[services[0]], after=mode)
                ends += self.weave.add(self.targets[seen.balancer].lower(change, seen), after=gate)
        if ends:
            self.front = tuple(ends)

    def _outlook_anywhere(self) -> None:
        change: SetOutlookAnywhere | None = outlook_anywhere_change(self.desired, self.facts)
        if change is not None:
            steps = self.targets[DIRECTORY].lower(change, self.facts.farm)
            self.front = self.weave.add(steps, after=self.front)

    def _servers(self) -> None:
        """Require SSL where it must change: one group of servers is proven before the next begins."""
        groups = in_groups(self.desired, self.facts.servers)
        found = [[(server, flag_changes(self.desired, server)) for server in group] for group in groups]
        due = [[(server, RequireSsl(changes=some)) for server, some in group if some] for group in found]
        todo = [group for group in due if group]
        for number, group in enumerate(todo, start=1):
            self._rolling(group)
            last = number == len(todo)
            if not last or self.desired.only:
                self._prepared([server for server, change in group if any(c.after == NO_SSL for c in change.changes)])
            if not last:
                name = self.desired.groups.get(group[0][0].server, "")
                summary = f"every service answers with {f'group {name}' if name else 'these servers'} changed"
                self._gate(f"answered:{number}", summary, self._final_checks(self._modes_between))

    def _prepared(self, servers: Sequence[ServerFacts]) -> None:
        """Each of these servers by itself is seen to answer over plain HTTP; no client is sent there for that."""
        ends: list[StepId] = []
        for server in servers:
            services = [s for s in SERVICES if self.desired.modes[s] is Mode.OFFLOAD and server.vdir(s) is not None]
            for seen in self.facts.balancers:
                gate = answers_plain(seen.balancer, server.server, services)
                ends += self.weave.add((gate,), after=self.front)
        self.front = tuple(ends) or self.front

    def _rolling(self, todo: Sequence[tuple[ServerFacts, RequireSsl | EnableCertificate]]) -> None:
        """One change per server (one at least), server by server, at most ``max_unavailable`` drained at once."""
        at_once = self.desired.limits.max_unavailable
        alone = len(self.facts.servers) <= at_once
        if alone:
            note = (
                f"{len(self.facts.servers)} server(s) with max_unavailable = {at_once}: nobody would be left to serve, so none "
                "is drained; recycling answers 503 for some seconds."
            )
            self.notes += [note] if note not in self.notes else []
        finished: list[tuple[StepId, ...]] = []
        for number, (server, change) in enumerate(todo):
            front = finished[number - at_once] if number >= at_once else self.front
            if not alone:
                front = self._drain(server.server, front)
            target = self.targets[server.server]
            front = self.weave.add(target.lower(change, server), after=front)
            if not alone:
                front = self._undrain(server.server, front)
            finished.append(front)
        self.front = tuple(dict.fromkeys(step for front in finished[-at_once:] for step in front))

    def _drain(self, server: str, front: tuple[StepId, ...]) -> tuple[StepId, ...]:
        limits, ends = self.desired.limits, list[StepId]()
        for seen in self.facts.balancers:
            needed = max(1, len(self.facts.servers) - limits.max_unavailable)
            gate = self.weave.add((spare(seen.balancer, server, needed),), after=front)
            change = Drain(server=server, timeout_s=limits.drain_timeout_s, on_timeout=limits.on_drain_timeout)
            ends += self.weave.add(self.targets[seen.balancer].lower(change, seen), after=gate)
        return tuple(ends) or front

    def _undrain(self, server: str, front: tuple[StepId, ...]) -> tuple[StepId, ...]:
        limits, ends = self.desired.limits, list[StepId]()
        for seen in self.facts.balancers:
            change = Undrain(server=server, timeout_s=limits.drain_timeout_s, on_timeout=limits.on_drain_timeout)
            ends += self.weave.add(self.targets[seen.balancer].lower(change, seen), after=front)
        return tuple(ends) or front

    def _gate(self, name: str, summary: str, checks: tuple[Check, ...]) -> None:
        within = {"deadline_s": self.desired.limits.prove_within_s}
        until = tuple(check.model_copy(update=within) for check in checks)
        step = Step(id=StepId(f"{OUTSIDE}:{name}"), target=OUTSIDE, sign="?", summary=summary, until=until)
        self.front = self.weave.add((step,), after=self.front)

    def _serving_checks(self) -> tuple[Check, ...]:
        return tuple(
            Check(
                target=OUTSIDE,
                verb="serving",
                args={"balancer": seen.balancer, "leaf": self.leaf},
                summary=f"{seen.balancer} serves the certificate on every name",
            )
            for seen in self.facts.balancers
        )

    def _final_checks(
        self, modes: Callable[[BalancerFacts], Mapping[Service, Mode]] | None = None
    ) -> tuple[Check, ...]:
        """Everything seen from outside, each service in its mode of ``modes``; by default that of the end."""
        checks = list(self._serving_checks())
        for seen in self.facts.balancers:
            able = self.capabilities[seen.balancer]
            then = (modes or self._modes_at_the_end)(seen)
            for service, mode in then.items():
                if not any(server.vdir(service) for server in self.facts.servers):
                    continue
                verb, args = "service", {"balancer": seen.balancer, "service": service.value, "mode": mode.value}
                if service is Service.MRSPROXY:
                    if not self._asks_mrsproxy(able, then):
                        continue
                    verb = "mrsproxy"
                    args |= {"host": able.mrsproxy_host} if able.mrsproxy_host is not None else {}
                summary = f"{service} answers through {seen.balancer}"
                checks.append(Check(target=OUTSIDE, verb=verb, args={**args}, summary=summary))
            ends = [("redirect", "port 80 sends to https")]
            # Where no path is seen everything the servers have is passed on, PowerShell too: the advice says so.
            ends += [("absent", "PowerShell is not published")] if able.filters_paths else []
            for verb, summary in ends:
                checks.append(Check(target=OUTSIDE, verb=verb, args={"balancer": seen.balancer}, summary=summary))
        return tuple(checks)

    def _modes_at_the_end(self, seen: BalancerFacts) -> Mapping[Service, Mode]:
        """By service: the mode it has at a balancer once the plan is done."""
        return modes_meanwhile(self.desired, seen)

    def _modes_between(self, seen: BalancerFacts) -> Mapping[Service, Mode]:
        """The same while servers are changed: what shall be bridged is, and nothing is newly offloaded."""
        now, then = self._start_modes(seen), self._modes_at_the_end(seen)
        return {service: Mode.BRIDGE if then[service] is Mode.BRIDGE else now[service] for service in then}

    def _asks_mrsproxy(self, able: Capabilities, modes: Mapping[Service, Mode]) -> bool:
        enabled = self.facts.farm.mrsproxy_of(server.server for server in self.facts.servers)
        expected = Expected(leaf=self.leaf, modes=dict(modes), mrsproxy_enabled=enabled)
        return expected.asks_mrsproxy(per_path_modes=able.per_path_modes, mrsproxy_host=able.mrsproxy_host)
