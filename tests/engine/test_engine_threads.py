"""Several steps at once, never two effects at once on one target."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from lbsync.engine import Notice, Pacing, Recorded, SystemClock, driver
from lbsync.model import Action, Check, Plan
from lbsync.run import Failed, Held, RunPhase, StepPhase
from lbsync.testing.rollout import RUN, Items, World, change, gate, shows, wide

TOGETHER_S = 20.0
"""How long threads that ought to meet wait for each other; a test that passes never waits."""


def test_steps_of_different_targets_run_at_once() -> None:
    """Four workers are inside four effects at the same moment."""
    world = World(plan=wide(4))
    meeting = threading.Barrier(4)

    def meet(_action: Action) -> None:
        meeting.wait(TOGETHER_S)

    for target in world.targets.values():
        target.before_perform = meet
    assert world.engine(workers=4).apply(world.plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED
    assert not meeting.broken


@pytest.mark.parametrize("workers", [1, 3])
def test_never_more_steps_than_workers(workers: int) -> None:
    """With many steps ready, no more than ``workers`` are under way."""
    world = World(plan=wide(12))
    lock = threading.Lock()
    inside = 0
    most = 0

    def enter(_action: Action) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)

    def leave(_check: Check) -> None:
        nonlocal inside
        with lock:
            inside -= 1

    for target in world.targets.values():
        target.before_perform = enter
        target.before_check = leave
    assert world.engine(workers=workers).apply(world.plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED
    assert most <= workers


def test_one_effect_at_a_time_per_target() -> None:
    """Eight independent steps on one target and eight workers: an effect ends before the next begins, forward and back."""
    items: list[Items] = [{f"k{number}": number} for number in range(8)]
    steps = tuple(change(f"s{number}", "lb1", {f"k{number}": None}, item) for number, item in enumerate(items))
    world = World(plan=Plan(farm="t", basis="b", steps=steps))
    before = world.states()
    inside = threading.Lock()
    overlaps = Counter[bool]()

    def enter(_action: Action) -> None:
        free = inside.acquire(blocking=False)
        overlaps[free] += 1
        if free:
            threading.Event().wait(0.001)
            inside.release()

    world.targets["lb1"].before_perform = enter
    engine = world.engine(workers=8)
    assert engine.apply(world.plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED
    assert engine.rollback(RUN, actor="test").phase is RunPhase.UNDONE
    assert overlaps == {True: 16}
    assert world.states() == before


def test_a_step_that_waits_for_its_check_does_not_keep_its_target() -> None:
    """While one server drains, another one's drain begins on the same balancer."""
    plan = Plan(farm="t", basis="b", steps=(
        change("first", "lb1", {"a": None}, {"a": 1}), change("second", "lb1", {"b": None}, {"b": 1}),
    ))  # fmt: skip
    world = World(plan=plan, clock=SystemClock())
    second_began = threading.Event()

    def effect(action: Action) -> None:
        if action == plan.steps[1].do:
            second_began.set()

    def check(question: Check) -> None:
        if question == plan.steps[0].until[0]:
            assert second_began.wait(TOGETHER_S)

    world.targets["lb1"].before_perform = effect
    world.targets["lb1"].before_check = check
    run = world.engine(workers=2, pacing=Pacing(poll_first_s=0.001)).apply(plan, actor="test", run_id=RUN)
    assert run.phase is RunPhase.APPLIED


def test_a_failure_ends_the_waits_of_the_others() -> None:
    """A gate that would be asked again in ten minutes is given up as soon as another step fails; everything is undone."""
    plan = Plan(farm="t", basis="b", steps=(
        gate("waits", shows("S1", {"never": 1}, deadline_s=3600)), change("fails", "S2", {"b": None}, {"b": 1}),
    ))  # fmt: skip
    world = World(plan=plan, clock=SystemClock())
    before = world.states()
    waiting = threading.Event()

    def fail(action: Action) -> None:
        assert waiting.wait(TOGETHER_S)
        if action == plan.steps[1].do:
            raise ZeroDivisionError

    world.targets["S1"].before_check = lambda _check: waiting.set()
    world.targets["S2"].before_perform = fail
    run = world.engine(workers=2, pacing=Pacing(poll_first_s=600)).apply(plan, actor="test", run_id=RUN)
    assert run.phase is RunPhase.UNDONE
    assert world.states() == before


def test_the_rollout_with_many_workers_ends_like_with_one() -> None:
    """The order of the plan holds, whatever the number of threads: same devices in the end, forward and back."""
    worlds = [World(), World()]
    before = worlds[0].states()
    for world, workers in zip(worlds, (1, 8), strict=True):
        world.engine(workers=workers).apply(world.plan, actor="test", run_id=RUN)
    assert worlds[0].states() == worlds[1].states() != before
    for world, workers in zip(worlds, (1, 8), strict=True):
        assert world.engine(workers=workers).rollback(RUN, actor="test").phase is RunPhase.UNDONE
        assert world.states() == before


def test_a_step_that_only_read_when_another_failed_is_never_begun() -> None:
    """Between a step's reading and its intent another step fails: the intent is not written and the effect never happens."""
    plan = wide(2)
    world = World(plan=plan)
    failed = threading.Event()
    reading = threading.Event()

    def told(notice: Notice) -> None:
        if isinstance(notice, Recorded) and isinstance(notice.event, Failed):
            failed.set()

    def fail(action: Action) -> None:
        assert reading.wait(TOGETHER_S)
        if action == plan.steps[0].do:
            raise ZeroDivisionError

    def linger(_action: Action) -> None:
        reading.set()
        assert failed.wait(TOGETHER_S)

    world.targets["S0"].before_perform = fail
    world.targets["S1"].before_read = linger
    run = world.engine(workers=2, observer=told).apply(plan, actor="test", run_id=RUN)
    assert run.phase is RunPhase.UNDONE
    assert world.targets["S1"].effects == []
    assert run.looks()[plan.steps[1].id] == "skipped"


def test_a_target_is_never_taken_by_a_step_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the driver lets others look, taken targets belong to steps under way: else a way back is given up unbegun."""
    drivers: list[driver._Driver] = []  # pyright: ignore[reportPrivateUsage]
    ended_yet_busy: list[str] = []

    class Watched(driver._Driver):  # pyright: ignore[reportPrivateUsage]
        def __init__(self, *args: object, **others: object) -> None:
            super().__init__(*args, **others)  # type: ignore[arg-type]
            self._changed = Watching()
            drivers.append(self)

    class Watching(threading.Condition):
        def __exit__(self, *raised: object) -> None:
            for one in drivers:
                ended_yet_busy.extend(set(one._busy.values()) - one._under_way)  # pyright: ignore[reportPrivateUsage]
            super().__exit__(*raised)  # type: ignore[arg-type]

    monkeypatch.setattr(driver, "_Driver", Watched)
    plan = wide(2)
    world = World(plan=plan)

    def fail(action: Action) -> None:
        if action == plan.steps[0].do:
            raise ZeroDivisionError

    world.targets["S0"].before_perform = fail
    assert world.engine(workers=2).apply(plan, actor="test", run_id=RUN).phase is RunPhase.UNDONE
    assert len(drivers) == 1
    assert ended_yet_busy == []


@pytest.mark.parametrize("value", [1, None])
def test_a_foreign_change_stops_undos_that_have_only_read(value: int | None) -> None:
    """While one step is found changed, another one that was read already is not undone any more, nor noted as undone."""
    plan = wide(2)
    world = World(plan=plan)
    assert world.engine().apply(plan, actor="test", run_id=RUN).phase is RunPhase.APPLIED
    world.targets["S0"].state["x"] = "foreign"
    world.targets["S1"].state["x"] = value
    held = threading.Event()
    reading = threading.Event()

    def told(notice: Notice) -> None:
        if isinstance(notice, Recorded) and isinstance(notice.event, Held):
            held.set()

    def wait_for_the_other(_action: Action) -> None:
        assert reading.wait(TOGETHER_S)

    def linger(_action: Action) -> None:
        reading.set()
        assert held.wait(TOGETHER_S)

    world.targets["S0"].before_read = wait_for_the_other
    world.targets["S1"].before_read = linger
    done = len(world.targets["S1"].effects)
    run = world.engine(workers=2, observer=told).rollback(RUN, actor="test")
    assert run.phase is RunPhase.HELD
    assert len(world.targets["S1"].effects) == done
    assert world.targets["S1"].state["x"] == value
    assert run.statuses[plan.steps[1].id].phase is StepPhase.DONE


def looks(*balancers: str, deadline_s: float = 60.0) -> Plan:
    """One gate that asks twice from outside about each balancer."""
    checks = [
        shows("outside", {"untouched": 1}, deadline_s).model_copy(
            update={"args": {"items": {"untouched": 1}, "balancer": name}}
        )
        for name in balancers
        for _ in range(2)
    ]
    step = gate("probe", checks[0]).model_copy(update={"until": tuple(checks)})
    return Plan(farm="test", basis="basis", steps=(step,))


def test_a_gate_asks_different_places_at_once_and_one_place_in_turn() -> None:
    """Two balancers are looked at at the same moment, and neither twice at once; the answers keep their order."""
    world = World(plan=looks("lb1", "lb2"))
    meeting = threading.Barrier(2)
    asked: list[str] = []

    def meet(check: Check) -> None:
        meeting.wait(TOGETHER_S)
        asked.append(str(check.args["balancer"]))

    world.targets["outside"].before_check = meet
    run = world.engine(workers=1).apply(world.plan, actor="test", run_id=RUN)
    assert run.phase is RunPhase.APPLIED
    assert [Counter(asked[:2]), Counter(asked[2:])] == [Counter(["lb1", "lb2"])] * 2
    assert len(run.statuses[world.plan.steps[0].id].results) == 4


def test_one_place_that_fails_ends_the_wait_for_the_others_and_is_named() -> None:
    """The second balancer never comes: the gate fails with its name, and nobody is asked for ever."""
    plan = looks("lb1", "lb2", deadline_s=30.0)
    (step,) = plan.steps
    hopeless = step.until[2].model_copy(update={"args": {"items": {"untouched": 2}, "balancer": "lb2"}})
    slow = step.until[0].model_copy(update={"args": {"items": {"untouched": 3}, "balancer": "lb1"}, "deadline_s": 1e9})
    world = World(plan=plan.model_copy(update={"steps": (step.model_copy(update={"until": (slow, hopeless)}),)}))
    run = world.engine(workers=1).apply(world.plan, actor="test", run_id=RUN)
    assert run.phase is RunPhase.UNDONE
    (failed,) = run.failures
    assert (failed.error, failed.where) == ("VerifyFailed", "lb2")
