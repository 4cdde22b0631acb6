"""May a step be taken back? Before, what we left, and now, compared.

Rule of this file: pure. What somebody else changed is never overwritten unless the operator says so.
"""

from __future__ import annotations

from enum import StrEnum

from lbsync.model import State
from lbsync.run import StepPhase, StepStatus, same_state


class WayBack(StrEnum):
    """What to do with a touched step: perform its undo, note that it is as before already, or stop."""

    UNDO = "undo"
    SKIP = "skip"
    HOLD = "hold"


def judge(status: StepStatus, now: State, *, forced: bool) -> WayBack:
    """Compare ``now`` with what the ledger knows.

    Where what we left is unknown (the process died or the effect failed half-way) or the undo was begun before, the step
    may be anywhere in between and its undo, absolute and harmless, is performed in any case.
    """
    if status.left is None or status.phase is StepPhase.UNDOING or same_state(now, status.left):
        return WayBack.UNDO
    if same_state(now, status.before):
        return WayBack.SKIP
    return WayBack.UNDO if forced else WayBack.HOLD
