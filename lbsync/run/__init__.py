"""Runs: the events of one, the tables they obey, and the fold that makes a run of them.

Rule of this room: pure. The ledger stores what is said here, the engine brings it about; neither is known here.
"""

from __future__ import annotations

from lbsync.run.entries import Entry, Head, RunSummary
from lbsync.run.events import (
    VIA_SERVICE,
    Awaiting,
    Confirmed,
    Direction,
    Ending,
    Event,
    Failed,
    Finished,
    Held,
    Intended,
    Interrupted,
    Performed,
    Resumed,
    RunEnded,
    RunStarted,
    TurnedBack,
    Verified,
    load_event,
)
from lbsync.run.fold import Move, Progress, Run, Shown, StepStatus, passive, same_state
from lbsync.run.lasting import lasting, removed_for_good
from lbsync.run.transitions import IllegalEvent, RunPhase, StepPhase, advance
from lbsync.run.words import PHASES

__all__ = [
    "PHASES",
    "VIA_SERVICE",
    "Awaiting",
    "Confirmed",
    "Direction",
    "Ending",
    "Entry",
    "Event",
    "Failed",
    "Finished",
    "Head",
    "Held",
    "IllegalEvent",
    "Intended",
    "Interrupted",
    "Move",
    "Performed",
    "Progress",
    "Resumed",
    "Run",
    "RunEnded",
    "RunPhase",
    "RunStarted",
    "RunSummary",
    "Shown",
    "StepPhase",
    "StepStatus",
    "TurnedBack",
    "Verified",
    "advance",
    "lasting",
    "load_event",
    "passive",
    "removed_for_good",
    "same_state",
]
