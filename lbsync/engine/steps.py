"""One step, carried out or taken back: intent, effect, reading, checks, each in the ledger before the next.

Rule of this file: the only place where effects happen; no effect without its intent on the disk. It starts wherever the
ledger says that the step is, so that a step cut off anywhere is simply carried on.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

from lbsync.engine.patience import Cut, Patience
from lbsync.engine.port import Site
from lbsync.engine.record import Record
from lbsync.engine.threeway import WayBack, judge
from lbsync.errors import LbsyncError, LedgerError, RollbackIncomplete, TargetError
from lbsync.ledger import SecretRefused
from lbsync.model import Action, Receipt, State, Step
from lbsync.run import (
    Direction,
    Failed,
    Finished,
    Held,
    IllegalEvent,
    Intended,
    Move,
    Performed,
    RunPhase,
    StepPhase,
    Verified,
    same_state,
)

_FORWARD = frozenset({StepPhase.WAITING, StepPhase.RUNNING})
_RESTORED = frozenset({StepPhase.UNDO_CHECKING, StepPhase.UNDO_VERIFIED})
_REPORT = "report it to whoever makes the provider of this target"


class StepWorker:
    """Carries on the steps of one run. ``stopped`` is asked before an intent is written."""

    def __init__(self, site: Site, record: Record, patience: Patience, stopped: Callable[[], bool]) -> None:
        self._site = site
        self._record = record
        self._patience = patience
        self._stopped = stopped

    def carry_on(self, move: Move, release: Callable[[], None]) -> None:
        """Bring a step as far as it goes; ``release`` is called once its target is free for another effect.

        What goes wrong with the step is recorded and not raised. Raises LedgerError and IllegalEvent: nothing can be recorded.
        """
        try:
            if move.direction is Direction.DO:
                self._carry_out(move.step, release)
            else:
                self._take_back(move.step, release)
        except Cut:
            return
        except SecretRefused:
            self._fail(move, _secret(move))
        except (LedgerError, IllegalEvent):
            raise
        except LbsyncError as error:
            self._fail(move, _told(move, error))
        except Exception as error:  # noqa: BLE001 - a provider may be anybody's: its bug fails its step, not the way back
            self._fail(move, _bug(move, error))

    def _fail(self, move: Move, failed: Failed) -> None:
        try:
            self._record.emit(failed)
        except SecretRefused:
            self._record.emit(_secret(move))
        if move.direction is Direction.DO:
            self._patience.nudge.set()

    def _carry_out(self, step: Step, release: Callable[[], None]) -> None:
        if self._record.status(step.id).phase in _FORWARD and not self._effect(step):
            return
        release()
        if self._record.status(step.id).phase is StepPhase.CHECKING:
            self._verify(step, Direction.DO)
        self._record.emit(Finished(step=step.id, direction=Direction.DO))

    def _effect(self, step: Step) -> bool:
        action = step.do
        if action is None:
            return self._begin(step, Direction.DO, None)
        status = self._record.status(step.id)
        before = status.before if status.touched else self._read(step, action, Direction.DO)
        if not self._begin(step, Direction.DO, before):
            return False
        receipt = self._perform(step, action, Direction.DO)
        self._performed(step, action, Direction.DO, receipt)
        return True

    def _take_back(self, step: Step, release: Callable[[], None]) -> None:
        if self._record.status(step.id).phase not in _RESTORED and not self._restore(step):
            return
        release()
        if self._record.status(step.id).phase is StepPhase.UNDO_CHECKING:
            self._verify(step, Direction.UNDO)
        self._compare(step)
        self._record.emit(Finished(step=step.id, direction=Direction.UNDO))

    def _restore(self, step: Step) -> bool:
        if step.undo is None:
            return self._begin(step, Direction.UNDO, None)
        governed = step.do or step.undo
        now = self._read(step, governed, Direction.UNDO)
        status = self._record.status(step.id)
        match judge(status, now, forced=self._record.run.forced):
            case WayBack.HOLD:
                before, left = status.before or {}, status.left or {}
                self._record.emit(Held(step=step.id, before=before, left=left, now=now))
                return False
            case WayBack.SKIP:
                if not self._begin(step, Direction.UNDO, now):
                    return False
                receipt = Receipt(summary="it was as before already")
                self._record.emit(Performed(step=step.id, direction=Direction.UNDO, receipt=receipt, left=now))
            case WayBack.UNDO:
                if not self._begin(step, Direction.UNDO, now):
                    return False
                receipt = self._perform(step, step.undo, Direction.UNDO)
                self._performed(step, governed, Direction.UNDO, receipt)
        return True

    def _compare(self, step: Step) -> None:
        """The last word on an undo. Raises RollbackIncomplete when what the step governs is not what it was."""
        if step.do is None or step.undo is None:
            return
        before = self._record.status(step.id).before
        now = self._read(step, step.do, Direction.UNDO)
        if not same_state(now, before):
            raise RollbackIncomplete(
                "after its undo it is not as it was before",
                where=step.target,
                state=f"before: {before}; now: {now}",
                remedy="put it back by hand, then `lbsync rollback` once more",
            )

    def _begin(self, step: Step, direction: Direction, before: State | None) -> bool:
        phase = RunPhase.APPLYING if direction is Direction.DO else RunPhase.GOING_BACK
        if self._stopped():
            return False
        return self._record.begin(Intended(step=step.id, direction=direction, before=before), phase)

    def _read(self, step: Step, action: Action, direction: Direction) -> State:
        target = self._site.targets[action.target]
        return self._patience.reach(step.id, action.target, direction, lambda: target.read(action))

    def _perform(self, step: Step, action: Action, direction: Direction) -> Receipt:
        target, materials = self._site.targets[action.target], self._site.materials
        return self._patience.reach(step.id, action.target, direction, lambda: target.perform(action, materials))

    def _performed(self, step: Step, governed: Action, direction: Direction, receipt: Receipt) -> None:
        """Record the effect with what it left; where that cannot be read, the effect all the same, then the error."""
        try:
            left = self._read(step, governed, direction)
        except TargetError:
            self._record.emit(Performed(step=step.id, direction=direction, receipt=receipt))
            raise
        self._record.emit(Performed(step=step.id, direction=direction, receipt=receipt, left=left))

    def _verify(self, step: Step, direction: Direction) -> None:
        checks = step.until if direction is Direction.DO else step.undo_until
        results = self._patience.all_true(step.id, checks, direction)
        self._record.emit(Verified(step=step.id, direction=direction, results=results))


def _told(move: Move, error: LbsyncError) -> Failed:
    return Failed(
        step=move.step.id,
        direction=move.direction,
        error=type(error).__name__,
        reason=error.message,
        where=error.where or move.step.target,
        state=error.state,
        remedy=error.remedy,
        code=error.code,
    )


def _bug(move: Move, error: Exception) -> Failed:
    """The text of an unknown error may hold anything, a secret included: only its class and its place are kept."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return Failed(
        step=move.step.id,
        direction=move.direction,
        error=type(error).__name__,
        reason=f"unexpected {type(error).__name__} in {place.name} ({place.filename}:{place.lineno})",
        where=move.step.target,
        remedy=_REPORT,
        code="bug",
    )


def _secret(move: Move) -> Failed:
    return Failed(
        step=move.step.id,
        direction=move.direction,
        error=SecretRefused.__name__,
        reason="its answer held a secret and was not recorded",
        where=move.step.target,
        remedy=_REPORT,
        code="secret",
    )
