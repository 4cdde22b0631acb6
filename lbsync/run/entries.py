"""What a ledger gives back about runs: rows, summaries, and the head of its chain, as values.

Rule of this file: values only, so that whoever reads a ledger's answers need not know the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lbsync.run.events import Event
from lbsync.run.transitions import RunPhase


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: its place in the ledger, when it was written (UTC), the event, and the row's hash."""

    seq: int
    at: datetime
    event: Event
    hash: str


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run at a glance. ``interrupted``: stopped by its operator; ``last`` is the time of its last event (UTC).

    ``order`` is what the service began it for.
    """

    run_id: str
    farm: str
    actor: str
    host: str
    started: datetime
    last: datetime
    phase: RunPhase
    interrupted: bool
    order: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain: how many events, and the hash of the last one."""

    events: int
    hash: str
