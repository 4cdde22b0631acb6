"""Decide: from what is wanted and what was seen to an ordered graph of steps, refused when unsafe.

Rule of this room: pure. Targets are asked to ``lower`` changes, which is pure too; nothing is read, nothing is done.

The order loses no request: a server stops requiring SSL only while nobody is sent to it, a service goes to plain HTTP only
after every server accepts it, and comes back to TLS before any server demands it. Each step is whole both ways, so the
same graph walked backwards keeps the same promise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from lbsync.advise import advise
from lbsync.changes import (
    Drain,
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
from lbsync.errors import UnsafeChange
from lbsync.facts import BalancerFacts
from lbsync.model import Check, Mode, Plan, Step, StepId
from lbsync.services import SERVICES, Service
from lbsync.target import Capabilities, Target
from lbsync.weave import Weave

DIRECTORY = "directory"
OUTSIDE = "outside"


def basis(desired: Desired, facts: FactSet) -> str:
    """Digest of what a plan is made from: the wish and the facts, without health, sessions, dates and remarks."""
    data = facts.model_dump(mode="json")
    for item in (*data["servers"], data["farm"], *data["balancers"]):
        for volatile in ("live", "problems", "blockers", "marker"):
            item.pop(volatile, None)
    return _digest({"desired": desired.model_dump(mode="json"), "facts": data})


def identity(plan: Plan) -> str:
    """Digest of a whole plan: what was approved is applied, or nothing is."""
    return _digest(plan.model_dump(mode="json"))


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def build(
    desired: Desired,
    facts: FactSet,
    targets: Mapping[str, Target],
    capabilities: Mapping[str, Capabilities],
    now: datetime,
) -> Plan:
    """Make the plan; one without steps means that everything is as wanted.

    ``targets`` holds every server, balancer and ``directory`` by name; only their pure ``lower`` is called. Raises
    UnsafeChange with every reason when a rule refuses, UnsupportedMode when a target cannot do what is asked.
    """
    advice = advise(desired, facts, capabilities, now)
    if advice.refusals:
        raise UnsafeChange(
            "The plan is refused.",
            reasons=tuple(_told(f.where, f.reason, f.remedy) for f in advice.refusals),
            state="nothing was changed",
            remedy="do what each reason says, then plan again",
        )
    mark = basis(desired, facts)
    builder = _Builder(desired, facts, targets, f"plan {mark[:12]}")
    builder.weave_all()
    warnings = [f for f in advice.farm if f.severity == "warn"]
    warnings += [f for verdict in advice.services for f in verdict.findings if f.severity == "warn"]
    told = dict.fromkeys(_told(f.where, f.reason, f.remedy) for f in warnings)
    return Plan(
        farm=desired.farm,
        basis=mark,
        steps=builder.weave.steps,
        modes=desired.modes,
        leaf=desired.leaf.fingerprint if desired.leaf else None,
        warnings=tuple(told),
        notes=tuple(builder.notes),
    )


def _told(where: tuple[str, ...], reason: str, remedy: str) -> str:
    place = f"{', '.join(where)}: " if where else ""
    return f"{place}{reason} {remedy}".strip()


class _Builder:
    """Weaves one plan; each method adds one phase after the steps that ``self.front`` names."""

    def __init__(self, desired: Desired, facts: FactSet, targets: Mapping[str, Target], marker: str) -> None:
        if desired.leaf is None:  # refused by the rule certificate-unknown before this point
            raise AssertionError("a plan without a certificate")
        self.leaf = desired.leaf.fingerprint
        self.desired = desired
        self.facts = facts
        self.targets = targets
        self.marker = marker
        self.weave = Weave()
        self.front: tuple[StepId, ...] = ()
        self.notes: list[str] = []

    def weave_all(self) -> None:
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
        """Switch to ``mode`` what shall be in it and is not, where the pool it goes to is up."""
        ends: list[StepId] = []
        for seen in self.facts.balancers:
            now = self._start_modes(seen)
            for service in SERVICES:
                if self.desired.modes[service] is not mode or now[service] is mode:
                    continue
                ready = Step(
                    id=StepId(f"{seen.balancer}:ready:{service}:{mode}"),
                    target=seen.balancer,
                    sign="?",
                    summary=f"wait until the {mode} pool of {service} is up",
                    until=(
                        Check(
                            target=seen.balancer,
                            verb="pool-up",
                            args={"service": service.value, "mode": mode.value},
                            summary=f"{mode} pool of {service} is up",
                        ),
                    ),
                )
                gate = self.weave.add((ready,), after=self.front)
                change = SwitchMode(service=service, before=now[service], after=mode)
                ends += self.weave.add(self.targets[seen.balancer].lower(change, seen), after=gate)
        if ends:
            self.front = tuple(ends)

    def _outlook_anywhere(self) -> None:
        change: SetOutlookAnywhere | None = outlook_anywhere_change(self.desired, self.facts)
        if change is not None:
            steps = self.targets[DIRECTORY].lower(change, self.facts.farm)
            self.front = self.weave.add(steps, after=self.front)

    def _servers(self) -> None:
        """Server by server, at most ``max_unavailable`` drained at once."""
        at_once = self.desired.limits.max_unavailable
        todo = [(server, changes) for server in self.facts.servers if (changes := flag_changes(self.desired, server))]
        alone = len(self.facts.servers) <= at_once
        if alone and todo:
            self.notes.append(
                f"{len(self.facts.servers)} server(s) with max_unavailable = {at_once}: nobody would be left to serve, so none "
                "is drained; recycling answers 503 for some seconds."
            )
        finished: list[tuple[StepId, ...]] = []
        for number, (server, changes) in enumerate(todo):
            front = finished[number - at_once] if number >= at_once else self.front
            if not alone:
                front = self._drain(server.server, front)
            target = self.targets[server.server]
            front = self.weave.add(target.lower(RequireSsl(changes=changes), server), after=front)
            if not alone:
                front = self._undrain(server.server, front)
            finished.append(front)
        if finished:
            self.front = tuple(dict.fromkeys(step for front in finished[-at_once:] for step in front))

    def _drain(self, server: str, front: tuple[StepId, ...]) -> tuple[StepId, ...]:
        limits, ends = self.desired.limits, list[StepId]()
        for seen in self.facts.balancers:
            spare = Step(
                id=StepId(f"{seen.balancer}:spare:{server}"),
                target=seen.balancer,
                sign="?",
                summary=f"wait until enough others are up to spare {server}",
                until=(
                    Check(
                        target=seen.balancer,
                        verb="spare",
                        args={"server": server, "min": max(1, len(self.facts.servers) - limits.max_unavailable)},
                        summary=f"enough others are up to spare {server}",
                    ),
                ),
            )
            gate = self.weave.add((spare,), after=front)
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
        step = Step(id=StepId(f"{OUTSIDE}:{name}"), target=OUTSIDE, sign="?", summary=summary, until=checks)
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

    def _final_checks(self) -> tuple[Check, ...]:
        checks = list(self._serving_checks())
        for seen in self.facts.balancers:
            for service, mode in self.desired.modes.items():
                if not any(server.vdir(service) for server in self.facts.servers):
                    continue
                verb = "mrsproxy" if service is Service.MRSPROXY else "service"
                args = {"balancer": seen.balancer, "service": service.value, "mode": mode.value}
                summary = f"{service} answers through {seen.balancer}"
                checks.append(Check(target=OUTSIDE, verb=verb, args={**args}, summary=summary))
            for verb, summary in (("redirect", "port 80 sends to https"), ("absent", "PowerShell is not published")):
                checks.append(Check(target=OUTSIDE, verb=verb, args={"balancer": seen.balancer}, summary=summary))
        return tuple(checks)
