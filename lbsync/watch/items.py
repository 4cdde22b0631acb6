"""What one look at certificates found, line by line, each with how bad it is.

Rule of this room: pure; it says what is so and what a person may do. Whether and when to rotate stands in ``outlook``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from lbsync.desired import FactSet
from lbsync.drift.cause import causes
from lbsync.drift.difference import Difference, Kind
from lbsync.model import Value
from lbsync.rotation.candidates import Judged
from lbsync.verdict import Greeting, Light, judge_greeting
from lbsync.watch.memory import Failure, Memory
from lbsync_certs import CertificateInfo, Fingerprint
from lbsync_certs.renewal import remaining

_DAY_S = 86400


class Level(StrEnum):
    """How bad: nothing; look at it by day; look at it now; nobody knows."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


_ORDER = (Level.OK, Level.WARNING, Level.UNKNOWN, Level.CRITICAL)


class Item(Value):
    """One thing found. ``days``: whole days that a certificate is still good for, where it is about one (negative: ended)."""

    level: Level
    subject: str
    text: str
    remedy: str = ""
    days: int | None = None


class Thresholds(Value):
    """How many days before its end a certificate is worth a word, and a call."""

    warn_days: int
    critical_days: int


class Hindrance(Value):
    """Why no rotation may begin: a run that stands half-way, or somebody who is at work."""

    level: Level
    text: str
    remedy: str


class Sight(Value):
    """One look. ``current`` is the certificate that clients see, ``None`` where nothing is published or nobody could say.

    ``greetings`` are full handshakes with each published listener for each host; ``renewals`` what could follow ``current``;
    ``unreadable`` paths of dropped files and why; ``unseen`` what did not answer and why; ``hindrance`` why no run may begin;
    ``taken_back`` by fingerprint the run that a person, or its own failure, took back after it had gone to that certificate;
    ``drift`` is what differs from the baseline that ``since`` names.
    """

    facts: FactSet
    greetings: tuple[Greeting, ...] = ()
    current: CertificateInfo | None = None
    renewals: tuple[Judged, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    unseen: tuple[tuple[str, str], ...] = ()
    hindrance: Hindrance | None = None
    taken_back: dict[Fingerprint, str] = Field(default_factory=dict[Fingerprint, str])
    drift: tuple[Difference, ...] = ()
    since: str = ""

    @property
    def fit(self) -> tuple[CertificateInfo, ...]:
        """The certificates that nothing keeps from following ``current``."""
        return tuple(one.candidate.info for one in self.renewals if one.fits)


def worst(items: tuple[Item, ...]) -> Level:
    """The worst of them; unknown of none."""
    return max((item.level for item in items), key=_ORDER.index, default=Level.UNKNOWN)


def items(sight: Sight, memory: Memory, thresholds: Thresholds, now: datetime) -> tuple[Item, ...]:
    """Everything there is to say at ``now`` (aware), what clients meet first."""
    return (
        *_served(sight),
        *_ends(sight, thresholds, now),
        *(Item(level=Level.UNKNOWN, subject=where, text=why) for where, why in sight.unseen),
        *_hindered(sight),
        *_renewals(sight, thresholds, now),
        *(Item(level=Level.WARNING, subject=path, text=why) for path, why in sight.unreadable),
        *(_failure(failure) for failure in memory.failures.values()),
        *_drifted(sight),
    )


def _served(sight: Sight) -> Iterator[Item]:
    """Served against stored, from outside: the certificate that a balancer was given is the one that clients get."""
    stored = {seen.balancer: seen.leaf for seen in sight.facts.balancers if seen.published}
    for seen in sight.facts.balancers:
        if not seen.published:
            yield Item(
                level=Level.WARNING,
                subject=seen.balancer,
                text="nothing of ours is published",
                remedy="lbsync plan, then lbsync apply",
            )
    for greeting in sight.greetings:
        judged = judge_greeting(greeting, stored.get(greeting.balancer))
        good = judged.light is Light.GREEN
        yield Item(
            level=Level.OK if good else Level.CRITICAL,
            subject=f"{greeting.balancer} {greeting.host}",
            text=judged.reason,
            remedy="" if good else "lbsync verify tells more; lbsync rotate, or lbsync apply, brings it right",
        )
    if len(set(stored.values())) > 1:
        yield Item(
            level=Level.WARNING,
            subject=", ".join(stored),
            text="they serve different certificates",
            remedy="lbsync rotate --thumbprint with the one that all of them shall serve",
        )


def _ends(sight: Sight, thresholds: Thresholds, now: datetime) -> Iterator[Item]:
    """Each certificate in use once, with who uses it: seen by clients, or by balancers that bridge."""
    users: dict[str, tuple[CertificateInfo, list[str]]] = {}
    for greeting in sight.greetings:
        for one in greeting.served:
            _use(users, one.info, greeting.balancer)
    for server in sight.facts.servers:
        if server.front_end_leaf is not None:
            _use(users, server.front_end_leaf.info, server.server)
    for info, names in users.values():
        days = int(remaining(info, now).total_seconds() // _DAY_S)
        level = Level.OK
        if days <= thresholds.warn_days:
            level = Level.CRITICAL if days <= thresholds.critical_days else Level.WARNING
        left = f"ends in {days} days" if days >= 0 else "has ended"
        yield Item(
            level=level,
            subject=f"{info.thumbprint} at {', '.join(names)}",
            text=f"{left}, on {info.not_after:%Y-%m-%d} ({info.subject})",
            remedy="" if level is Level.OK else "renew it; lbsync rotate takes the new one to everybody",
            days=days,
        )


def _use(users: dict[str, tuple[CertificateInfo, list[str]]], info: CertificateInfo, name: str) -> None:
    _, names = users.setdefault(info.fingerprint, (info, []))
    if name not in names:
        names.append(name)


def _hindered(sight: Sight) -> Iterator[Item]:
    if sight.hindrance is not None:
        found = sight.hindrance
        yield Item(level=found.level, subject="a run", text=found.text, remedy=found.remedy)


def _renewals(sight: Sight, thresholds: Thresholds, now: datetime) -> Iterator[Item]:
    fit = sight.fit
    for one in sight.renewals:
        info = one.candidate.info
        where = f"{info.thumbprint} (until {info.not_after:%Y-%m-%d}), at {', '.join(one.candidate.places)}"
        if one.fits:
            remedy = (
                "lbsync rotate"
                if len(fit) == 1
                else f"several could follow: lbsync rotate --thumbprint {info.thumbprint}"
            )
            yield Item(level=Level.WARNING, subject="renewed", text=where, remedy=remedy)
        elif sight.current is not None and _due(sight.current, thresholds, now) and not fit:
            reasons = " ".join((*one.refused, *one.doubts))
            yield Item(level=Level.WARNING, subject="no renewal", text=f"{where}: {reasons}")


_ELSEWHERE = frozenset({Kind.STORE, Kind.INSTALLED, Kind.MEMBER})
"""What a watch tells otherwise (a renewed certificate), or a person did to the configuration."""
_LISTED = 3


def _drifted(sight: Sight) -> Iterator[Item]:
    found = [one for one in sight.drift if one.kind not in _ELSEWHERE]
    if not found:
        return
    likely = causes(sight.drift, sight.facts)
    listed = [f"{one.target}: {one.subject}: {one.text}, likely {likely[one].text}" for one in found[:_LISTED]]
    more = [f"and {len(found) - _LISTED} more"] if len(found) > _LISTED else []
    yield Item(
        level=Level.WARNING,
        subject="drift",
        text=f"since {sight.since}: {'; '.join((*listed, *more))}",
        remedy="lbsync drift tells all of it, and what to do",
    )


def _due(info: CertificateInfo, thresholds: Thresholds, now: datetime) -> bool:
    return remaining(info, now).total_seconds() <= thresholds.warn_days * _DAY_S


def _failure(failure: Failure) -> Item:
    times = "once" if failure.count == 1 else f"{failure.count} times"
    return Item(
        level=Level.WARNING,
        subject=f"failed {times}",
        text=f"rotation to {failure.leaf.thumbprint}, last on {failure.last:%Y-%m-%d %H:%M} UTC: {failure.reason}",
        remedy=f"the next try is not before {failure.next_try:%Y-%m-%d %H:%M} UTC"
        + (f"; lbsync show {failure.run} tells what happened" if failure.run else ""),
    )
