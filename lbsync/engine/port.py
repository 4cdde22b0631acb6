"""What the engine needs from the world, and what it tells it: protocols and small values.

Rule of this file: nothing here acts. Another driver (one that spreads steps over several hosts) would come behind the same
names: a ``Journal`` to write to, a ``Site`` to act on, a ``Clock`` to wait by.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from lbsync.model import Check, CheckResult, Plan, StepId
from lbsync.run import Event, Head, Run, RunPhase, RunSummary
from lbsync.target import MaterialSource, Target


class Checker(Protocol):
    """Whatever answers checks by reading only: a target, or the prober under the name ``outside``."""

    def check(self, check: Check) -> CheckResult:
        """Answer once. Raises TargetError when the question cannot be asked."""
        ...


class Journal(Protocol):
    """The ledger as the engine sees it; see ``lbsync.ledger.Ledger``. Every method may raise LedgerError."""

    def append(self, run_id: str, event: Event, *, expect: RunPhase | None = None) -> RunPhase:
        """Write an event durably; raises PhaseChanged when the run is not in the phase expected."""
        ...

    def run(self, run_id: str) -> Run:
        """The run, folded from its events."""
        ...

    def phase(self, run_id: str) -> RunPhase:
        """Its phase only, cheap enough to poll."""
        ...

    def runs(self) -> tuple[RunSummary, ...]:
        """Every run at a glance, the newest first."""
        ...

    def verify_chain(self) -> Head:
        """The head of the chain, after every hash was recomputed."""
        ...

    def lock(self, run_id: str) -> AbstractContextManager[object]:
        """Held while a run works; entering raises LedgerError when another process holds it."""
        ...


class Clock(Protocol):
    """Time, so that tests need not wait for it."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event at most so long; true when it is set."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for the event at most so long."""
        return event.wait(seconds)


@dataclass(frozen=True, slots=True)
class Site:
    """Everything a run may act on or ask, by the names its plan uses."""

    targets: Mapping[str, Target]
    materials: MaterialSource
    checkers: Mapping[str, Checker] = field(default_factory=dict[str, Checker])
    """Checkers besides the targets themselves: the prober as ``outside``."""

    def checker(self, name: str) -> Checker:
        """Who answers checks for ``name``; ``KeyError`` for nobody."""
        return self.checkers[name] if name in self.checkers else self.targets[name]

    def missing(self, plan: Plan) -> tuple[str, ...]:
        """Names the plan uses and this site lacks, sorted."""
        acting = {action.target for step in plan.steps for action in (step.do, step.undo) if action is not None}
        asked = {check.target for step in plan.steps for check in (*step.until, *step.undo_until)}
        return tuple(sorted((acting - self.targets.keys()) | (asked - self.targets.keys() - self.checkers.keys())))


@dataclass(frozen=True, slots=True)
class Pacing:
    """How patient the engine is; all times in seconds.

    ``poll_first_s`` grows by ``poll_factor`` up to ``poll_longest_s`` between two answers to a check. An effect or reading that
    finds its target unreachable is tried ``attempts`` times (``undo_attempts`` on the way back), ``retry_s`` apart, doubling.
    After a stop, a step that only waits for its checks gets ``stop_grace_s`` more.
    """

    poll_first_s: float = 0.25
    poll_factor: float = 1.5
    poll_longest_s: float = 5.0
    attempts: int = 3
    undo_attempts: int = 6
    retry_s: float = 0.5
    stop_grace_s: float = 15.0
    confirm_poll_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event is in the ledger; ``run`` is the run after it."""

    event: Event
    run: Run


@dataclass(frozen=True, slots=True)
class Asked:
    """A check was not true yet, ``waited_s`` after it was first asked."""

    step: StepId
    check: Check
    result: CheckResult
    waited_s: float


@dataclass(frozen=True, slots=True)
class Retrying:
    """A target did not answer; it is asked again in ``in_s`` seconds."""

    step: StepId
    target: str
    reason: str
    in_s: float


@dataclass(frozen=True, slots=True)
class WaitingForConfirmation:
    """Everything is applied; the run goes back by itself in ``left_s`` seconds."""

    run: Run
    left_s: float


Notice = Recorded | Asked | Retrying | WaitingForConfirmation
Observer = Callable[[Notice], None]
"""Told everything as it happens, one at a time, from the threads at work; must return quickly and not call the engine."""
