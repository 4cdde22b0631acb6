"""A run, folded from its events: what has happened, what may happen next, and how it looks to a person.

Rule of this file: it decides and performs nothing; the same events give the same run and the same moves in the same order.
It never learns what targets, threads or files are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal, assert_never

from lbsync.model import CheckResult, Plan, Receipt, State, Step, StepId
from lbsync.run.events import (
    Awaiting,
    Confirmed,
    Direction,
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
    StepEvent,
    TurnedBack,
    Verified,
)
from lbsync.run.lasting import lasting
from lbsync.run.transitions import IllegalEvent, RunPhase, StepPhase, advance, advance_step, illegal

Shown = Literal["waiting", "running", "checking", "done", "failed", "undoing", "undone", "skipped"]

_UNTOUCHED = frozenset({StepPhase.WAITING, StepPhase.BALKED})
_FORWARD = frozenset({RunPhase.APPLYING, RunPhase.AWAITING, RunPhase.APPLIED})
_SHOWN: Mapping[StepPhase, Shown] = MappingProxyType({
    StepPhase.WAITING: "waiting",
    StepPhase.BALKED: "failed",
    StepPhase.RUNNING: "running",
    StepPhase.CHECKING: "checking",
    StepPhase.VERIFIED: "checking",
    StepPhase.DONE: "done",
    StepPhase.FAILED: "failed",
    StepPhase.UNDOING: "undoing",
    StepPhase.UNDO_CHECKING: "undoing",
    StepPhase.UNDO_VERIFIED: "undoing",
    StepPhase.UNDONE: "undone",
})  # fmt: skip


def same_state(one: State | None, other: State | None) -> bool:
    """True when two readings say the same, whatever the order of their keys."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@dataclass(frozen=True, slots=True)
class StepStatus:
    """What is known of one step.

    ``before`` is the first before-image, ``left`` what the effect left (``None``: unknown, the process died or the effect
    failed). ``stuck`` is why this attempt at the way back could not undo it, ``held`` the foreign change found.
    """

    phase: StepPhase = StepPhase.WAITING
    before: State | None = None
    left: State | None = None
    receipt: Receipt | None = None
    results: tuple[CheckResult, ...] = ()
    failed: Failed | None = None
    undo_receipt: Receipt | None = None
    undo_results: tuple[CheckResult, ...] = ()
    stuck: Failed | None = None
    held: Held | None = None

    @property
    def touched(self) -> bool:
        """True once an effect may have reached the target."""
        return self.phase not in _UNTOUCHED


def _noted(status: StepStatus, event: StepEvent) -> StepStatus:
    """What the event says, added to what is known of the step."""
    match event:
        case Intended(before=before):
            noted = replace(status, before=before)
        case Performed(direction=Direction.DO, receipt=receipt, left=left):
            noted = replace(status, receipt=receipt, left=left)
        case Performed(receipt=receipt):
            noted = replace(status, undo_receipt=receipt)
        case Verified(direction=Direction.DO, results=results):
            noted = replace(status, results=results)
        case Verified(results=results):
            noted = replace(status, undo_results=results)
        case Failed(direction=Direction.DO):
            noted = replace(status, failed=event)
        case Failed():
            noted = replace(status, stuck=event)
        case Held():
            noted = replace(status, held=event)
        case Finished():
            noted = status
        case _:
            assert_never(event)
    return noted


@dataclass(frozen=True, slots=True)
class Move:
    """A step that may be carried on now, in a direction."""

    step: Step
    direction: Direction


@dataclass(frozen=True, slots=True)
class Progress:
    """How many steps look how; ``total`` is all of them."""

    total: int
    counts: Mapping[Shown, int]


def passive(step: Step) -> bool:
    """True for a step with nothing to do on the way back: it only keeps its place in the order."""
    return step.undo is None and not step.undo_until


@dataclass(frozen=True, slots=True)
class _Graph:
    """A plan's steps by id, and for each the steps that name it in ``after``."""

    steps: Mapping[StepId, Step]
    dependents: Mapping[StepId, tuple[StepId, ...]]

    @classmethod
    def of(cls, plan: Plan) -> _Graph:
        """Raises IllegalEvent unless the plan's steps are unique and in topological order."""
        steps: dict[StepId, Step] = {}
        dependents: dict[StepId, list[StepId]] = {}
        for step in plan.steps:
            if step.id in steps or any(needed not in steps for needed in step.after):
                raise IllegalEvent(
                    f"step {step.id} appears twice or before a step that it comes after",
                    remedy="this is a bug in lbsync: the plan is not in order; keep it and report it",
                    code="illegal-plan",
                )
            steps[step.id] = step
            dependents[step.id] = []
            for needed in step.after:
                dependents[needed].append(step.id)
        return cls(steps, {step_id: tuple(found) for step_id, found in dependents.items()})


@dataclass(frozen=True, slots=True)
class Run:
    """A run at one moment. Made by ``Run.replay``; ``feed`` gives the next one."""

    started: RunStarted
    phase: RunPhase
    statuses: Mapping[StepId, StepStatus]
    graph: _Graph = field(repr=False)
    interrupted: bool = False
    forced: bool = False
    turned_back: str = ""
    """Why the way back was taken; empty while it was not."""
    deadline: datetime | None = None
    """Until when a confirmation is awaited."""

    @classmethod
    def begin(cls, started: RunStarted) -> Run:
        """A run of which nothing has happened but its start. Raises IllegalEvent when the plan is out of order."""
        graph = _Graph.of(started.plan)
        return cls(started, RunPhase.APPLYING, dict.fromkeys(graph.steps, StepStatus()), graph)

    @classmethod
    def replay(cls, events: Iterable[Event]) -> Run:
        """The run that these events make; the first is its start. Raises IllegalEvent."""
        run: Run | None = None
        for event in events:
            if run is not None:
                run = run.feed(event)
            elif isinstance(event, RunStarted):
                run = cls.begin(event)
            else:
                raise illegal(event, "the run has not started")
        if run is None:
            raise IllegalEvent("a run without events", code="illegal-event")
        return run

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.started.run_id

    @property
    def plan(self) -> Plan:
        """The plan as it was accepted."""
        return self.started.plan

    def step(self, step_id: StepId) -> Step:
        """A step by its id; ``KeyError`` where there is none."""
        return self.graph.steps[step_id]

    def feed(self, event: Event) -> Run:
        """The run after ``event``. Raises IllegalEvent."""
        phase = advance(self.phase, event)
        match event:
            case Intended() | Performed() | Verified() | Finished() | Failed() | Held():
                return replace(self, phase=phase, statuses=self._with(event))
            case TurnedBack(reason=reason, forced=forced):
                return replace(
                    self, phase=phase, statuses=self._retryable(), turned_back=reason, forced=forced, interrupted=False
                )
            case Resumed():
                return replace(self, phase=phase, statuses=self._retryable(), interrupted=False)
            case Interrupted():
                return replace(self, phase=phase, interrupted=True)
            case Awaiting(deadline=deadline):
                return replace(self, phase=phase, deadline=deadline)
            case Confirmed() | RunEnded():
                return replace(self, phase=phase, interrupted=False)
            case RunStarted():  # pragma: no cover - no row of the table allows it, advance() has raised
                raise illegal(event, "the run has started already")
            case _:
                assert_never(event)

    def _with(self, event: StepEvent) -> Mapping[StepId, StepStatus]:
        step = self.graph.steps.get(event.step)
        if step is None:
            raise illegal(event, f"the plan has no step {event.step}")
        old = self.statuses[event.step]
        going_back = isinstance(event, Held) or event.direction is Direction.UNDO
        effect = step.undo is not None if going_back else step.do is not None
        moved = replace(old, phase=advance_step(old.phase, event, effect=effect))
        # A repeated intent comes after a crash: what it reads may already be our own work.
        repeated = isinstance(event, Intended) and old.touched
        return {**self.statuses, event.step: moved if repeated else _noted(moved, event)}

    def _retryable(self) -> Mapping[StepId, StepStatus]:
        """Statuses for a new attempt at the way back: what was stuck may be tried again, from its undo on."""
        fresh: dict[StepId, StepStatus] = {}
        for step_id, status in self.statuses.items():
            again = status.stuck is not None and status.phase in {StepPhase.UNDO_CHECKING, StepPhase.UNDO_VERIFIED}
            phase = StepPhase.UNDOING if again else status.phase
            fresh[step_id] = replace(status, phase=phase, stuck=None, held=None)
        return fresh

    def ready(self) -> tuple[Move, ...]:
        """Every step that may be carried on now, in the order in which a single worker would take them.

        Forward: begun ones and those whose ``after`` are done, in plan order. On the way back: touched ones of which every
        touched dependent is undone, in reversed plan order. Steps under way are among them: the driver knows its own.
        """
        match self.phase:
            case RunPhase.APPLYING:
                return tuple(Move(step, Direction.DO) for step in self.plan.steps if self._may_go_on(step))
            case RunPhase.GOING_BACK:
                cleared = self.cleared()
                return tuple(
                    Move(step, Direction.UNDO)
                    for step in reversed(self.plan.steps)
                    if step.id not in cleared
                    and not passive(step)
                    and self.statuses[step.id].stuck is None
                    and cleared.issuperset(self.graph.dependents[step.id])
                )
            case _:
                return ()

    def _may_go_on(self, step: Step) -> bool:
        return self.statuses[step.id].phase is not StepPhase.DONE and all(
            self.statuses[needed].phase is StepPhase.DONE for needed in step.after
        )

    def cleared(self) -> frozenset[StepId]:
        """Steps of which nothing is left: never touched, undone, or passive with nothing left of what came after."""
        cleared: set[StepId] = set()
        for step in reversed(self.plan.steps):
            status = self.statuses[step.id]
            gone = not status.touched or status.phase is StepPhase.UNDONE
            if gone or (passive(step) and cleared.issuperset(self.graph.dependents[step.id])):
                cleared.add(step.id)
        return frozenset(cleared)

    @property
    def complete(self) -> bool:
        """True when every step is done."""
        return all(status.phase is StepPhase.DONE for status in self.statuses.values())

    @property
    def gone(self) -> bool:
        """True when nothing of the run is left on any target."""
        return len(self.cleared()) == len(self.statuses)

    @property
    def touched_targets(self) -> frozenset[str]:
        """Targets on which an effect of this run may still stand."""
        cleared = self.cleared()
        return frozenset(
            step.target
            for step in self.plan.steps
            if step.do is not None and self.statuses[step.id].touched and step.id not in cleared
        )

    @property
    def failures(self) -> tuple[Failed, ...]:
        """Why steps failed forward, in plan order."""
        return tuple(status.failed for status in self.statuses.values() if status.failed is not None)

    @property
    def stuck(self) -> tuple[Failed, ...]:
        """Why steps could not be undone in this attempt, in plan order."""
        return tuple(status.stuck for status in self.statuses.values() if status.stuck is not None)

    @property
    def holds(self) -> tuple[Held, ...]:
        """Foreign changes that stopped the way back, in plan order."""
        return tuple(status.held for status in self.statuses.values() if status.held is not None)

    def looks(self) -> dict[StepId, Shown]:
        """How each step is shown to a person, in plan order."""
        forward = self.phase in _FORWARD
        cleared = frozenset[StepId]() if forward else self.cleared()
        return {step.id: self._look(step, step.id in cleared, forward=forward) for step in self.plan.steps}

    def _look(self, step: Step, cleared: bool, *, forward: bool) -> Shown:
        status = self.statuses[step.id]
        if status.phase is StepPhase.WAITING:
            return "waiting" if forward else "skipped"
        if status.stuck is not None or status.held is not None:
            return "failed"
        if cleared and status.touched:
            performed: Shown = "done" if status.receipt is not None else "failed"
            return performed if lasting(step) else "undone"
        return _SHOWN[status.phase]

    def progress(self) -> Progress:
        """Counts of ``looks``."""
        return Progress(len(self.statuses), Counter(self.looks().values()))
