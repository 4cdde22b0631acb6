"""Compare: a baseline and today's look, difference by difference.

Rule of this file: pure; who could not be read on either side is named with the reason, never passed over and never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.drift.balancers import compare_balancer
from lbsync.drift.baseline import DIRECTORY, Baseline, Sighted
from lbsync.drift.certificates import compare_certificates
from lbsync.drift.difference import Difference, Kind
from lbsync.drift.directories import compare_vdirs
from lbsync.drift.directory import compare_directory
from lbsync.facts import BalancerFacts, ServerFacts
from lbsync.model import Value
from lbsync.services import Service


class Compared(Value):
    """``unknown`` of these there is no baseline, ``unseen`` these do not answer now: names with reasons."""

    differences: tuple[Difference, ...]
    unknown: dict[str, str]
    unseen: dict[str, str]


def compare(baseline: Baseline, today: Sighted) -> Compared:
    """Servers, the directory, balancers, in the order of the configuration; then who left it."""
    now = today.facts
    unknown = {name: why for name, why in baseline.missing.items() if name not in today.silent}
    found: list[Difference] = []
    servers = {one.server.lower(): one for one in baseline.facts.servers}
    for server in now.servers:
        was = servers.pop(server.server.lower(), None)
        if was is not None:
            found += _server(was, server)
        elif server.server not in baseline.missing:
            found.append(_joined(server.server, "server"))
    if baseline.facts.farm.read and now.farm.read:
        found += compare_directory(baseline.facts.farm, now.farm)
    elif now.farm.read:
        unknown.setdefault(DIRECTORY, "it was not read then")
    balancers = {one.balancer: one for one in baseline.facts.balancers}
    for balancer in now.balancers:
        before = balancers.pop(balancer.balancer, None)
        if before is not None:
            found += compare_balancer(before, balancer)
        elif balancer.balancer not in baseline.missing:
            found.append(_joined(balancer.balancer, "balancer"))
    found += _left((*servers.values(), *balancers.values()), today)
    unseen = {name: why for name, why in today.silent.items() if name != DIRECTORY or baseline.facts.farm.read}
    return Compared(differences=tuple(found), unknown=unknown, unseen=unseen)


def _server(before: ServerFacts, now: ServerFacts) -> Iterator[Difference]:
    was, found = _versions(before, now)
    if was != found:
        yield Difference(
            target=now.server, kind=Kind.VERSION, subject="Exchange", text="another version", before=was, now=found
        )
    yield from compare_vdirs(before, now)
    if before.suppress_extended_protection != now.suppress_extended_protection:
        yield Difference(
            target=now.server, kind=Kind.PROTECTION, subject="registry", text="SuppressExtendedProtection changed",
            before=str(before.suppress_extended_protection), now=str(now.suppress_extended_protection), services=tuple(Service),
        )  # fmt: skip
    yield from compare_certificates(before, now)


def _versions(before: ServerFacts, now: ServerFacts) -> tuple[str, str]:
    """The cumulative update where it changed, else the security update."""
    if before.version != now.version:
        return before.version, now.version
    return before.build, now.build


def _joined(name: str, what: str) -> Difference:
    return Difference(target=name, kind=Kind.MEMBER, subject=what, text="is new in the configuration", now=name)


def _left(rest: tuple[ServerFacts | BalancerFacts, ...], today: Sighted) -> Iterator[Difference]:
    silent = {name.lower() for name in today.silent}
    for one in rest:
        name, what = (one.server, "server") if isinstance(one, ServerFacts) else (one.balancer, "balancer")
        if name.lower() not in silent:
            yield Difference(target=name, kind=Kind.MEMBER, subject=what, text="left the configuration", before=name)
