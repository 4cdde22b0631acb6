"""Decide: from what is wanted and what was seen to an ordered graph of steps, refused when unsafe.

Rule of this room: pure. Targets are asked to ``lower`` changes, which is pure too; nothing is read, nothing is done.

The order stands in ``phases``; what differs, in ``difference``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from lbsync.advice import Advice, Finding
from lbsync.advise import advise, advise_distribution
from lbsync.desired import Desired, FactSet
from lbsync.errors import UnsafeChange
from lbsync.model import Plan
from lbsync.phases import Phases
from lbsync.target import Capabilities, Target


def basis(desired: Desired, facts: FactSet) -> str:
    """Digest of what a plan is made from: the wish and the facts, without health, sessions, dates and remarks."""
    data = facts.model_dump(mode="json")
    for item in (*data["servers"], data["farm"], *data["balancers"]):
        for volatile in ("live", "problems", "notes", "blockers", "marker"):
            item.pop(volatile, None)
        for certificate in item.get("certificates", ()):
            certificate.pop("status", None)  # RevocationCheckFailure comes and goes with the network
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
    phases = _admitted(desired, facts, targets, capabilities, advice, now=now)
    phases.rollout()
    return _plan(phases, advice)


def build_distribution(desired: Desired, facts: FactSet, targets: Mapping[str, Target], now: datetime) -> Plan:
    """Make the plan that puts ``desired.leaf`` onto IIS 443 of every member, whatever serves clients meanwhile.

    Balancers that are not published yet are left alone. Raises as ``build`` does.
    """
    at_work = facts.model_copy(update={"balancers": tuple(b for b in facts.balancers if b.published)})
    advice = advise_distribution(desired, at_work, now)
    phases = _admitted(desired, at_work, targets, {}, advice, now=now, basis_facts=facts)
    phases.distribution()
    return _plan(phases, advice)


def _admitted(
    desired: Desired,
    facts: FactSet,
    targets: Mapping[str, Target],
    capabilities: Mapping[str, Capabilities],
    advice: Advice,
    *,
    now: datetime,
    basis_facts: FactSet | None = None,
) -> Phases:
    if advice.refusals:
        raise UnsafeChange(
            "The plan is refused.",
            reasons=tuple(_told(finding) for finding in advice.refusals),
            state="nothing was changed",
            remedy="do what each reason says, then plan again",
        )
    return Phases(desired, facts, targets, capabilities, basis=basis(desired, basis_facts or facts), now=now)


def _plan(phases: Phases, advice: Advice) -> Plan:
    warnings = [f for f in advice.farm if f.severity == "warn"]
    warnings += [f for verdict in advice.services for f in verdict.findings if f.severity == "warn"]
    steps = phases.weave.steps
    # What a device makes of being changed matters only where it is changed.
    told = [f"{seen.balancer}: {note}" for seen in phases.facts.balancers for note in seen.notes] if steps else []
    return Plan(
        farm=phases.desired.farm,
        basis=phases.basis,
        steps=steps,
        modes=phases.desired.modes,
        leaf=phases.leaf,
        warnings=tuple(dict.fromkeys(_told(finding) for finding in warnings)),
        notes=(*phases.notes, *told),
    )


def _told(finding: Finding) -> str:
    place = f"{', '.join(finding.where)}: " if finding.where else ""
    return f"{place}{finding.reason} {finding.remedy}".strip()
