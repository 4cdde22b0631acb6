"""Which run that stands half-way the service carries on by itself.

Rule of this file: pure. What it began itself, and nobody stopped, it carries on; what a person began, that
person carries on: each look tells of it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from lbsync.run import VIA_SERVICE
from lbsync.service.values import RunState

RETRY_FIRST_S = 60.0
RETRY_MOST_S = 3600.0


def half_way(runs: Iterable[RunState]) -> RunState | None:
    """The newest run that a process should be working on; ``None`` when all came to rest."""
    return next((run for run in runs if run.phase.unfinished), None)


def begun_for(runs: Iterable[RunState], order: str) -> str | None:
    """The run that was begun for this order, by its id. A run of the command line is nobody's, whenever it began."""
    return next((run.run_id for run in runs if run.order == order), None)


def ours(run: RunState) -> bool:
    """Whether the service began it."""
    return VIA_SERVICE in run.actor


def to_resume(runs: Iterable[RunState], stopped: Container[str], *, at_work: bool) -> str | None:
    """The run to carry on, where nobody is at work. ``stopped``: what somebody stopped through the service, by its id."""
    run = half_way(runs)
    if run is None or at_work or not ours(run) or run.run_id in stopped:
        return None
    return run.run_id


def wait_s(failures: int) -> float:
    """Seconds until it is tried again after so many failures in a row."""
    return 0.0 if failures == 0 else min(RETRY_MOST_S, RETRY_FIRST_S * 2 ** min(failures - 1, 16))
