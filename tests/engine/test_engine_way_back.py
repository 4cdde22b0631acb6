"""The way back restores what it knows, stops at what it does not know, and can be tried again."""

from __future__ import annotations

from collections.abc import Callable

from lbsync.engine import problem
from lbsync.errors import ForeignChange, RollbackIncomplete, TargetError, Unreachable
from lbsync.model import Action, Check, CheckResult, Plan, Step
from lbsync.run import RunPhase
from lbsync.testing.rollout import RUN, World, change, gate, set_items, shows


def foreign(world: World) -> None:
    """Somebody else changes what ``flags-EX01`` governs."""
    world.targets["EX01"].state["owa"] = "Ssl"


def applied() -> World:
    """A world with the rollout applied."""
    world = World()
    assert world.engine().apply(world.plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED
    return world


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
    assert 'owa: before null, lbsync left "None", now "Ssl"' in found.state
    assert "taken back already: " in found.state
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
    flip = next(step for step in world.plan.steps if step.id == "flip-ews")
    attempts: list[Action] = []

    def down(action: Action) -> None:
        if action == flip.undo:
            attempts.append(action)
            raise Unreachable("down")

    world.targets["lb1"].before_perform = down
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
