"""A target, a clock and a journal in memory, real enough to drive runs on, and a way to kill the process at any point.

Rule of this file: no timing and no files; everything is seen by the test. ``Fuse`` stands for ``kill -9``: once it has blown,
nothing that goes through it happens any more, in any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from pydantic import JsonValue

from lbsync.changes import Change
from lbsync.errors import LedgerError, Rejected
from lbsync.facts import BalancerFacts, FarmFacts, ServerFacts
from lbsync.ledger import Head, Ledger, PhaseChanged, RunSummary
from lbsync.model import Action, Check, CheckResult, Receipt, State, Step
from lbsync.run import Event, Run, RunPhase, RunStarted, advance, load_event
from lbsync.services import Service
from lbsync.target import MaterialSource


class Killed(BaseException):
    """The process died here."""


class Fuse:
    """Counts the points at which a process may die, and dies at the one told (never, for 0)."""

    def __init__(self, at: int = 0) -> None:
        self._at = at
        self._lock = threading.Lock()
        self.points = 0
        """Points passed so far."""

    @property
    def blown(self) -> bool:
        """True when the process is dead."""
        return 0 < self._at <= self.points

    def tick(self) -> None:
        """A point at which the process may die. Raises Killed there, and ever after."""
        with self._lock:
            self.points += 1
            if self.blown:
                raise Killed


class MemoryTarget:
    """A target whose state is a dictionary.

    Verbs: ``set`` writes every item of ``args["items"]`` (``None`` removes it), one after the other, so that it can die between
    two; the check ``shows`` is true when every item of ``args["items"]`` is there. ``before_perform`` may raise, wait, or look.
    """

    def __init__(self, name: str, state: dict[str, JsonValue], fuse: Fuse | None = None) -> None:
        self._name = name
        self.state = state
        self.fuse = fuse or Fuse()
        self.effects: list[Action] = []
        self.before_perform: Callable[[Action], None] = lambda _action: None
        self.before_read: Callable[[Action], None] = lambda _action: None
        self.before_check: Callable[[Check], None] = lambda _check: None

    @property
    def name(self) -> str:
        """Its name in a plan."""
        return self._name

    def observe(self, services: frozenset[Service]) -> ServerFacts | FarmFacts | BalancerFacts:
        """Has no facts. Raises Rejected."""
        del services
        raise self._no_facts()

    def lower(self, change: Change, seen: ServerFacts | FarmFacts | BalancerFacts) -> tuple[Step, ...]:
        """Lowers nothing. Raises Rejected."""
        del change, seen
        raise self._no_facts()

    def read(self, action: Action) -> State:
        """The items the action governs, as they are."""
        self.fuse.tick()
        self.before_read(action)
        return {key: self.state.get(key) for key in _items(action)}

    def perform(self, action: Action, materials: MaterialSource) -> Receipt:
        """Write the action's items."""
        del materials
        self.before_perform(action)
        self.effects.append(action)
        for key, value in _items(action).items():
            self.fuse.tick()
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.fuse.tick()
        return Receipt(summary=f"wrote {', '.join(_items(action))}")

    def check(self, check: Check) -> CheckResult:
        """Compare the check's items with the state."""
        self.fuse.tick()
        self.before_check(check)
        seen = {key: self.state.get(key) for key in _items(check)}
        return CheckResult(passed=seen == _items(check), detail=f"it shows {seen}")

    def _no_facts(self) -> Rejected:
        return Rejected("a memory target has no facts", where=self.name, code="memory")


def _items(question: Action | Check) -> dict[str, JsonValue]:
    items = question.args["items"]
    if not isinstance(items, dict):
        raise Rejected("no items", code="memory")
    return items


class NoMaterials:
    """A source of nothing. Raises LookupError when asked."""

    def open(self, leaf: object) -> NoReturn:
        """Has no bundle."""
        raise LookupError(leaf)


class FakeClock:
    """Time that passes only when somebody waits, and at once. ``on_wait`` is called at each wait."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._lock = threading.Lock()
        self.elapsed = 0.0
        self.on_wait: Callable[[float], None] = lambda _seconds: None

    def now(self) -> datetime:
        """The start and what was waited."""
        return self._start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        """Seconds waited so far."""
        return self.elapsed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let the time pass, unless the event is set."""
        if not event.is_set():
            with self._lock:
                self.elapsed += seconds
            self.on_wait(seconds)
        return event.is_set()


class FusedLedger(Ledger):
    """The real ledger, in a process that may die right before and right after each write."""

    fuse = Fuse()

    def append(self, run_id: str, event: Event, *, expect: RunPhase | None = None) -> RunPhase:
        """Write an event between two ticks."""
        self.fuse.tick()
        phase = super().append(run_id, event, expect=expect)
        self.fuse.tick()
        return phase


@dataclass
class MemoryJournal:
    """A ledger in memory that keeps JSON, as the real one does; a process killed through its fuse writes no more."""

    fuse: Fuse = field(default_factory=Fuse)
    rows: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    phases: dict[str, RunPhase] = field(default_factory=dict[str, RunPhase])
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def append(self, run_id: str, event: Event, *, expect: RunPhase | None = None) -> RunPhase:
        """Keep the event's JSON."""
        with self._lock:
            self.fuse.tick()
            if expect is not None and self.phases[run_id] is not expect:
                raise PhaseChanged(f"run {run_id} is {self.phases[run_id].value}")
            started = isinstance(event, RunStarted)
            phase = RunPhase.APPLYING if started else advance(self.phases[run_id], event)
            self.rows.append((run_id, event.model_dump_json()))
            self.phases[run_id] = phase
            self.fuse.tick()
            return phase

    def events(self, run_id: str) -> tuple[Event, ...]:
        """The run's events, read back from JSON."""
        with self._lock:
            return tuple(load_event(text) for owner, text in self.rows if owner == run_id)

    def run(self, run_id: str) -> Run:
        """The run, folded."""
        return Run.replay(self.events(run_id))

    def phase(self, run_id: str) -> RunPhase:
        """The phase of a run. Raises LedgerError for an unknown one."""
        if run_id not in self.phases:
            raise LedgerError(f"there is no run {run_id}", code="unknown-run")
        return self.phases[run_id]

    def runs(self) -> tuple[RunSummary, ...]:
        """Every run, the newest first."""
        return tuple(self._summary(self.run(run_id)) for run_id in reversed(self.phases))

    def verify_chain(self) -> Head:
        """There is no chain in memory."""
        return Head(len(self.rows), "")

    @contextmanager
    def lock(self, run_id: str) -> Generator[None]:
        """There is no other process."""
        del run_id
        yield

    def _summary(self, run: Run) -> RunSummary:
        started = run.started
        return RunSummary(
            run_id=run.run_id,
            farm=run.plan.farm,
            actor=started.actor,
            host=started.host,
            started=started.started,
            last=started.started,
            phase=run.phase,
            interrupted=run.interrupted,
            order=started.order,
        )
