"""The local driver: threads that carry on whatever the run says is ready, until the run comes to rest.

Rule of this file: it schedules and decides nothing about a step. One effect at a time per target, many targets at once; a
step that only waits for its checks does not keep its target busy. Only the main thread moves the run itself on.
"""

from __future__ import annotations

import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta

from lbsync.engine.patience import Patience
from lbsync.engine.port import Clock, Journal, Observer, Pacing, Site, SystemClock, WaitingForConfirmation
from lbsync.engine.record import Record
from lbsync.engine.steps import StepWorker
from lbsync.errors import Denied
from lbsync.ledger import PhaseChanged
from lbsync.model import StepId
from lbsync.run import (
    Awaiting,
    Direction,
    Ending,
    IllegalEvent,
    Interrupted,
    Move,
    Run,
    RunEnded,
    RunPhase,
    StepPhase,
    TurnedBack,
)

_EFFECT_AHEAD = frozenset({
    StepPhase.WAITING, StepPhase.RUNNING, StepPhase.CHECKING, StepPhase.VERIFIED, StepPhase.DONE, StepPhase.FAILED,
    StepPhase.UNDOING,
})  # fmt: skip


def drive(
    run: Run,
    site: Site,
    journal: Journal,
    *,
    workers: int = 4,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
    clock: Clock | None = None,
    pacing: Pacing | None = None,
) -> Run:
    """Carry a run on from where it is until it rests, is interrupted by ``stop``, or nothing can be recorded any more.

    Forward while it is applying, back when a step fails, when it was turned back or when nobody confirms it in time. What goes
    wrong with targets is in the run that is returned. Raises LedgerError (nothing was done that is not in the ledger) and
    whatever ends a thread.
    """
    return _Driver(
        run,
        site,
        journal,
        workers=workers,
        observer=observer,
        stop=stop or threading.Event(),
        clock=clock or SystemClock(),
        pacing=pacing or Pacing(),
    ).drive()


class _Driver:
    def __init__(
        self,
        run: Run,
        site: Site,
        journal: Journal,
        *,
        workers: int,
        observer: Observer | None,
        stop: threading.Event,
        clock: Clock,
        pacing: Pacing,
    ) -> None:
        self._record = Record(run, journal, observer)
        self._journal = journal
        self._workers = workers
        self._stop = stop
        self._clock = clock
        self._pacing = pacing
        self._patience = Patience(site, self._record, clock, pacing, stop)
        self._worker = StepWorker(site, self._record, self._patience, stop.is_set)
        self._changed = threading.Condition()
        self._under_way: set[StepId] = set()
        self._busy: dict[str, StepId] = {}
        self._fatal: BaseException | None = None

    def drive(self) -> Run:
        with ThreadPoolExecutor(self._workers, thread_name_prefix="lbsync-step") as pool:
            while True:
                self._carry_on(pool)
                if self._fatal is not None:
                    raise self._fatal
                if self._rests():
                    return self._record.run

    def _carry_on(self, pool: Executor) -> None:
        """Start what is ready and wait, until nothing is under way and nothing may be started."""
        with self._changed:
            while True:
                self._start_ready(pool)
                if not self._under_way:
                    return
                self._changed.wait()

    def _start_ready(self, pool: Executor) -> None:
        run = self._record.run
        if self._fatal is not None or self._stop.is_set() or _login_refused(run, Direction.UNDO):
            return
        # After a refused login the way back feels its way: an account locks out after a few more refusals.
        width = 1 if _login_refused(run, Direction.DO) else self._workers
        for move in run.ready():
            if len(self._under_way) >= width:
                return
            target = _occupies(run, move)
            if move.step.id in self._under_way or target in self._busy:
                continue
            self._under_way.add(move.step.id)
            if target is not None:
                self._busy[target] = move.step.id
            pool.submit(self._work, move, target)

    def _work(self, move: Move, target: str | None) -> None:
        try:
            self._worker.carry_on(move, lambda: self._release(target, move.step.id))
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread, once the others have ended
            with self._changed:
                self._fatal = self._fatal or error
            self._patience.dead = True
            self._patience.nudge.set()
        finally:
            # In one moment: between the two the main thread would find nothing under way, yet the target taken, and give up.
            with self._changed:
                self._under_way.discard(move.step.id)
                self._release(target, move.step.id)

    def _release(self, target: str | None, step_id: StepId) -> None:
        with self._changed:
            # Released twice, at the end of the effect and of the step: by then it may be another step's.
            if target is not None and self._busy.get(target) == step_id:
                del self._busy[target]
            self._changed.notify_all()

    def _rests(self) -> bool:
        """Move the run itself on, nothing being under way; true when it has come to rest."""
        run = self._record.run
        match run.phase:
            case RunPhase.APPLYING | RunPhase.FAILING:
                return self._forward_rests(run)
            case RunPhase.AWAITING:
                return self._confirmed(run)
            case RunPhase.GOING_BACK:
                self._record.emit(self._end_of_way_back(run))
            case RunPhase.HOLDING:
                self._record.emit(RunEnded(outcome=Ending.HELD))
            case _:
                pass
        return True

    def _forward_rests(self, run: Run) -> bool:
        if run.complete:
            return self._applied(run)
        if self._stop.is_set():
            self._record.emit(Interrupted())
            return True
        if not run.failures:
            raise IllegalEvent("nothing is ready, yet the run is not complete", where=run.run_id, code="stalled")
        first = run.failures[0]
        self._record.emit(TurnedBack(reason=f"{run.step(first.step).summary}: {first.reason}"))
        return False

    def _applied(self, run: Run) -> bool:
        if run.started.confirm_within_s is None:
            self._record.emit(RunEnded(outcome=Ending.APPLIED))
            return True
        self._record.emit(Awaiting(deadline=self._clock.now() + timedelta(seconds=run.started.confirm_within_s)))
        return False

    def _confirmed(self, run: Run) -> bool:
        """Wait for the confirmation another process writes; false when the run was turned back instead."""
        deadline = run.deadline or self._clock.now()
        reason = ""
        while self._journal.phase(run.run_id) is RunPhase.AWAITING:
            left_s = (deadline - self._clock.now()).total_seconds()
            if self._stop.is_set():
                # The stop is used up: it asked for the way back, which a second one may interrupt.
                self._stop.clear()
                reason = "stopped while it waited for a confirmation"
            elif left_s <= 0:
                reason = "nobody confirmed it in time"
            if reason:
                return self._turned_back_unconfirmed(reason)
            self._record.tell(WaitingForConfirmation(run, left_s))
            self._clock.wait(self._stop, min(self._pacing.confirm_poll_s, left_s))
        self._record.reload()
        return self._record.run.phase is RunPhase.APPLIED

    def _turned_back_unconfirmed(self, reason: str) -> bool:
        try:
            self._record.emit(TurnedBack(reason=reason), expect=RunPhase.AWAITING)
        except PhaseChanged:
            # The confirmation came in the very last moment.
            self._record.reload()
            return self._record.run.phase is RunPhase.APPLIED
        return False

    def _end_of_way_back(self, run: Run) -> RunEnded | Interrupted:
        if run.gone:
            return RunEnded(outcome=Ending.UNDONE)
        if run.ready() and not _login_refused(run, Direction.UNDO):
            return Interrupted()
        return RunEnded(outcome=Ending.INCOMPLETE)


def _login_refused(run: Run, direction: Direction) -> bool:
    """True when a target rejected the credentials, forward or in this attempt at the way back."""
    found = run.failures if direction is Direction.DO else run.stuck
    return any(failed.error == Denied.__name__ for failed in found)


def _occupies(run: Run, move: Move) -> str | None:
    """The target on which the move will have an effect; ``None`` when only checks are left."""
    action = move.step.do if move.direction is Direction.DO else move.step.undo
    phase = run.statuses[move.step.id].phase
    if action is None or phase not in _EFFECT_AHEAD:
        return None
    if move.direction is Direction.DO and phase in {StepPhase.CHECKING, StepPhase.VERIFIED}:
        return None
    return action.target
