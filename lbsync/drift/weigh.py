"""What a difference means for the wanted modes.

Rule of this file: pure; the adviser judges, with the same wish, what held then and what holds now. Only what it says anew is laid
to a difference's charge, and only where it speaks of that server or balancer and of a service concerned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from lbsync.advice import Advice, Finding
from lbsync.advise import advise
from lbsync.desired import Desired, FactSet
from lbsync.drift.difference import Difference, Kind
from lbsync.facts import BalancerFacts
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import Capabilities

_OF_THE_FARM = frozenset({Kind.LEAF, Kind.BINDING, Kind.SERVED, Kind.PUBLISHED, Kind.STRUCTURE, Kind.OAUTH})
"""What findings of the whole farm may be about."""
_ELSEWHERE = frozenset({"drift", "version-drift"})
"""Members that differ: told with the offer, since it is the whole farm's."""


def weigh(
    differences: Collection[Difference],
    desired: Desired,
    before: FactSet,
    now: FactSet,
    capabilities: Mapping[str, Capabilities],
    *,
    at: datetime,
) -> dict[Difference, str]:
    """Why each matters for the modes that ``desired`` wants; empty where it does not. ``at`` is an aware time."""
    then, today = (advise(desired, facts, capabilities, at) for facts in (before, now))
    return {one: _why(one, desired, now, then, today) for one in differences}


def _why(one: Difference, desired: Desired, now: FactSet, then: Advice, today: Advice) -> str:
    direct = _direct(one, desired, now)
    if direct:
        return direct
    told = next((finding for finding in _anew(one, then, today) if finding.severity != "info"), None)
    return told.reason if told is not None else ""


def _direct(one: Difference, desired: Desired, now: FactSet) -> str:
    """What needs no rule: the state itself is not the wanted one."""
    if one.kind is Kind.REQUIRE_SSL:
        offloaded = [service for service in one.services if desired.modes[service] is Mode.OFFLOAD]
        required = "on" in one.text.split()
        if offloaded and required:
            return f"{_names(offloaded)} shall be offloaded: the plain HTTP of the balancer is answered with 403"
        if one.services and not offloaded and not required:
            return f"{_names(one.services)} shall be bridged: plain HTTP is answered as well"
    if one.kind is Kind.MODE:
        (service,) = one.services
        if one.now != desired.modes[service]:
            return f"{service.value} shall be in mode {desired.modes[service].value}"
    if one.kind in {Kind.STRUCTURE, Kind.PUBLISHED}:
        balancer = next((found for found in now.balancers if found.balancer == one.target), None)
        if balancer is not None and not _as_wanted(balancer):
            return "it is not what this configuration calls for"
    return ""


def _as_wanted(balancer: BalancerFacts) -> bool:
    return balancer.published and balancer.structure == balancer.wanted_structure


def _anew(one: Difference, then: Advice, today: Advice) -> Iterator[Finding]:
    known = frozenset((*then.farm, *(finding for verdict in then.services for finding in verdict.findings)))
    # Extended Protection at one directory refuses offloading of every service.
    concerned = tuple(Service) if one.kind is Kind.PROTECTION else one.services
    about = [finding for verdict in today.services if verdict.service in concerned for finding in verdict.findings]
    about += [f for f in today.farm if one.kind in _OF_THE_FARM and f.rule not in _ELSEWHERE]
    for finding in about:
        if finding not in known and (not finding.where or one.target in finding.where):
            yield finding


def _names(services: Collection[str]) -> str:
    return ", ".join(services)
