"""Waiting: for a target that does not answer, and for a check to come true.

Rule of this file: every wait is bounded, goes by the given clock, and can be cut short. (stamina, used elsewhere, sleeps for
real and cannot be interrupted by a stop.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lbsync.engine.port import Asked, Clock, Pacing, Retrying, Site
from lbsync.engine.record import Record
from lbsync.errors import Denied, TargetError, Unreachable, VerifyFailed
from lbsync.model import Check, CheckResult, StepId
from lbsync.run import Direction, RunPhase

T = TypeVar("T")


_PLACES_AT_ONCE = 32


class Cut(Exception):
    """The wait was given up."""


def place_of(check: Check) -> str:
    """What a check is about: its target, or the balancer that is asked from outside."""
    return str(check.args.get("balancer", check.target))


class Patience:
    """Waits on behalf of the steps of one run."""

    def __init__(self, site: Site, record: Record, clock: Clock, pacing: Pacing, stop: threading.Event) -> None:
        self._site = site
        self._record = record
        self._clock = clock
        self._pacing = pacing
        self._stop = stop
        self._stopped_at: float | None = None
        self.nudge = threading.Event()
        """Set when waiting further forward is of no use: something failed."""
        self._never = threading.Event()
        self.dead = False
        """True when the process can no longer record anything: every wait is given up."""

    def reach(self, step_id: StepId, target: str, direction: Direction, ask: Callable[[], T]) -> T:
        """What ``ask`` returns, asked again while the target is unreachable. Raises TargetError."""
        attempts = self._pacing.attempts if direction is Direction.DO else self._pacing.undo_attempts
        for attempt in range(1, attempts + 1):
            try:
                return ask()
            except Unreachable as error:
                if attempt == attempts or self.dead:
                    raise
                pause = self._pacing.retry_s * 2 ** (attempt - 1)
                self._record.tell(Retrying(step_id, target, str(error), pause))
                self._clock.wait(self._never, pause)
        raise AssertionError("attempts is at least 1")  # pragma: no cover

    def all_true(self, step_id: StepId, checks: Sequence[Check], direction: Direction) -> tuple[CheckResult, ...]:
        """The answers with which the checks passed, in order.

        What is about different places is asked at once, what is about one place in turn. Raises as ``come_true`` does; the
        others are given up then.
        """
        places: dict[str, list[Check]] = {}
        for check in checks:
            places.setdefault(place_of(check), []).append(check)
        enough = threading.Event()

        def in_turn(several: Sequence[Check]) -> list[CheckResult]:
            try:
                return [self.come_true(step_id, check, direction, enough) for check in several]
            except BaseException:
                enough.set()
                raise

        if len(places) < 2:  # noqa: PLR2004  nobody to wait for
            return tuple(in_turn(checks))
        with ThreadPoolExecutor(min(len(places), _PLACES_AT_ONCE), thread_name_prefix="lbsync-check") as pool:
            asked = {place: pool.submit(in_turn, several) for place, several in places.items()}
        errors = [error for each in asked.values() if (error := each.exception()) is not None]
        if errors:
            raise next((error for error in errors if not isinstance(error, Cut)), errors[0])
        answers = {place: iter(each.result()) for place, each in asked.items()}
        return tuple(next(answers[place_of(check)]) for check in checks)

    def come_true(
        self, step_id: StepId, check: Check, direction: Direction, enough: threading.Event | None = None
    ) -> CheckResult:
        """The answer with which the check passed. Raises VerifyFailed at its deadline, Denied at once, Cut.

        ``enough``, when set, gives it up after its next answer.
        """
        checker = self._site.checker(check.target)
        begun = self._clock.monotonic()
        pause = self._pacing.poll_first_s
        woken_by = self.nudge if direction is Direction.DO else self._never
        while True:
            try:
                result = checker.check(check)
            except Denied:
                raise
            except TargetError as error:
                result = CheckResult(passed=False, detail=str(error))
            if result.passed:
                return result
            waited = self._clock.monotonic() - begun
            self._record.tell(Asked(step_id, check, result, waited))
            if self._given_up(direction) or (enough is not None and enough.is_set()):
                raise Cut
            if waited >= check.deadline_s:
                raise VerifyFailed(
                    f"{check.summary} did not come true within {check.deadline_s:g} s: {result.detail}",
                    where=place_of(check),
                    code=check.verb,
                )
            self._clock.wait(woken_by, min(pause, check.deadline_s - waited))
            pause = min(pause * self._pacing.poll_factor, self._pacing.poll_longest_s)

    def _given_up(self, direction: Direction) -> bool:
        if self.dead or (direction is Direction.DO and self._record.run.phase is not RunPhase.APPLYING):
            return True
        if not self._stop.is_set():
            self._stopped_at = None
            return False
        now = self._clock.monotonic()
        if self._stopped_at is None:
            self._stopped_at = now
        return now - self._stopped_at >= self._pacing.stop_grace_s
