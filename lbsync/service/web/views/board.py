"""The overview: every namespace once, grouped, the worst first.

Rule of this file: pure. A card is made of one state alone, so that one that did not change need not be made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lbsync.service.values import CertificateState, Lamp, Level, ListenerState, NamespaceState, Proposal
from lbsync.service.web.views.words import JOBS, LAMPS, LEVELS, Sign, days_css, days_words

_SHOWN = 3
"""Listeners that are not ours, told in a card at once; the others are folded."""


@dataclass(frozen=True, slots=True)
class Light:
    """How many listeners have one light."""

    sign: Sign
    count: int


@dataclass(frozen=True, slots=True)
class Card:
    """One namespace at a glance. ``lamps`` has a class for each listener, in their order."""

    name: str
    farm: str
    sign: Sign
    lamps: tuple[str, ...]
    lights: tuple[Light, ...]
    told: tuple[ListenerState, ...]
    folded: int
    days: str
    days_css: str
    next_text: str
    next_at: datetime | None
    drift: int | None
    waiting: int
    job: str
    job_began: datetime | None
    failures: int
    error: str
    gone: bool
    looked_at: datetime | None
    search: str


@dataclass(frozen=True, slots=True)
class Group:
    """The namespaces of one level."""

    id: str
    sign: Sign
    states: tuple[NamespaceState, ...]


@dataclass(frozen=True, slots=True)
class Use:
    """A certificate and the namespaces that use it."""

    certificate: CertificateState
    spaces: tuple[str, ...]
    users: tuple[str, ...]
    days: str
    css: str


def groups(states: Iterable[NamespaceState]) -> tuple[Group, ...]:
    """By level, the worst first; levels of nobody are left out, and each keeps the order of names."""
    by_level: dict[Level, list[NamespaceState]] = {level: [] for level in LEVELS}
    for state in states:
        by_level[state.level].append(state)
    return tuple(Group(level.value, LEVELS[level], tuple(found)) for level, found in by_level.items() if found)


def card(state: NamespaceState) -> Card:
    """One namespace."""
    days = fewest_days(state)
    other = [listener for listener in state.listeners if listener.light is not Lamp.GREEN]
    other.sort(key=lambda listener: tuple(LAMPS).index(listener.light))
    job = state.job if state.job is not None and state.job.ended is None else None
    beside = next((run.at_work_since for run in state.runs if run.at_work_since is not None), None)
    return Card(
        name=state.name,
        farm=state.farm,
        sign=LEVELS[state.level],
        lamps=tuple(LAMPS[listener.light].css for listener in state.listeners),
        lights=lights(state.listeners),
        told=tuple(other[:_SHOWN]),
        folded=len(state.listeners),
        days=days_words(days),
        days_css=days_css(days),
        next_text=state.next_text,
        next_at=state.next_at,
        drift=state.drift.count if state.drift is not None else None,
        waiting=len(state.proposals),
        job=JOBS[job.kind] if job is not None else "A run" if beside is not None else "",
        job_began=job.began if job is not None else beside,
        failures=state.failures,
        error=state.error,
        gone=state.gone,
        looked_at=state.looked_at,
        search=" ".join((state.name, state.farm, *(listener.host for listener in state.listeners))).lower(),
    )


def lights(listeners: Sequence[ListenerState]) -> tuple[Light, ...]:
    """How many of each light, the worst first."""
    counts = Counter(listener.light for listener in listeners)
    return tuple(Light(sign, counts[lamp]) for lamp, sign in LAMPS.items() if counts[lamp])


def fewest_days(state: NamespaceState) -> int | None:
    """Days left of what ends first, at listeners and servers; None where nobody knows."""
    seen = [*(one.days for one in state.listeners), *(one.days for one in state.servers)]
    seen += [one.days for one in state.certificates]
    return min((days for days in seen if days is not None), default=None)


def waiting(states: Iterable[NamespaceState]) -> tuple[Proposal, ...]:
    """Every proposal that waits, the one that expires first in front."""
    return tuple(sorted((p for state in states for p in state.proposals), key=lambda p: (p.expires_at, p.id)))


def certificates(states: Iterable[NamespaceState]) -> tuple[Use, ...]:
    """Each certificate once with everybody who has it, the one that ends first in front."""
    found: dict[str, tuple[CertificateState, dict[str, None], dict[str, None]]] = {}
    for state in states:
        for one in state.certificates:
            _, spaces, users = found.setdefault(one.thumbprint, (one, {}, {}))
            spaces[state.name] = None
            users.update(dict.fromkeys(one.users))
    uses = [
        Use(one, tuple(spaces), tuple(users), days_words(one.days), days_css(one.days))
        for one, spaces, users in found.values()
    ]
    return tuple(sorted(uses, key=lambda use: (use.certificate.not_after, use.certificate.thumbprint)))
