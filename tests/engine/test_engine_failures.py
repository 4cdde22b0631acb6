"""What goes wrong with targets turns the run back, and the way back never overwrites what it does not know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lbsync.engine import Retrying, problem
from lbsync.errors import (
    Denied,
    ForeignChange,
    LedgerError,
    Rejected,
    RollbackIncomplete,
    TargetError,
    Unreachable,
    VerifyFailed,
)
from lbsync.ledger import SecretRefused
from lbsync.model import Action, Check, CheckResult, Plan, Receipt, Step
from lbsync.run import Failed, Performed, RunPhase, StepPhase
from lbsync.testing.memory import MemoryJournal, MemoryTarget, NoMaterials
from lbsync.testing.rollout import RUN, World, change, gate, set_items, shows


def failing_at(step_id: str, world: World, error: Exception, times: int = 10**6, *, undo: bool = False) -> list[Action]:
    """Let a step's effect raise; the list of attempts."""
    step = next(step for step in world.plan.steps if step.id == step_id)
    wanted = step.undo if undo else step.do
    attempts: list[Action] = []

    def fail(action: Action) -> None:
        if action == wanted:
            attempts.append(action)
            if len(attempts) <= times:
                raise error

    world.targets[step.target].before_perform = fail
    return attempts


def foreign(world: World) -> None:
    """Somebody else changes what ``flags-EX01`` governs."""
    world.targets["EX01"].state["owa"] = "Ssl"


def applied() -> World:
    """A world with the rollout applied."""
    world = World()
    assert world.engine().apply(world.plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED
    return world


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


def test_a_foreign_change_holds_the_way_back() -> None:
    """What somebody else changed is shown with before, left and now, and not touched; nor is what came before it."""
    world = applied()
    foreign(world)
    run = world.engine().rollback(RUN, actor="test")
    assert run.phase is RunPhase.HELD
    held = run.holds[0]
    assert (held.step, held.before["owa"], held.left["owa"], held.now["owa"]) == ("flags-EX01", None, "None", "Ssl")
    assert world.targets["EX01"].state["owa"] == "Ssl"
    assert world.targets["EX02"].state["oab"] == "Ssl, Ssl128"
    assert world.targets["lb1"].state["file"] == "leaf.pem"
    found = problem(run, wanted=RunPhase.UNDONE)
    assert isinstance(found, ForeignChange)
    assert '"owa": "Ssl"' in found.state
    assert "--force" in found.remedy


def test_force_puts_back_what_was_before() -> None:
    """A held run is finished by force, the foreign change included."""
    world = World()
    before = world.states()
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    foreign(world)
    world.engine().rollback(RUN, actor="test")
    assert world.engine().rollback(RUN, actor="test", force=True).phase is RunPhase.UNDONE
    assert world.states() == before


def test_a_held_run_goes_on_once_the_change_is_gone() -> None:
    """When the foreign change was reverted, a plain rollback finishes."""
    world = applied()
    foreign(world)
    assert world.engine().rollback(RUN, actor="test").phase is RunPhase.HELD
    world.targets["EX01"].state["owa"] = "None"
    assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE


def test_what_is_as_before_already_is_left_alone() -> None:
    """A step somebody took back by hand is noted, not performed again."""
    world = applied()
    flags = next(step for step in world.plan.steps if step.id == "flags-EX01")
    world.targets["EX01"].state.update({"oab": "Ssl, Ssl128", "owa": None, "ews": None})
    run = world.engine().rollback(RUN, actor="test")
    assert run.phase is RunPhase.UNDONE
    assert flags.undo not in world.targets["EX01"].effects
    receipt = run.statuses[flags.id].undo_receipt
    assert receipt is not None
    assert "already" in receipt.summary


def test_an_unreachable_target_leaves_the_way_back_incomplete() -> None:
    """What does not depend on it is undone, what does is named with how it was before; later the rollback finishes."""
    world = World()
    before = world.states()
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    attempts = failing_at("flip-ews", world, Unreachable("down"), undo=True)
    run = world.engine().rollback(RUN, actor="test")
    assert (run.phase, len(attempts)) == (RunPhase.INCOMPLETE, 6)
    lb1 = world.targets["lb1"].state
    assert (lb1["owa"], lb1["ews"], lb1["oab"]) == ("bridge", "offload", "bridge")
    found = problem(run, wanted=RunPhase.UNDONE)
    assert isinstance(found, RollbackIncomplete)
    assert 'lb1: flip ews; before it was {"ews": "bridge"}' in found.state
    assert "down" in found.message
    world.targets["lb1"].before_perform = lambda _action: None
    assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE
    assert world.states() == before


def test_an_undo_that_does_not_restore_is_not_believed() -> None:
    """After each undo the target is read once more; a difference makes the way back incomplete, and it is tried again."""
    lying = change("one", "lb1", {"x": None}, {"x": 1}).model_copy(
        update={"undo": set_items("lb1", {"x": 3}), "undo_until": ()}
    )
    world = World(plan=Plan(farm="t", basis="b", steps=(lying,)))
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    for _ in range(2):
        run = world.engine().rollback(RUN, actor="test")
        assert run.phase is RunPhase.INCOMPLETE
        assert "not as it was before" in run.stuck[0].reason
    assert len(world.targets["lb1"].effects) == 3


def test_an_undo_whose_check_stays_closed_is_tried_again_later() -> None:
    """A server that is not healthy after its undo keeps the steps before it; once it is, the rollback finishes."""
    world = applied()

    def unhealthy(_check: Check) -> None:
        raise TargetError("503")

    world.targets["EX02"].before_check = unhealthy
    run = world.engine().rollback(RUN, actor="test")
    assert run.phase is RunPhase.INCOMPLETE
    assert world.targets["lb1"].state["member EX02"] == "drain"
    world.targets["EX02"].before_check = lambda _check: None
    assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE


def test_passive_steps_keep_their_place() -> None:
    """A gate between two steps has nothing to undo, and still no step is undone before what came after the gate."""
    world = applied()
    order: list[str] = []

    def watch(name: str) -> Callable[[Action], None]:
        return lambda action: order.append(f"{name} {action.args['items']}")

    for name, target in world.targets.items():
        target.before_perform = watch(name)
    world.engine().rollback(RUN, actor="test")
    assert order[0] == "lb1 {'oab': 'bridge'}"
    assert order[-2:] == ["lb1 {'listener': 'old'}", "lb1 {'file': None}"]


def test_a_step_with_only_a_check_on_the_way_back() -> None:
    """A gate for the way back alone is asked there, after what came later was undone."""
    waiting: Step = gate("settled", shows("lb1", {"x": 1}), ("one",)).model_copy(
        update={"undo_until": (shows("lb1", {"y": None}),)}
    )
    plan = Plan(farm="t", basis="b", steps=(
        change("one", "lb1", {"x": None}, {"x": 1}), waiting, change("two", "lb1", {"y": None}, {"y": 2}, ("settled",)),
    ))  # fmt: skip
    world = World(plan=plan)
    world.engine().apply(plan, actor="test", run_id=RUN)
    run = world.engine().rollback(RUN, actor="test")
    assert run.phase is RunPhase.UNDONE
    assert run.statuses[waiting.id].undo_results == (CheckResult(passed=True, detail="it shows {'y': None}"),)


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
