"""What may follow what: the two tables every event goes through, that of the run and that of each step.

Theory of operation. A run is APPLYING until a step fails (FAILING: what is under way ends, nothing new begins), then
GOING_BACK; a foreign change makes it HOLDING in the same way, then HELD. Everything applied, it may be AWAITING a person's
word. From every rest but UNDONE a run may be turned back, days later too. A step goes down the left column forward and,
once touched (its intent is written), down the right one on the way back::

    WAITING ─► RUNNING ─► CHECKING ─► VERIFIED ─► DONE        UNDOING ─► UNDO_CHECKING ─► UNDO_VERIFIED ─► UNDONE

An event the tables do not know is a bug of ours (``IllegalEvent``), never the product's.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from lbsync.errors import LbsyncError
from lbsync.run.events import Direction, Ending, Event, Failed, Finished, Intended, Performed, RunEnded, Verified


class IllegalEvent(LbsyncError):
    """An event that cannot follow what was recorded so far: a bug in lbsync."""


class RunPhase(StrEnum):
    """Where a whole run is."""

    APPLYING = "applying"
    FAILING = "failing"
    AWAITING = "awaiting"
    APPLIED = "applied"
    GOING_BACK = "going_back"
    HOLDING = "holding"
    HELD = "held"
    INCOMPLETE = "incomplete"
    UNDONE = "undone"

    @property
    def unfinished(self) -> bool:
        """True where a process should be at work; without one the run was killed or stopped and can be resumed."""
        return self not in _AT_REST


_AT_REST = frozenset({RunPhase.APPLIED, RunPhase.HELD, RunPhase.INCOMPLETE, RunPhase.UNDONE})


class StepPhase(StrEnum):
    """Where one step is. BALKED: it failed before it was begun, so there is nothing to take back."""

    WAITING = "waiting"
    BALKED = "balked"
    RUNNING = "running"
    CHECKING = "checking"
    VERIFIED = "verified"
    DONE = "done"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDO_CHECKING = "undo_checking"
    UNDO_VERIFIED = "undo_verified"
    UNDONE = "undone"


_DO_GOES_ON = ("performed.do", "verified.do", "finished.do")
_UNDO_GOES_ON = ("performed.undo", "verified.undo", "finished.undo", "failed.undo")
_PAUSES = ("interrupted", "resumed")


def _stay(phase: RunPhase, *keys: str) -> dict[str, RunPhase]:
    return dict.fromkeys((*keys, *_PAUSES), phase)


RUN_TABLE = MappingProxyType({
    RunPhase.APPLYING: _stay(RunPhase.APPLYING, "intended.do", *_DO_GOES_ON) | {
        "failed.do": RunPhase.FAILING,
        "awaiting": RunPhase.AWAITING,
        "ended.applied": RunPhase.APPLIED,
        "turned_back": RunPhase.GOING_BACK,
    },
    RunPhase.FAILING: _stay(RunPhase.FAILING, "failed.do", *_DO_GOES_ON) | {"turned_back": RunPhase.GOING_BACK},
    RunPhase.AWAITING: _stay(RunPhase.AWAITING) | {
        "confirmed": RunPhase.APPLIED,
        "turned_back": RunPhase.GOING_BACK,
    },
    RunPhase.APPLIED: {"turned_back": RunPhase.GOING_BACK},
    RunPhase.GOING_BACK: _stay(RunPhase.GOING_BACK, "intended.undo", *_UNDO_GOES_ON, "turned_back") | {
        "held": RunPhase.HOLDING,
        "ended.undone": RunPhase.UNDONE,
        "ended.incomplete": RunPhase.INCOMPLETE,
    },
    RunPhase.HOLDING: _stay(RunPhase.HOLDING, *_UNDO_GOES_ON, "held") | {
        "ended.held": RunPhase.HELD,
        "turned_back": RunPhase.GOING_BACK,
    },
    RunPhase.HELD: {"turned_back": RunPhase.GOING_BACK},
    RunPhase.INCOMPLETE: {"turned_back": RunPhase.GOING_BACK},
    RunPhase.UNDONE: {},
})  # fmt: skip
"""Phase of the run, then key of the event, to the next phase."""

_BACK = {"intended.undo": StepPhase.UNDOING}


def _touched(phase: StepPhase) -> dict[str, StepPhase]:
    return _BACK | {"failed.undo": phase, "held": phase}


STEP_TABLE = MappingProxyType({
    StepPhase.WAITING: {"intended.do": StepPhase.RUNNING, "failed.do": StepPhase.BALKED},
    StepPhase.BALKED: {},
    StepPhase.RUNNING: _touched(StepPhase.RUNNING) | {
        "intended.do": StepPhase.RUNNING,
        "performed.do": StepPhase.CHECKING,
        "failed.do": StepPhase.FAILED,
    },
    StepPhase.CHECKING: _touched(StepPhase.CHECKING) | {
        "verified.do": StepPhase.VERIFIED,
        "failed.do": StepPhase.FAILED,
    },
    StepPhase.VERIFIED: _touched(StepPhase.VERIFIED) | {"finished.do": StepPhase.DONE},
    StepPhase.DONE: _touched(StepPhase.DONE),
    StepPhase.FAILED: _touched(StepPhase.FAILED),
    StepPhase.UNDOING: _BACK | {"performed.undo": StepPhase.UNDO_CHECKING, "failed.undo": StepPhase.UNDOING},
    StepPhase.UNDO_CHECKING: {"verified.undo": StepPhase.UNDO_VERIFIED, "failed.undo": StepPhase.UNDO_CHECKING},
    StepPhase.UNDO_VERIFIED: {"finished.undo": StepPhase.UNDONE, "failed.undo": StepPhase.UNDO_VERIFIED},
    StepPhase.UNDONE: {},
})  # fmt: skip
"""Phase of a step, then key of the event, to the next phase."""

GATE_SHORTCUT = MappingProxyType(
    {StepPhase.RUNNING: StepPhase.CHECKING, StepPhase.UNDOING: StepPhase.UNDO_CHECKING},
)
"""A step without an effect in a direction goes from its intent straight to its checks."""


def key(event: Event) -> str:
    """The column of the tables an event belongs to."""
    match event:
        case Intended() | Performed() | Verified() | Finished() | Failed():
            return f"{event.kind}.{event.direction.value}"
        case RunEnded():
            return f"{event.kind}.{event.outcome.value}"
        case _:
            return event.kind


def advance(phase: RunPhase, event: Event) -> RunPhase:
    """The phase of the run after ``event``. Raises IllegalEvent."""
    after = RUN_TABLE[phase].get(key(event))
    if after is None:
        raise illegal(event, f"the run is {phase.value}")
    return after


def advance_step(phase: StepPhase, event: Event, *, effect: bool) -> StepPhase:
    """The phase of a step after ``event``; ``effect``: the step has an action in that direction. Raises IllegalEvent."""
    after = STEP_TABLE[phase].get(key(event))
    if after is None:
        raise illegal(event, f"the step is {phase.value}")
    return after if effect else GATE_SHORTCUT.get(after, after)


def illegal(event: Event, state: str) -> IllegalEvent:
    """The error for an event that does not fit."""
    return IllegalEvent(
        f"the event {key(event)} cannot happen here",
        state=state,
        remedy="this is a bug in lbsync: keep the ledger file and report it",
        code="illegal-event",
    )


__all__ = [
    "RUN_TABLE",
    "STEP_TABLE",
    "Direction",
    "Ending",
    "IllegalEvent",
    "RunPhase",
    "StepPhase",
    "advance",
    "advance_step",
    "illegal",
    "key",
]
