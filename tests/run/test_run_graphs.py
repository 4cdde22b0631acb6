"""Any graph of steps, carried on in any order, comes to a good end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from lbsync.model import Action, Plan, Receipt, Step, StepId
from lbsync.run import (
    Direction,
    Event,
    Finished,
    Intended,
    Move,
    Performed,
    Run,
    RunPhase,
    RunStarted,
    StepPhase,
    TurnedBack,
    Verified,
)

ACTION = Action(target="t", verb="set")
RECEIPT = Receipt(summary="done")
BACK = TurnedBack(reason="asked for")


def step(name: str, after: Iterable[StepId], *, effect: bool) -> Step:
    """A step that has an effect both ways, or a gate."""
    action = ACTION if effect else None
    return Step(id=StepId(name), target="t", summary=name, after=tuple(after), do=action, undo=action)


def started(steps: tuple[Step, ...]) -> RunStarted:
    """The first event of a run of these steps."""
    plan = Plan(farm="f", basis="b", steps=steps)
    return RunStarted(run_id="r", plan=plan, actor="me", host="here", started=datetime(2026, 1, 1, tzinfo=UTC))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Step, ...]:
    """Up to seven steps, each after some of those before it, some of them gates."""
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 7))):
        names = [known.id for known in steps]
        after = draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if names else []
        steps.append(step(f"s{number}", after, effect=draw(st.booleans())))
    return tuple(steps)


def next_event(run: Run, move: Move) -> Event:
    """What a driver would record next for a step."""
    step_id, direction = move.step.id, move.direction
    match run.statuses[step_id].phase, direction:
        case (StepPhase.RUNNING, Direction.DO) | (StepPhase.UNDOING, Direction.UNDO):
            return Performed(step=step_id, direction=direction, receipt=RECEIPT, left={})
        case (StepPhase.CHECKING, Direction.DO) | (StepPhase.UNDO_CHECKING, Direction.UNDO):
            return Verified(step=step_id, direction=direction)
        case (StepPhase.VERIFIED, Direction.DO) | (StepPhase.UNDO_VERIFIED, Direction.UNDO):
            return Finished(step=step_id, direction=direction)
        case _:
            return Intended(step=step_id, direction=direction, before={})


def assert_in_order(run: Run) -> None:
    """Nothing is begun before what it comes after is done, and nothing undone before what came after it."""
    for each in run.plan.steps:
        if run.statuses[each.id].touched and run.phase is RunPhase.APPLYING:
            assert all(run.statuses[needed].phase is StepPhase.DONE for needed in each.after)
        if run.statuses[each.id].phase is StepPhase.UNDONE:
            assert run.cleared().issuperset(run.graph.dependents[each.id])


@settings(max_examples=200, deadline=None)
@given(graphs(), st.data())
def test_any_graph_in_any_order_ends_applied_or_gone(steps: tuple[Step, ...], data: st.DataObject) -> None:
    """Whichever ready move is carried on next, and wherever it is turned back, the run ends applied or with nothing left."""
    events: list[Event] = [started(steps)]
    run = Run.replay(events)
    while run.ready():
        move = data.draw(st.sampled_from(run.ready()))
        turn = run.phase is RunPhase.APPLYING and data.draw(st.integers(0, 9)) == 0
        event = BACK if turn else next_event(run, move)
        events.append(event)
        run = run.feed(event)
        assert_in_order(run)
    assert run.complete if run.phase is RunPhase.APPLYING else run.gone
    assert Run.replay(events) == run
