"""A run is what its events say: the same events, the same run, the same moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from lbsync.model import Action, CheckResult, Plan, Receipt, State, Step, StepId
from lbsync.run import (
    Awaiting,
    Confirmed,
    Direction,
    Ending,
    Event,
    Failed,
    Finished,
    Held,
    IllegalEvent,
    Intended,
    Interrupted,
    Move,
    Performed,
    Resumed,
    Run,
    RunEnded,
    RunPhase,
    RunStarted,
    Shown,
    StepPhase,
    TurnedBack,
    Verified,
    load_event,
    same_state,
)

DO, UNDO = Direction.DO, Direction.UNDO
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACTION = Action(target="t", verb="set")
RECEIPT = Receipt(summary="done")
A, B, C, D = (StepId(name) for name in "abcd")


def step(step_id: StepId, *after: StepId, effect: bool = True, target: str = "t") -> Step:
    """A step that has an effect both ways, or a gate."""
    action = ACTION.model_copy(update={"target": target}) if effect else None
    return Step(id=step_id, target=target, summary=step_id, after=after, do=action, undo=action)


DIAMOND = (step(A), step(B, A), step(C, A, effect=False), step(D, B, C, target="u"))
"""``c`` is a gate; ``d`` comes after ``b`` and ``c``."""


def started(*steps: Step, confirm_within_s: float | None = None) -> RunStarted:
    """The first event of a run of these steps."""
    plan = Plan(farm="f", basis="b", steps=steps or DIAMOND)
    return RunStarted(run_id="r", plan=plan, actor="me", host="here", started=NOW, confirm_within_s=confirm_within_s)


def done(step_id: StepId, *, gate: bool = False) -> list[Event]:
    """Everything that happens to a step that goes well."""
    before: State | None = None if gate else {"x": 0}
    events: list[Event] = [Intended(step=step_id, direction=DO, before=before)]
    if not gate:
        events.append(Performed(step=step_id, direction=DO, receipt=RECEIPT, left={"x": 1}))
    return [*events, Verified(step=step_id, direction=DO), Finished(step=step_id, direction=DO)]


def undone(step_id: StepId) -> list[Event]:
    """Everything that happens to a step that is taken back."""
    return [
        Intended(step=step_id, direction=UNDO, before={"x": 1}),
        Performed(step=step_id, direction=UNDO, receipt=RECEIPT, left={"x": 0}),
        Verified(step=step_id, direction=UNDO),
        Finished(step=step_id, direction=UNDO),
    ]


def failed(step_id: StepId, direction: Direction = DO) -> Failed:
    """A failure of a step."""
    return Failed(step=step_id, direction=direction, error="Rejected", reason="no")


ALL_DONE = [*done(A), *done(B), *done(C, gate=True), *done(D)]
BACK = TurnedBack(reason="asked for")


def run_of(*events: Event) -> Run:
    """A run of the diamond after these events."""
    return Run.replay([started(), *events])


def ready(run: Run) -> list[tuple[str, str]]:
    """The moves, readable."""
    return [(move.step.id, move.direction.value) for move in run.ready()]


def test_forward_a_step_waits_for_those_it_comes_after() -> None:
    """First a; then b and c, in plan order; d only after both."""
    assert ready(run_of()) == [("a", "do")]
    assert ready(run_of(*done(A))) == [("b", "do"), ("c", "do")]
    assert ready(run_of(*done(A), *done(B))) == [("c", "do")]
    assert ready(run_of(*done(A), *done(B), *done(C, gate=True))) == [("d", "do")]
    assert run_of().ready()[0] == Move(DIAMOND[0], DO)
    assert (run_of().run_id, run_of().plan.steps) == ("r", DIAMOND)


def test_a_begun_step_may_be_carried_on() -> None:
    """A step with an intent only, or performed only, is still among the moves: its process may have died."""
    assert ready(run_of(done(A)[0])) == [("a", "do")]
    assert ready(run_of(*done(A)[:2])) == [("a", "do")]
    assert ready(run_of(*done(A)[:3])) == [("a", "do")]


def test_back_a_step_waits_for_what_came_after_it() -> None:
    """The reverse of the graph: d, then b; the gate c is passed over; a last."""
    run = run_of(*ALL_DONE, RunEnded(outcome=Ending.APPLIED), BACK)
    assert ready(run) == [("d", "undo")]
    for event in undone(D):
        run = run.feed(event)
    assert ready(run) == [("b", "undo")]
    for event in undone(B):
        run = run.feed(event)
    assert ready(run) == [("a", "undo")]
    assert not run.gone
    for event in undone(A):
        run = run.feed(event)
    assert ready(run) == []
    assert run.gone
    assert run.feed(RunEnded(outcome=Ending.UNDONE)).phase is RunPhase.UNDONE


def test_back_untouched_steps_are_not_undone() -> None:
    """Only what has an intent is taken back, the merely intended included."""
    assert ready(run_of(*done(A), Intended(step=B, direction=DO, before={}), BACK)) == [("b", "undo")]
    assert ready(run_of(BACK)) == []
    assert run_of(BACK).gone


def test_a_step_that_failed_before_its_intent_was_never_touched() -> None:
    """Nothing is to be taken back where nothing was begun."""
    run = run_of(*done(A), failed(B), BACK)
    assert run.statuses[B].phase is StepPhase.BALKED
    assert ready(run) == [("a", "undo")]


def test_a_failed_step_ends_the_way_forward() -> None:
    """After a failure nothing new is ready; what is under way may end, and fail too."""
    run = run_of(*done(A), done(B)[0], Intended(step=C, direction=DO), failed(B))
    assert run.phase is RunPhase.FAILING
    assert run.ready() == ()
    run = run.feed(failed(C))
    assert [failure.step for failure in run.failures] == ["b", "c"]
    assert run.feed(BACK).turned_back == "asked for"


def test_the_first_before_image_is_kept() -> None:
    """A repeated intent, after a crash, reads what the dead process did already."""
    run = run_of(
        Intended(step=A, direction=DO, before={"x": 0}), Resumed(), Intended(step=A, direction=DO, before={"x": 7})
    )
    assert run.statuses[A].before == {"x": 0}
    run = run_of(*ALL_DONE, BACK, Intended(step=D, direction=UNDO, before={"x": 9}))
    assert run.statuses[D].before == {"x": 0}


def test_what_is_known_of_a_step() -> None:
    """Receipts, readings and results of both directions are kept apart."""
    result = CheckResult(passed=True, detail="yes")
    run = run_of(*done(A)[:2], Verified(step=A, direction=DO, results=(result,)), Finished(step=A, direction=DO), BACK)
    for event in (*undone(A)[:2], Verified(step=A, direction=UNDO, results=(result, result))):
        run = run.feed(event)
    status = run.statuses[A]
    assert (status.receipt, status.undo_receipt, status.left) == (RECEIPT, RECEIPT, {"x": 1})
    assert (len(status.results), len(status.undo_results)) == (1, 2)


def test_a_stuck_step_waits_for_another_attempt() -> None:
    """A step whose undo failed blocks those before it; a new attempt takes it up again from its undo."""
    run = run_of(*ALL_DONE, BACK, *undone(D)[:2], failed(D, UNDO))
    assert run.ready() == ()
    assert [stuck.step for stuck in run.stuck] == ["d"]
    run = run.feed(RunEnded(outcome=Ending.INCOMPLETE))
    assert run.looks()[D] == "failed"
    run = run.feed(BACK)
    assert run.stuck == ()
    assert run.statuses[D].phase is StepPhase.UNDOING
    assert ready(run) == [("d", "undo")]


def test_a_step_stuck_before_its_undo_is_judged_anew() -> None:
    """Where the undo had not begun, a new attempt still compares before, left and now."""
    run = run_of(*ALL_DONE, BACK, failed(D, UNDO), RunEnded(outcome=Ending.INCOMPLETE), BACK)
    assert run.statuses[D].phase is StepPhase.DONE


def test_a_foreign_change_holds_the_whole_way_back() -> None:
    """Nothing more is ready once held; turned back by force it goes on."""
    held = Held(step=D, before={"x": 0}, left={"x": 1}, now={"x": 5})
    run = run_of(*ALL_DONE, BACK, held)
    assert (run.phase, run.ready(), run.holds) == (RunPhase.HOLDING, (), (held,))
    run = run.feed(RunEnded(outcome=Ending.HELD))
    assert run.looks()[D] == "failed"
    run = run.feed(TurnedBack(reason="again", forced=True))
    assert (run.forced, run.holds, ready(run)) == (True, (), [("d", "undo")])


def test_interrupted_and_resumed() -> None:
    """A stop is remembered until somebody goes on."""
    run = run_of(*done(A), Interrupted())
    assert (run.phase, run.interrupted) == (RunPhase.APPLYING, True)
    assert not run.feed(Resumed()).interrupted
    assert not run.feed(BACK).interrupted


def test_a_confirmed_run_is_applied() -> None:
    """All applied, it waits until its deadline for a word."""
    run = Run.replay([started(confirm_within_s=60), *ALL_DONE, Awaiting(deadline=NOW + timedelta(minutes=1))])
    assert run.complete
    assert (run.phase, run.deadline, run.ready()) == (RunPhase.AWAITING, NOW + timedelta(minutes=1), ())
    assert run.feed(Confirmed()).phase is RunPhase.APPLIED
    assert run.feed(BACK).phase is RunPhase.GOING_BACK


@pytest.mark.parametrize(
    ("events", "looks"),
    [
        ([], "waiting waiting waiting waiting"),
        ([*done(A), done(B)[0], Intended(step=C, direction=DO)], "done running checking waiting"),
        ([*done(A), *done(B)[:3]], "done checking waiting waiting"),
        ([*done(A), done(B)[0], failed(B)], "done failed skipped skipped"),
        ([*done(A), failed(B)], "done failed skipped skipped"),
        ([*ALL_DONE, RunEnded(outcome=Ending.APPLIED)], "done done done done"),
        ([*ALL_DONE, BACK], "done done done done"),
        ([*ALL_DONE, BACK, *undone(D)[:1]], "done done done undoing"),
        ([*ALL_DONE, BACK, *undone(D)[:2]], "done done done undoing"),
        ([*ALL_DONE, BACK, *undone(D)], "done done undone undone"),
        ([*done(A), failed(B), BACK, *undone(A)], "undone failed skipped skipped"),
    ],
)
def test_how_steps_look(events: list[Event], looks: str) -> None:
    """What a progress display shows for each step, and the counts of it."""
    run = run_of(*events)
    assert " ".join(run.looks().values()) == looks
    progress = run.progress()
    assert progress.total == 4
    expected: list[Shown] = list(run.looks().values())
    assert progress.counts == {look: expected.count(look) for look in expected}


def test_touched_targets() -> None:
    """Targets with something left on them; none of what was undone, and none of a gate's."""
    assert run_of().touched_targets == frozenset()
    assert run_of(*ALL_DONE).touched_targets == {"t", "u"}
    assert run_of(*ALL_DONE, BACK, *undone(D)).touched_targets == {"t"}


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([Finished(step=A, direction=DO)], "the step is waiting"),
        ([done(A)[0], Finished(step=A, direction=DO)], "the step is running"),
        ([Intended(step=A, direction=UNDO)], "the run is applying"),
        ([Confirmed()], "the run is applying"),
        ([started()], "the run is applying"),
        ([Intended(step=StepId("z"), direction=DO)], "no step z"),
        ([*done(A), failed(B), Intended(step=C, direction=DO)], "the run is failing"),
        ([BACK, Intended(step=A, direction=UNDO)], "the step is waiting"),
        ([BACK, RunEnded(outcome=Ending.UNDONE), BACK], "the run is undone"),
        ([*ALL_DONE, RunEnded(outcome=Ending.APPLIED), Interrupted()], "the run is applied"),
    ],
)
def test_what_cannot_follow_is_our_bug(events: list[Event], state: str) -> None:
    """An event out of place is refused, and the error says where the run was."""
    with pytest.raises(IllegalEvent, match="bug in lbsync") as refused:
        run_of(*events)
    assert state in refused.value.state


def test_a_run_begins_with_its_start() -> None:
    """No events, or events before the start, make no run."""
    with pytest.raises(IllegalEvent, match="without events"):
        Run.replay([])
    with pytest.raises(IllegalEvent) as refused:
        Run.replay([Resumed()])
    assert "not started" in refused.value.state


@pytest.mark.parametrize("steps", [(step(A, B), step(B)), (step(A), step(A))])
def test_a_plan_out_of_order_is_refused(steps: tuple[Step, ...]) -> None:
    """Steps are unique and come after those they name."""
    with pytest.raises(IllegalEvent, match="twice or before"):
        Run.begin(started(*steps))


def test_unknown_steps() -> None:
    """Asking for a step the plan lacks is a KeyError, like in the plan itself."""
    assert run_of().step(A) is DIAMOND[0]
    with pytest.raises(KeyError):
        run_of().step(StepId("z"))


def test_same_state_ignores_the_order_of_keys() -> None:
    """States are compared by what they say."""
    assert same_state({"a": 1, "b": [1, {"x": None}]}, {"b": [1, {"x": None}], "a": 1})
    assert not same_state({"a": 1}, {"a": "1"})
    assert not same_state({}, None)


def test_events_survive_json() -> None:
    """Every event is read back from JSON as it was; anything else is refused."""
    events: list[Event] = [
        started(), *ALL_DONE, failed(A), Held(step=A, before={}, left={}, now={"x": None}), BACK, Awaiting(deadline=NOW),
        Confirmed(actor="x"), Interrupted(), Resumed(), RunEnded(outcome=Ending.HELD),
    ]  # fmt: skip
    assert [load_event(event.model_dump_json()) for event in events] == events
    with pytest.raises(ValidationError):
        load_event('{"kind": "finished", "step": "a", "direction": "sideways"}')


def test_rest_and_work() -> None:
    """A process should be at work in every phase but those at rest."""
    assert {phase for phase in RunPhase if not phase.unfinished} == {
        RunPhase.APPLIED, RunPhase.HELD, RunPhase.INCOMPLETE, RunPhase.UNDONE,
    }  # fmt: skip
