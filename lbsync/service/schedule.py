"""When each namespace is looked at next: spread over the period, later after failures, sooner where something is due.

Rule of this file: pure. Periods and waits are kept on a clock that never jumps (``now_s``, seconds of a monotonic clock); the
calendar (``wall``) only says whether the moment of something due has come, so that neither a clock put forward nor one put back
makes it look too often or never.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

STAGGER_S = 3.0
"""Between the first looks at namespaces that nothing is known of: a look costs about a second of a processor."""
RETRY_FIRST_S = 60.0
_MOST_DOUBLINGS = 16
_LEAST_JITTER = 0.8


@dataclass(frozen=True, slots=True)
class Turn:
    """One namespace's turn. ``place`` (0 to 1) is its place within a period that began at ``origin_s``.

    ``next_s`` is when it is looked at next; ``due`` the moment (aware) of something that is looked at once more when it comes.
    ``halted``: not before a person asks, or its configuration changes.
    """

    place: float
    origin_s: float
    next_s: float
    due: datetime | None = None
    failures: int = 0
    halted: bool = False


def first(index: int, count: int, now_s: float, every_s: float, age_s: float | None) -> Turn:
    """The first turn of number ``index`` of ``count``; ``age_s`` is how long ago it was looked at, ``None`` for never.

    What was looked at within the period keeps its place in it; all others come soon, one after the other.
    """
    place = index / count
    wait_s = min(every_s * place, STAGGER_S * index)
    if age_s is not None and 0 <= age_s < every_s:
        wait_s = min(every_s * place, every_s - age_s)
    return Turn(place=place, origin_s=now_s, next_s=now_s + wait_s)


def looked(turn: Turn, now_s: float, every_s: float, *, jitter_s: float, due: datetime | None, chance: float) -> Turn:
    """After a look that told something: at its place in the next period, ``chance`` (0 to 1) of the jitter later."""
    at_s = turn.origin_s + turn.place * every_s
    periods = max(0, int((now_s + every_s / 2 - at_s) // every_s) + 1)
    next_s = at_s + periods * every_s + chance * min(jitter_s, every_s / 10)
    return replace(turn, next_s=next_s, due=due, failures=0, halted=False)


def failed(turn: Turn, now_s: float, every_s: float, chance: float, *, halt: bool) -> Turn:
    """After a look that told nothing: soon again, each time twice as late, at most after a period; never after ``halt``."""
    failures = turn.failures + 1
    wait_s = min(every_s, RETRY_FIRST_S * 2 ** min(failures - 1, _MOST_DOUBLINGS))
    spread = _LEAST_JITTER + 2 * (1 - _LEAST_JITTER) * chance
    return replace(turn, next_s=now_s + wait_s * spread, due=None, failures=failures, halted=halt)


def is_due(turn: Turn, now_s: float, wall: datetime, began: datetime | None) -> bool:
    """Whether to look; ``began`` is when the last look did. What was due before that has been looked at."""
    if turn.halted:
        return False
    if now_s >= turn.next_s:
        return True
    return turn.due is not None and turn.due <= wall and (began is None or began < turn.due)


def shown(turn: Turn, now_s: float, wall: datetime) -> datetime | None:
    """When it is looked at next, by the calendar of now; ``None`` where it waits for a person."""
    if turn.halted:
        return None
    at = wall + timedelta(seconds=max(0.0, turn.next_s - now_s))
    return min(at, turn.due) if turn.due is not None and turn.due > wall else at
