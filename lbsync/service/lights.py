"""The worst of several, and how many of each: what an overview shows in one place.

Rule of this file: pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lbsync.service.values import Lamp, Level, NamespaceState

_LEVELS = (Level.OK, Level.WARNING, Level.UNKNOWN, Level.CRITICAL)
_LAMPS = (Lamp.GREEN, Lamp.UNKNOWN, Lamp.YELLOW, Lamp.RED)


def worst_level(levels: Iterable[Level]) -> Level:
    """The worst of them; unknown of none."""
    return max(levels, key=_LEVELS.index, default=Level.UNKNOWN)


def worst_lamp(lamps: Iterable[Lamp]) -> Lamp:
    """The worst of them; unknown of none."""
    return max(lamps, key=_LAMPS.index, default=Lamp.UNKNOWN)


def lamp_of(state: NamespaceState) -> Lamp:
    """A namespace's light: the worst of its listeners; unknown where the last look told nothing."""
    return Lamp.UNKNOWN if state.error else worst_lamp(one.light for one in state.listeners)


def days_of(state: NamespaceState) -> int | None:
    """The fewest days that anything served is still good for; ``None`` where nothing is known."""
    return min((one.days for one in state.certificates), default=None)


def tally(states: Iterable[NamespaceState]) -> Counter[Lamp]:
    """How many listeners have which light."""
    return Counter(one.light for state in states for one in state.listeners)
