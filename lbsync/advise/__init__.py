"""Judge: which mode each service may have, which it should, and why.

Rule of this room: pure functions over what is wanted and what was seen. Each rule stands once, as data, in ``catalogue``, and
carries its own reason, remedy and source. The room knows nothing of how facts are read or changes are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from lbsync.advice import Advice, Finding
from lbsync.advise.case import Case
from lbsync.advise.catalogue import (
    DISTRIBUTION_RULES,
    FARM_RULES,
    RETIREMENT_RULES,
    ROTATION_RULES,
    TWO_SIDED_RULES,
)
from lbsync.advise.rule import Rule
from lbsync.advise.verdicts import findings, verdicts
from lbsync.desired import Desired, FactSet
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import Capabilities


def advise(desired: Desired, facts: FactSet, capabilities: Mapping[str, Capabilities], now: datetime) -> Advice:
    """Judge the whole farm. ``capabilities`` is by balancer name, ``now`` an aware time certificates are judged at."""
    case = Case(desired, facts, capabilities, now)
    return Advice(farm=_told(FARM_RULES, case), services=verdicts(case))


def reasons(
    desired: Desired, facts: FactSet, capabilities: Mapping[str, Capabilities], now: datetime
) -> dict[tuple[Service, Mode], tuple[Finding, ...]]:
    """What speaks of each service in each mode, whichever is wanted; a mode is possible where nothing there refuses."""
    found = findings(Case(desired, facts, capabilities, now))
    return {(service, mode): told for service, by_mode in found.items() for mode, told in by_mode.items()}


def advise_distribution(desired: Desired, facts: FactSet, now: datetime) -> Advice:
    """Judge putting ``desired.leaf`` onto IIS 443 of every member; drift between members is what it mends."""
    return Advice(farm=_told(DISTRIBUTION_RULES, Case(desired, facts, {}, now)), services=())


def advise_rotation(
    desired: Desired, facts: FactSet, capabilities: Mapping[str, Capabilities], now: datetime, *, two_sided: bool
) -> Advice:
    """Judge taking ``desired.leaf`` everywhere; ``two_sided`` as Extended Protection needs it."""
    rules = TWO_SIDED_RULES if two_sided else ROTATION_RULES
    return Advice(farm=_told(rules, Case(desired, facts, capabilities, now)), services=())


def advise_retirement(desired: Desired, facts: FactSet, now: datetime) -> Advice:
    """Judge removing what nobody uses: whether anything may be changed here at all."""
    return Advice(farm=_told(RETIREMENT_RULES, Case(desired, facts, {}, now)), services=())


def _told(rules: Iterable[Rule], case: Case) -> tuple[Finding, ...]:
    return tuple(finding for rule in rules for finding in rule.findings(case))
