"""A stop ends a run between two steps; a run nobody confirms goes back by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lbsync.engine import Asked, Pacing, Recorded, Site, WaitingForConfirmation, confirm, drive, problem
from lbsync.errors import Interrupted, LedgerError
from lbsync.model import Action, Plan
from lbsync.run import Confirmed, Finished, Intended, RunPhase, StepPhase
from lbsync.testing.memory import FakeClock, Fuse, Killed, MemoryJournal, NoMaterials
from lbsync.testing.rollout import RUN, World, change, gate, shows


def stop_at(world: World, target: str, count: int = 1) -> None:
    """Set ``stop`` during the ``count``-th effect on a target."""
    seen: list[Action] = []

    def watch(action: Action) -> None:
        seen.append(action)
        if len(seen) == count:
            world.stop.set()

    world.targets[target].before_perform = watch


def restart(world: World) -> None:
    """What a new process starts with."""
    world.stop.clear()
    for target in world.targets.values():
        target.before_perform = lambda _action: None


@pytest.mark.parametrize("workers", [1, 4])
def test_a_stop_lets_the_step_under_way_end(workers: int) -> None:
    """No step is torn and none is begun after the stop; the run says where it stands, and resumes to the end."""
    world = World()
    stop_at(world, "EX01")
    run = world.engine(workers=workers).apply(world.plan, actor="test", run_id=RUN)
    assert run.interrupted
    assert run.phase is RunPhase.APPLYING
    assert {status.phase for status in run.statuses.values()} == {StepPhase.DONE, StepPhase.WAITING}
    found = problem(run)
    assert isinstance(found, Interrupted)
    assert found.state == "of 13 steps: 5 done, 8 waiting"
    assert f"lbsync resume {RUN}" in found.remedy
    restart(world)
    resumed = world.engine(workers=workers).resume(RUN, actor="test")
    assert (resumed.phase, resumed.interrupted) == (RunPhase.APPLIED, False)


def test_a_stopped_run_can_be_taken_back() -> None:
    """Rollback after a stop undoes what was done."""
    world = World()
    before = world.states()
    stop_at(world, "EX01")
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    restart(world)
    assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE
    assert world.states() == before


def test_a_stop_set_beforehand_touches_nothing() -> None:
    """A run started while stopping is interrupted before its first effect."""
    world = World()
    world.stop.set()
    run = world.engine().apply(world.plan, actor="test", run_id=RUN)
    assert run.interrupted
    assert run.touched_targets == frozenset()


def test_a_stop_on_the_way_back_stops_it_between_steps() -> None:
    """The way back stops like the way forward, and resume carries it on in the same direction."""
    world = World()
    before = world.states()
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    stop_at(world, "lb1", 2)
    run = world.engine().rollback(RUN, actor="test")
    assert run.interrupted
    assert run.phase is RunPhase.GOING_BACK
    found = problem(run, wanted=RunPhase.UNDONE)
    assert found is not None
    assert "on its way back" in found.message
    restart(world)
    assert world.engine().resume(RUN, actor="test").phase is RunPhase.UNDONE
    assert world.states() == before


def test_a_stop_does_not_wait_out_a_long_gate() -> None:
    """A step that only waits gets a grace, then the run is interrupted; resumed, it waits on where it was."""
    plan = Plan(farm="t", basis="b", steps=(
        change("one", "lb1", {"x": None}, {"x": 1}),
        gate("settled", shows("outside", {"y": 1}, deadline_s=900), ("one",)),
    ))  # fmt: skip
    world = World(plan=plan)
    clock = world.clock
    assert isinstance(clock, FakeClock)
    clock.on_wait = lambda _seconds: world.stop.set() if clock.elapsed > 20 else None
    run = world.engine(pacing=Pacing(stop_grace_s=10)).apply(plan, actor="test", run_id=RUN)
    assert run.interrupted
    assert run.statuses[plan.steps[1].id].phase is StepPhase.CHECKING
    assert 30 < clock.elapsed < 50
    clock.on_wait = lambda _seconds: None
    restart(world)
    world.targets["lb1"].state["y"] = 1
    assert world.engine().resume(RUN, actor="test").phase is RunPhase.APPLIED


def test_a_stop_within_the_grace_is_forgotten_when_it_is_taken_back() -> None:
    """A stop that is withdrawn before the grace is over leaves the run going."""
    plan = Plan(farm="t", basis="b", steps=(gate("settled", shows("outside", {"y": 1}, deadline_s=900)),))
    world = World(plan=plan)
    clock = world.clock
    assert isinstance(clock, FakeClock)

    def waver(_seconds: float) -> None:
        if 20 < clock.elapsed < 25:
            world.stop.set()
        if clock.elapsed > 30:
            world.stop.clear()
            world.targets["lb1"].state["y"] = 1

    clock.on_wait = waver
    assert world.engine().apply(plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED


def test_a_failure_and_a_stop_together_wait_for_the_operator() -> None:
    """A step that fails while the run is being stopped is not taken back before a resume says so."""
    world = World()
    before = world.states()

    def fail(_action: Action) -> None:
        world.stop.set()
        raise ZeroDivisionError

    world.targets["EX01"].before_perform = fail
    run = world.engine().apply(world.plan, actor="test", run_id=RUN)
    assert (run.phase, run.interrupted) == (RunPhase.FAILING, True)
    restart(world)
    assert world.engine().resume(RUN, actor="test").phase is RunPhase.UNDONE
    assert world.states() == before


def test_nobody_confirms_in_time() -> None:
    """An applied run that waits for a confirmation goes back at its deadline, and counts down until then."""
    world = World()
    before = world.states()
    run = world.engine().apply(world.plan, actor="test", run_id=RUN, confirm_within_s=600)
    assert run.phase is RunPhase.UNDONE
    assert world.states() == before
    left = [notice.left_s for notice in world.notices if isinstance(notice, WaitingForConfirmation)]
    assert left[0] == pytest.approx(600, abs=1)
    assert left == sorted(left, reverse=True)
    found = problem(run)
    assert found is not None
    assert "nobody confirmed" in found.message


def test_a_confirmed_run_stays() -> None:
    """A confirmation written while the run waits ends the wait."""
    world = World()
    clock = world.clock
    assert isinstance(clock, FakeClock)

    def say(_seconds: float) -> None:
        if world.journal.phase(RUN) is RunPhase.AWAITING and clock.elapsed > 100:
            confirm(world.journal, RUN, actor="other")

    clock.on_wait = say
    run = world.engine().apply(world.plan, actor="test", run_id=RUN, confirm_within_s=600)
    assert run.phase is RunPhase.APPLIED
    assert 100 < clock.elapsed < 102
    with pytest.raises(LedgerError, match="it does not wait"):
        confirm(world.journal, RUN, actor="other")


def test_a_confirmation_in_the_very_last_moment_counts() -> None:
    """When it is written between the last look and the decision to go back, the ledger lets only one of the two happen."""

    class LastMoment(MemoryJournal):
        def append(self, run_id: str, event: object, *, expect: RunPhase | None = None) -> RunPhase:
            if expect is RunPhase.AWAITING and not isinstance(event, Confirmed):
                confirm(self, run_id, actor="other")
            return super().append(run_id, event, expect=expect)  # type: ignore[arg-type]  # any event is passed on as it came

    world = World(journal=LastMoment())
    run = world.engine().apply(world.plan, actor="test", run_id=RUN, confirm_within_s=1)
    assert run.phase is RunPhase.APPLIED


def test_a_stop_while_waiting_for_a_confirmation_goes_back() -> None:
    """Ctrl-C says no; the way back is not stopped by the same stop."""
    world = World()
    before = world.states()
    clock = world.clock
    assert isinstance(clock, FakeClock)
    clock.on_wait = lambda _seconds: world.stop.set() if clock.elapsed > 50 and not went_back else None
    went_back: list[bool] = []

    def watch(notice: object) -> None:
        if isinstance(notice, Recorded) and notice.run.phase is RunPhase.GOING_BACK:
            went_back.append(True)

    run = world.engine(observer=watch).apply(world.plan, actor="test", run_id=RUN, confirm_within_s=600)
    assert (run.phase, world.states()) == (RunPhase.UNDONE, before)
    assert "stopped while it waited" in run.turned_back


def test_a_process_that_dies_waiting_goes_back_when_resumed_too_late() -> None:
    """The deadline is in the ledger: after it a resume goes back, before it a resume waits on."""
    world = World()
    before = world.states()
    clock = world.clock
    assert isinstance(clock, FakeClock)

    def die(notice: object) -> None:
        if isinstance(notice, WaitingForConfirmation):
            fuse.tick()

    fuse = Fuse(at=3)
    with pytest.raises(Killed):
        world.engine(observer=die).apply(world.plan, actor="test", run_id=RUN, confirm_within_s=600)
    assert world.journal.phase(RUN) is RunPhase.AWAITING
    late = FakeClock(clock.now() + timedelta(hours=1))
    world.clock = late
    assert world.engine().resume(RUN, actor="test").phase is RunPhase.UNDONE
    assert late.elapsed == 0
    assert world.states() == before


def test_the_observer_sees_every_event_and_every_question() -> None:
    """What is told is what the ledger holds, in its order, and unanswered checks besides."""
    world = World()
    assert isinstance(world.journal, MemoryJournal)
    world.targets["EX01"].before_check = lambda _check: None
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    told = [notice.event for notice in world.notices if isinstance(notice, Recorded)]
    assert tuple(told) == world.journal.events(RUN)[1:]
    assert sum(isinstance(event, Intended) for event in told) == len(world.plan.steps)
    assert sum(isinstance(event, Finished) for event in told) == len(world.plan.steps)
    assert not any(isinstance(notice, Asked) for notice in world.notices)


def test_a_stop_between_reading_and_intent_leaves_the_step_alone() -> None:
    """A step that had only been read when the stop came is not begun."""
    world = World()
    world.targets["EX01"].before_read = lambda _action: world.stop.set()
    run = world.engine().apply(world.plan, actor="test", run_id=RUN)
    assert run.interrupted
    assert world.targets["EX01"].effects == []
    assert run.statuses[world.plan.steps[4].id].phase is StepPhase.WAITING


def test_a_run_at_rest_is_driven_nowhere() -> None:
    """Driving a run that came to rest changes nothing and writes nothing."""
    world = World()
    run = world.engine().apply(world.plan, actor="test", run_id=RUN)
    assert isinstance(world.journal, MemoryJournal)
    written = len(world.journal.rows)
    site = Site(world.targets, NoMaterials())
    assert drive(run, site, world.journal) is run
    assert len(world.journal.rows) == written
