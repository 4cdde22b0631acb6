"""Decide: from what is wanted and what was seen to an ordered graph of steps, refused when unsafe.

Rule of this room: pure. Targets are asked to ``lower`` changes, which is pure too; nothing is read, nothing is done.

The order stands in ``phases``; what differs, in ``difference``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from lbsync.advice import Advice, Finding
from lbsync.advise import advise, advise_distribution, advise_retirement, advise_rotation
from lbsync.advise.rotation import guarded
from lbsync.desired import Desired, FactSet
from lbsync.errors import UnsafeChange
from lbsync.model import Plan
from lbsync.phases import Phases
from lbsync.rotation.also import refuse_unable
from lbsync.rotation.ground import Ground
from lbsync.rotation.removing import Removal
from lbsync.rotation.retiring import Retiring
from lbsync.rotation.sides import Sides, halves
from lbsync.rotation.weaving import Rotation
from lbsync.services import MailService
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


def build_rotation(
    desired: Desired,
    facts: FactSet,
    targets: Mapping[str, Target],
    capabilities: Mapping[str, Capabilities],
    now: datetime,
    *,
    to_servers: bool = True,
    maintenance: bool = False,
    also: Sequence[MailService] = (),
) -> Plan:
    """Make the plan that takes ``desired.leaf`` to every published balancer and, ``to_servers``, onto IIS 443 of every member.

    Under Extended Protection servers always change, half by half; ``maintenance`` changes all at once instead. Modes and
    structure stay as they are, and balancers that are not published are left alone. ``also`` are services that servers give
    the certificate to besides IIS. Raises as ``build`` does.
    """
    at_work = facts.model_copy(update={"balancers": tuple(b for b in facts.balancers if b.published)})
    todo = [s for s in facts.servers if (s.front_end_leaf.info if s.front_end_leaf else None) != desired.leaf]
    protected = bool(guarded(facts.servers))
    sides = _sides(desired, at_work) if protected and not maintenance and todo else None
    advice = advise_rotation(
        desired, at_work, capabilities, now, two_sided=protected and not maintenance and bool(todo)
    )
    _refuse(advice)
    refuse_unable(facts.servers, also, desired.leaf)
    rotation = Rotation(desired, at_work, targets, capabilities, basis=basis(desired, facts), now=now, also=also)
    servers = [server for server in facts.servers if rotation.is_due(server)] if to_servers or protected else []
    if maintenance:
        rotation.at_once(servers)
    elif sides is not None:
        rotation.in_two_sides(sides)
    else:
        rotation.one_by_one(servers)
    return _plan(rotation, advice)


def build_retirement(
    desired: Desired, ground: Ground, chosen: Sequence[Retiring], targets: Mapping[str, Target]
) -> Plan:
    """Make the plan that removes the certificates ``chosen`` from servers and balancers, for good; no step has a way back.

    Modes and everything else stay as they are; without ``chosen`` there are no steps. Its basis covers what would be removed
    too: that follows from uses, from the ledger and from the calendar as well. Raises as ``build`` does.
    """
    digest = basis(desired, ground.facts)
    removal = Removal(ground, chosen, targets, basis=digest, now=ground.now)
    if removal.weave.steps:
        _refuse(advise_retirement(desired, ground.facts, ground.now))
    return Plan(
        farm=desired.farm,
        basis=_digest({"facts": digest, "removed": [step.id for step in removal.weave.steps]}),
        steps=removal.weave.steps,
        modes=desired.modes,
        leaf=ground.current.fingerprint,
        notes=tuple(removal.notes),
    )


def _sides(desired: Desired, facts: FactSet) -> Sides | None:
    """The halves; ``None`` where no published balancer serves another leaf, so that the servers just follow."""
    leaf = desired.leaf
    before = next((b.leaf for b in facts.balancers if leaf and b.leaf and b.leaf != leaf.fingerprint), None)
    return halves(facts.servers, before) if before else None


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
    _refuse(advice)
    return Phases(desired, facts, targets, capabilities, basis=basis(desired, basis_facts or facts), now=now)


def _refuse(advice: Advice) -> None:
    if advice.refusals:
        raise UnsafeChange(
            "The plan is refused.",
            reasons=tuple(_told(finding) for finding in advice.refusals),
            state="nothing was changed",
            remedy="do what each reason says, then plan again",
        )


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
