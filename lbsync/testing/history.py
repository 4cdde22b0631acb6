"""The events of a small run, for tests of whatever stores, shows or explains runs.

Rule of this file: one step on one target, nothing that depends on the time of day.
"""

from __future__ import annotations

from datetime import UTC, datetime

from lbsync.model import Action, Plan, Receipt, Step, StepId
from lbsync.run import Direction, Ending, Event, Finished, Intended, Performed, RunEnded, RunStarted, Verified

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
_ACTION = Action(target="t", verb="set")
STEP = Step(id=StepId("a"), target="t", summary="a", do=_ACTION, undo=_ACTION)


def started(run_id: str) -> RunStarted:
    """The first event of a run."""
    plan = Plan(farm="contoso", basis="b", steps=(STEP,))
    return RunStarted(run_id=run_id, plan=plan, actor="me", host="here", started=NOW)


def intended(**before: str) -> Intended:
    """The intent of the only step."""
    return Intended(step=STEP.id, direction=Direction.DO, before=dict(before))


def whole_run(run_id: str) -> list[Event]:
    """Everything that happens to a run that goes well: six events."""
    return [
        started(run_id),
        intended(x="1"),
        Performed(step=STEP.id, direction=Direction.DO, receipt=Receipt(summary="done"), left={}),
        Verified(step=STEP.id, direction=Direction.DO),
        Finished(step=STEP.id, direction=Direction.DO),
        RunEnded(outcome=Ending.APPLIED),
    ]
