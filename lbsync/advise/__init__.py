"""Judge: which mode each service may have, which it should, and why.

Rule of this room: pure functions over what is wanted and what was seen. Each rule stands once, in ``RULES``, and yields
findings that carry their own reason, remedy and source. It knows nothing of how facts are read or changes are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lbsync.advice import Advice, Finding, Verdict
from lbsync.advise import balancers, bridge, certificate, farm, offload, rotation
from lbsync.advise.case import Case
from lbsync.desired import Desired, FactSet
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import Capabilities

FARM_RULES = (*farm.RULES, *certificate.RULES, *balancers.RULES)
DISTRIBUTION_RULES = (
    farm.setup_at_work,
    farm.rights,
    farm.before_sp1,
    farm.pools_started,
    *certificate.RULES,
    balancers.blocked,
    balancers.another_run,
    balancers.same_leaf_under_protection,
)
ROTATION_RULES = (
    farm.setup_at_work,
    farm.rights,
    farm.before_sp1,
    farm.pools_started,
    *certificate.RULES,
    balancers.blocked,
    balancers.another_run,
    rotation.verified_names,
)
RETIREMENT_RULES = (farm.setup_at_work, farm.rights, balancers.blocked, balancers.another_run)
MODE_RULES = {Mode.OFFLOAD: offload.RULES, Mode.BRIDGE: bridge.RULES}


def advise(desired: Desired, facts: FactSet, capabilities: Mapping[str, Capabilities], now: datetime) -> Advice:
    """Judge the whole farm. ``capabilities`` is by balancer name, ``now`` an aware time certificates are judged at."""
    case = Case(desired=desired, facts=facts, capabilities=dict(capabilities), now=now)
    return Advice(
        farm=tuple(finding for rule in FARM_RULES for finding in rule(case)),
        services=tuple(_verdict(case, service) for service in SERVICES),
    )


def reasons(
    desired: Desired, facts: FactSet, capabilities: Mapping[str, Capabilities], now: datetime
) -> dict[tuple[Service, Mode], tuple[Finding, ...]]:
    """What speaks of each service in each mode, whichever is wanted; a mode is possible where nothing there refuses."""
    case = Case(desired=desired, facts=facts, capabilities=dict(capabilities), now=now)
    return {(service, mode): tuple(_findings(case, service, mode)) for service in SERVICES for mode in Mode}


def advise_distribution(desired: Desired, facts: FactSet, now: datetime) -> Advice:
    """Judge putting ``desired.leaf`` onto IIS 443 of every member; drift between members is what it mends."""
    case = Case(desired=desired, facts=facts, capabilities={}, now=now)
    return Advice(farm=tuple(finding for rule in DISTRIBUTION_RULES for finding in rule(case)), services=())


def advise_rotation(
    desired: Desired, facts: FactSet, capabilities: Mapping[str, Capabilities], now: datetime, *, two_sided: bool
) -> Advice:
    """Judge taking ``desired.leaf`` everywhere; ``two_sided`` as Extended Protection needs it."""
    case = Case(desired=desired, facts=facts, capabilities=dict(capabilities), now=now)
    rules = (*ROTATION_RULES, *rotation.TWO_SIDED_RULES) if two_sided else ROTATION_RULES
    return Advice(farm=tuple(finding for rule in rules for finding in rule(case)), services=())


def advise_retirement(desired: Desired, facts: FactSet, now: datetime) -> Advice:
    """Judge removing what nobody uses: whether anything may be changed here at all."""
    case = Case(desired=desired, facts=facts, capabilities={}, now=now)
    return Advice(farm=tuple(finding for rule in RETIREMENT_RULES for finding in rule(case)), services=())


def _verdict(case: Case, service: Service) -> Verdict:
    judged = {mode: tuple(_findings(case, service, mode)) for mode in Mode}
    possible = tuple(mode for mode in Mode if not any(finding.severity == "refuse" for finding in judged[mode]))
    wanted = case.desired.modes[service]
    # Microsoft supports offloading on 2013 SP1 only and gives prohibitions for later versions: bridging with the same
    # certificate is the mode nothing forbids, so offload is always an explicit choice and never a recommendation.
    return Verdict(service=service, wanted=wanted, possible=possible, recommended=Mode.BRIDGE, findings=judged[wanted])


def _findings(case: Case, service: Service, mode: Mode) -> list[Finding]:
    return [finding for rule in MODE_RULES[mode] for finding in rule(case, service)]
