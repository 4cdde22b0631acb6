"""Killed before and after every effect, reading, check and ledger write, a run goes on or goes back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lbsync.engine import Engine
from lbsync.run import Direction, Run, RunPhase, StepPhase
from lbsync.testing.memory import Fuse, FusedLedger, Killed, MemoryJournal
from lbsync.testing.rollout import RUN, Items, States, World, set_items


def applied_states() -> tuple[States, States, int]:
    """The devices before and after the rollout, and how many points a process passes on the way."""
    world = World()
    before = world.states()
    fuse = world.wire(Fuse())
    assert world.engine().apply(world.plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED
    return before, world.states(), fuse.points


BEFORE, AFTER, POINTS = applied_states()
BACK_POINTS = 400
"""At least as many as a process passes on the way back; the tests below fail when it passes more."""


def kill_while_applying(world: World, at: int, workers: int = 1) -> None:
    """Start the rollout in a process that dies at a point."""
    world.wire(Fuse(at))
    with pytest.raises(Killed):
        world.engine(workers=workers).apply(world.plan, actor="test", run_id=RUN)
    world.wire(Fuse())


def never_started(world: World) -> bool:
    """True when the process died before the first event: nothing must have happened."""
    if world.journal.runs():
        return False
    assert world.states() == BEFORE
    return True


def resumed(engine: Engine, world: World) -> Run:
    """The run after a resume, where there is something to resume."""
    return engine.resume(RUN, actor="test") if world.journal.phase(RUN).unfinished else world.journal.run(RUN)


@pytest.mark.parametrize("at", range(1, POINTS + 1))
def test_a_run_killed_anywhere_resumes_to_the_end(at: int) -> None:
    """Whatever point the process died at, a new one brings every device to the applied state."""
    world = World()
    kill_while_applying(world, at)
    if not never_started(world):
        assert resumed(world.engine(), world).phase is RunPhase.APPLIED
        assert world.states() == AFTER


@pytest.mark.parametrize("at", range(1, POINTS + 1))
def test_a_run_killed_anywhere_is_taken_back(at: int) -> None:
    """Whatever point the process died at, a new one brings every device back to what it was."""
    world = World()
    kill_while_applying(world, at)
    if not never_started(world):
        assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE
        assert world.states() == BEFORE


@pytest.mark.parametrize("at", range(1, BACK_POINTS, 3))
@pytest.mark.parametrize("again", ["resume", "rollback"])
def test_a_way_back_killed_anywhere_is_finished(at: int, again: str) -> None:
    """A rollback that dies is carried on by resume and by another rollback alike."""
    world = World()
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    fuse = world.wire(Fuse(at))
    try:
        world.engine().rollback(RUN, actor="test")
    except Killed:
        world.wire(Fuse())
        if again == "resume" and world.journal.phase(RUN) is not RunPhase.APPLIED:
            resumed(world.engine(), world)
        else:
            world.engine().rollback(RUN, actor="test")
    assert fuse.points < BACK_POINTS
    assert world.journal.phase(RUN) is RunPhase.UNDONE
    assert world.states() == BEFORE


@pytest.mark.parametrize("at", range(2, POINTS, 7))
def test_a_run_that_fails_after_a_crash_goes_back(at: int) -> None:
    """A resumed run whose last gate never opens puts everything back, what the dead process did included."""
    world = World()
    kill_while_applying(world, at)
    if never_started(world) or world.journal.phase(RUN) is RunPhase.APPLIED:
        return
    passed = world.journal.run(RUN).statuses[world.plan.steps[-1].id].phase in {StepPhase.VERIFIED, StepPhase.DONE}
    without_offload: Items = {"listener": "new"}
    world.targets["outside"].state = without_offload
    run = world.engine().resume(RUN, actor="test")
    if passed:
        assert run.phase is RunPhase.APPLIED
        return
    assert run.phase is RunPhase.UNDONE
    assert [failed.error for failed in run.failures] == ["VerifyFailed"]
    world.targets["outside"].state = world.targets["lb1"].state
    assert world.states() == BEFORE


@pytest.mark.parametrize("seed", range(40))
def test_many_threads_killed_again_and_again(seed: int) -> None:
    """Four threads, several deaths at random points, forward and back: one more process always finishes the work."""
    dice = random.Random(seed)  # noqa: S311 - points to die at, not a secret
    world = World()
    kill_while_applying(world, dice.randint(20, POINTS), workers=4)
    back = dice.random() < 0.5
    for _ in range(dice.randint(0, 3)):
        world.wire(Fuse(dice.randint(1, POINTS // 2)))
        try:
            if back:
                world.engine(workers=4).rollback(RUN, actor="test")
            else:
                resumed(world.engine(workers=4), world)
        except Killed:
            continue
    world.wire(Fuse())
    run = world.engine(workers=4).rollback(RUN, actor="test") if back else resumed(world.engine(workers=4), world)
    assert run.phase is (RunPhase.UNDONE if back else RunPhase.APPLIED)
    assert world.states() == (BEFORE if back else AFTER)


@pytest.mark.parametrize("at", range(5, POINTS, 16))
def test_the_real_ledger_carries_a_killed_run(at: int, tmp_path: Path) -> None:
    """With SQLite instead of memory: the ledger a dead process left is opened by the next one, and its chain holds."""
    with FusedLedger(tmp_path / "ledger.db") as first:
        world = World(journal=first)
        kill_while_applying(world, at)
    with FusedLedger(tmp_path / "ledger.db") as second:
        world.journal = second
        if never_started(world):
            return
        assert resumed(world.engine(), world).phase is RunPhase.APPLIED
        assert world.states() == AFTER
        assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE
        assert world.states() == BEFORE
        assert second.verify_chain().events > len(world.plan.steps)


def test_no_effect_happens_without_its_intent_in_the_ledger() -> None:
    """At the moment of every effect, forward and back, the ledger already says that it is about to happen."""
    world = World()
    assert isinstance(world.journal, MemoryJournal)
    seen: list[Direction] = []

    def look(action: object) -> None:
        run = world.journal.run(RUN)
        doing = [step for step in run.plan.steps if run.statuses[step.id].phase is StepPhase.RUNNING]
        undoing = [step for step in run.plan.steps if run.statuses[step.id].phase is StepPhase.UNDOING]
        assert action in [step.do for step in doing] + [step.undo for step in undoing]
        seen.append(Direction.DO if doing else Direction.UNDO)

    for target in world.targets.values():
        target.before_perform = look
    engine = world.engine()
    engine.apply(world.plan, actor="test", run_id=RUN)
    engine.rollback(RUN, actor="test")
    assert (
        seen.count(Direction.DO) == seen.count(Direction.UNDO) == sum(step.do is not None for step in world.plan.steps)
    )


def test_a_torn_effect_keeps_the_first_before_image() -> None:
    """A flags step that died between two of its writes is undone to what was there before the first of them."""
    world = World()
    flags = next(step for step in world.plan.steps if step.id == "flags-EX01")

    def die(action: object) -> None:
        if action == flags.do:
            world.wire(Fuse(2))

    world.targets["EX01"].before_perform = die
    with pytest.raises(Killed):
        world.engine().apply(world.plan, actor="test", run_id=RUN)
    world.wire(Fuse())
    assert world.targets["EX01"].state == {"owa": "None", "oab": "Ssl, Ssl128", "rpc": "Ssl"}
    world.targets["EX01"].before_perform = lambda _action: None
    world.engine().resume(RUN, actor="test")
    assert world.journal.run(RUN).statuses[flags.id].before == {"owa": None, "ews": None, "oab": "Ssl, Ssl128"}
    assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE
    assert world.states() == BEFORE
    assert set_items("EX01", {"owa": None, "ews": None, "oab": "Ssl, Ssl128"}) in world.targets["EX01"].effects
