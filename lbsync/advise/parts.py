"""Judge a plan for some servers: each has its own verdict, and the farm has one for what all of them share meanwhile.

Rule of this room: pure; no rule stands here, only whom the others are asked about. What such a plan prepares must be fine for
the servers it takes; what is in force when it has ended must be fine for every server.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lbsync.advice import Advice, Finding
from lbsync.advise import advise
from lbsync.desired import Desired, FactSet
from lbsync.model import Mode
from lbsync.parts import modes_of_all, narrowed
from lbsync.target import Capabilities

_A_SERVERS_OWN = frozenset({"not-administrator", "before-2013-sp1", "pool-stopped"})
"""Rules of the farm that say why one server cannot be changed: they do not hinder changing another one."""

_LEVELLED = frozenset({"drift", "drift-allowed"})
"""Some servers are changed before others: what they differ in meanwhile is no reason not to go on."""

_OF_EVERY_MEMBER = frozenset({"extended-protection"})
"""Nothing is offloaded while any member has it, and nothing is prepared for that either."""


def judged_in_part(
    desired: Desired, facts: FactSet, capabilities: Mapping[str, Capabilities], now: datetime
) -> tuple[Advice, tuple[Finding, ...]]:
    """What speaks of a plan for ``desired.only``, and the refusals that wait for the rest of the farm.

    The advice refuses what such a plan must not do; its verdicts are those of the servers taken.
    """
    own = advise(desired, narrowed(desired, facts), capabilities, now)
    meanwhile = desired.model_copy(update={"modes": modes_of_all(desired, facts)})
    farm = advise(meanwhile, facts, capabilities, now)
    others = frozenset(s.server for s in facts.servers) - frozenset(desired.only)

    def waits(finding: Finding) -> bool:
        return bool(finding.where) and frozenset(finding.where) <= others

    shared = [f for f in farm.farm if f.rule not in _LEVELLED and not (f.rule in _A_SERVERS_OWN and waits(f))]
    for verdict in farm.services:
        offloaded = meanwhile.modes[verdict.service] is Mode.OFFLOAD
        shared += [f for f in verdict.findings if not (offloaded and waits(f))]
    whole = advise(desired, facts, capabilities, now)
    shared += [f for f in whole.refusals if f.rule in _OF_EVERY_MEMBER]
    told = [*(f for f in own.farm if f.severity == "refuse"), *shared]
    advice = own.model_copy(update={"farm": tuple(dict.fromkeys(told))})
    return advice, tuple(f for f in whole.refusals if f not in advice.refusals)
