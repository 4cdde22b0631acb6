"""What goes wrong with targets turns the run back, and the way back never overwrites what it does not know."""

from __future__ import annotations

import threading

import pytest

from lbsync.engine import Retrying, problem
from lbsync.errors import (
    Denied,
    LedgerError,
    Rejected,
    RollbackIncomplete,
    Unreachable,
    VerifyFailed,
)
from lbsync.ledger import SecretRefused
from lbsync.model import Action, Check, Plan, Receipt
from lbsync.run import Failed, Performed, RunPhase, StepPhase
from lbsync.testing.memory import MemoryJournal, MemoryTarget, NoMaterials
from lbsync.testing.rollout import RUN, World, change, gate, shows, wide


def failing_at(step_id: str, world: World, error: Exception, times: int = 10**6) -> list[Action]:
    """Let a step's effect raise; the list of attempts."""
    step = next(step for step in world.plan.steps if step.id == step_id)
    attempts: list[Action] = []

    def fail(action: Action) -> None:
        if action == step.do:
            attempts.append(action)
            if len(attempts) <= times:
                raise error

    world.targets[step.target].before_perform = fail
    return attempts


@pytest.mark.parametrize("step_id", ["install", "flags-EX02", "flip-oab"])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_step_that_fails_turns_the_run_back(step_id: str, workers: int) -> None:
    """A rejected effect is not repeated; everything is as before and the error names the target."""
    world = World()
    before = world.states()
    attempts = failing_at(step_id, world, Rejected("no", where="device", remedy="ask it why", code="E17"))
    run = world.engine(workers=workers).apply(world.plan, actor="test", run_id=RUN)
    assert (run.phase, len(attempts)) == (RunPhase.UNDONE, 1)
    assert world.states() == before
    found = problem(run)
    assert isinstance(found, Rejected)
    assert (found.where, found.code, found.remedy) == ("device", "E17", "ask it why")
    assert "as it was before" in found.state


def test_an_unreachable_target_is_tried_again() -> None:
    """Two dropped connections cost two retries, told to the observer, and no rollback."""
    world = World()
    attempts = failing_at("flags-EX01", world, Unreachable("dropped"), times=2)
    assert world.engine().apply(world.plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED
    assert len(attempts) == 3
    assert [notice.in_s for notice in world.notices if isinstance(notice, Retrying)] == [0.5, 1.0]


def test_a_target_that_stays_unreachable_fails_its_step() -> None:
    """After three attempts the run goes back."""
    world = World()
    before = world.states()
    attempts = failing_at("flags-EX01", world, Unreachable("dropped"))
    assert world.engine().apply(world.plan, actor="test", run_id=RUN).phase is RunPhase.UNDONE
    assert len(attempts) == 3
    assert world.states() == before


def test_a_step_that_could_not_be_read_was_never_begun() -> None:
    """A target unreachable before the intent leaves nothing to undo there, so that the way back does not need it."""
    world = World()
    before = world.states()

    def gone(_action: Action) -> None:
        raise Unreachable("down")

    world.targets["EX01"].before_read = gone
    run = world.engine().apply(world.plan, actor="test", run_id=RUN)
    flags = next(step.id for step in world.plan.steps if step.id == "flags-EX01")
    assert (run.phase, run.statuses[flags].phase) == (RunPhase.UNDONE, StepPhase.BALKED)
    assert world.states() == before


def test_an_effect_whose_result_cannot_be_read_is_undone() -> None:
    """The effect happened and then the target went silent for a while: what it left is unknown, so its undo is performed."""
    world = World()
    before = world.states()
    reads: list[Action] = []

    def sometimes(action: Action) -> None:
        reads.append(action)
        if 2 <= len(reads) <= 4:
            raise Unreachable("silent")

    world.targets["EX01"].before_read = sometimes
    run = world.engine().apply(world.plan, actor="test", run_id=RUN)
    assert run.phase is RunPhase.UNDONE
    assert world.states() == before
    assert len(world.targets["EX01"].effects) == 2


def test_a_check_that_never_comes_true_turns_the_run_back() -> None:
    """A closed gate is asked until its deadline, with growing pauses, and the last answer is told."""
    world = World(plan=Plan(farm="t", basis="b", steps=(
        change("one", "lb1", {"x": None}, {"x": 1}),
        gate("closed", shows("outside", {"x": 2}, deadline_s=30), ("one",)),
    )))  # fmt: skip
    before = world.states()
    run = world.engine().apply(world.plan, actor="test", run_id=RUN)
    assert run.phase is RunPhase.UNDONE
    assert world.states() == before
    found = problem(run)
    assert isinstance(found, VerifyFailed)
    assert "it shows {'x': 1}" in found.message
    assert 5 < len(world.notices) < 40


def test_a_check_that_cannot_be_asked_is_not_true_yet() -> None:
    """Unreachable while checking is an answer like any other; it may come true before the deadline."""
    world = World()
    asked: list[Check] = []

    def first_in_vain(check: Check) -> None:
        asked.append(check)
        if len(asked) <= 3:
            raise Unreachable("restarting")

    world.targets["EX01"].before_check = first_in_vain
    assert world.engine().apply(world.plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED
    assert len(asked) == 4


def test_a_refused_login_is_never_repeated() -> None:
    """Denied while checking fails the step at once; denied on the way back too, it stops before a second target is asked."""
    world = World()
    denied: list[str] = []

    def deny(question: object) -> None:
        denied.append(str(question))
        raise Denied("wrong password")

    world.targets["EX02"].before_check = deny

    def lock(question: Action) -> None:
        if denied:
            deny(question)

    for target in world.targets.values():
        target.before_read = lock
    run = world.engine(workers=4).apply(world.plan, actor="test", run_id=RUN)
    assert run.phase is RunPhase.INCOMPLETE
    assert len(denied) == 2
    found = problem(run)
    assert isinstance(found, RollbackIncomplete)
    assert "flags EX01" in found.state


def test_after_a_refused_login_the_way_back_feels_its_way() -> None:
    """Many steps could be undone at once; after a refusal forward one is tried, and its refusal ends the way back."""
    world = World(plan=wide(6))
    denied: list[str] = []
    refusing = threading.Event()

    def deny(question: Check | Action) -> None:
        if refusing.is_set():
            denied.append(question.target)
            raise Denied("wrong password")

    def refuse_from_now_on(check: Check) -> None:
        refusing.set()
        deny(check)

    for target in world.targets.values():
        target.before_read = deny
    world.targets["S5"].before_check = refuse_from_now_on
    run = world.engine(workers=1).apply(world.plan, actor="test", run_id=RUN)
    assert run.phase is RunPhase.INCOMPLETE
    assert len(denied) == 2
    denied.clear()
    assert world.engine(workers=6).rollback(RUN, actor="test").phase is RunPhase.INCOMPLETE
    assert len(denied) == 1
    refusing.clear()
    world.targets["S5"].before_check = lambda _check: None
    assert world.engine(workers=6).rollback(RUN, actor="test").phase is RunPhase.UNDONE


def test_a_bug_in_a_provider_fails_its_step_only() -> None:
    """An unknown error is recorded by class and place, never by its text, and the run goes back."""
    world = World()
    before = world.states()
    failing_at("flip-ews", world, ZeroDivisionError("hunter2"))
    run = world.engine().apply(world.plan, actor="test", run_id=RUN)
    assert (run.phase, run.failures[0].code) == (RunPhase.UNDONE, "bug")
    assert "ZeroDivisionError" in run.failures[0].reason
    assert isinstance(world.journal, MemoryJournal)
    assert "hunter2" not in str(world.journal.rows)
    assert world.states() == before


class StrictJournal(MemoryJournal):
    """Refuses events with a word in them, as the real ledger refuses keys."""

    def append(self, run_id: str, event: object, *, expect: RunPhase | None = None) -> RunPhase:
        """Refuse, or keep."""
        if isinstance(event, Performed | Failed) and "hunter2" in event.model_dump_json():
            raise SecretRefused("a secret")
        return super().append(run_id, event, expect=expect)  # type: ignore[arg-type]  # narrowed by the journal's own contract


@pytest.mark.parametrize("where", ["receipt", "error"])
def test_a_secret_in_an_answer_fails_the_step(where: str) -> None:
    """A provider that answers with a secret has its step failed and undone; the secret is not recorded."""

    class Chatty(MemoryTarget):
        def perform(self, action: Action, materials: object) -> Receipt:
            done = super().perform(action, NoMaterials())
            if action.args == {"items": {"x": 1}}:
                if where == "error":
                    raise Rejected("hunter2 is not allowed")
                return Receipt(summary="used hunter2")
            return done

    plan = Plan(farm="t", basis="b", steps=(change("one", "chatty", {"x": None}, {"x": 1}),))
    world = World(plan=plan, journal=StrictJournal(), targets={"chatty": Chatty("chatty", {})})
    run = world.engine().apply(plan, actor="test", run_id=RUN)
    assert (run.phase, run.failures[0].code) == (RunPhase.UNDONE, "secret")
    assert world.targets["chatty"].state == {}


def test_a_ledger_that_fails_stops_everything() -> None:
    """When an event cannot be written no further effect happens; with the ledger back, the run goes on."""

    class Full(MemoryJournal):
        full = False

        def append(self, run_id: str, event: object, *, expect: RunPhase | None = None) -> RunPhase:
            if self.full:
                raise LedgerError("no room", code="full")
            return super().append(run_id, event, expect=expect)  # type: ignore[arg-type]  # as above

    journal = Full()
    world = World(journal=journal)

    def fill(_action: Action) -> None:
        journal.full = True

    world.targets["EX01"].before_perform = fill
    with pytest.raises(LedgerError, match="no room"):
        world.engine(workers=4).apply(world.plan, actor="test", run_id=RUN)
    assert world.targets["EX02"].effects == []
    assert len(world.targets["EX01"].effects) == 1
    journal.full = False
    world.targets["EX01"].before_perform = lambda _action: None
    assert world.engine().resume(RUN, actor="test").phase is RunPhase.APPLIED


def test_a_broken_display_does_not_tear_the_run() -> None:
    """An observer that raises is not called again, and the run is applied."""
    world = World()
    told: list[object] = []

    def broken(notice: object) -> None:
        told.append(notice)
        raise BrokenPipeError

    assert world.engine(observer=broken).apply(world.plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED
    assert len(told) == 1
