"""A rotation that goes on without balancers: who made a run go back, and where nobody may be left out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lbsync.errors import UnsafeChange
from lbsync.facts import TokenChecking
from lbsync.model import Action, Mode, Plan, Step, StepId
from lbsync.rotation.partial import culprits, refuse_unpublished, unpublished, without
from lbsync.run import Direction, Event, Failed, Intended, Run, RunStarted
from lbsync.testing.farm_facts import all_modes, balancer_facts, fact_set

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BALANCERS = ("lb1", "lb2")


def step(name: str, target: str) -> Step:
    """One that has an effect."""
    action = Action(target=target, verb="set")
    return Step(id=StepId(name), target=target, summary=name, do=action, undo=action)


STEPS = (step("a", "lb1"), step("b", "lb2"), step("c", "EX01"), step("d", "outside"))


def failed(name: str, where: str = "") -> list[Event]:
    """The events of a step that fails."""
    do = Direction.DO
    return [
        Intended(step=StepId(name), direction=do),
        Failed(step=StepId(name), direction=do, error="Rejected", reason=f"{name} said no", where=where),
    ]


def both(one: list[Event], other: list[Event]) -> list[Event]:
    """Two that were under way at once."""
    return [one[0], other[0], one[1], other[1]]


def run(*events: Event) -> Run:
    """A run in which this happened."""
    begun = RunStarted(run_id="r", plan=Plan(farm="f", basis="b", steps=STEPS), actor="me", host="h", started=NOW)
    return Run.replay([begun, *events])


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (failed("b"), {"lb2": "b said no"}),
        (failed("b", "https://bigip"), {"lb2": "b said no"}),
        (failed("d", "lb1"), {"lb1": "d said no"}),
        (failed("d", "outside"), {}),
        (failed("c", "EX01"), {}),
        (both(failed("b"), failed("a")), {"lb2": "b said no", "lb1": "a said no"}),
        (both(failed("b"), failed("c", "EX01")), {}),
        ([], {}),
    ],
)
def test_who_made_it_go_back(events: list[Event], expected: dict[str, str]) -> None:
    """A balancer by its own step, or by what was seen of it from outside; anybody else's failure is no reason to go on."""
    assert culprits(run(*events), BALANCERS) == expected


@pytest.mark.parametrize("code", ["spare", "member-up", "drained"])
def test_a_server_that_is_down_is_no_balancers_fault(code: str) -> None:
    """The balancer only answers about it."""
    begun, ended = failed("b")
    assert isinstance(ended, Failed)
    assert culprits(run(begun, ended.model_copy(update={"code": code})), BALANCERS) == {}


def test_the_others_are_what_is_left() -> None:
    """As long as one of them is published, and nobody holds clients to a certificate."""
    published = [balancer_facts(name, modes=all_modes(Mode.BRIDGE)) for name in BALANCERS]
    facts = fact_set(balancers=(*published, balancer_facts("lb3")))
    assert [seen.balancer for seen in without(facts, {"lb1"}).balancers] == ["lb2", "lb3"]
    with pytest.raises(UnsafeChange, match="no balancer is left to switch: lb1, lb2"):
        without(facts, {"lb2", "lb1"})
    first = facts.servers[0]
    vdirs = tuple(vdir.model_copy(update={"token_checking": TokenChecking.REQUIRE}) for vdir in first.vdirs)
    protected = facts.model_copy(update={"servers": (first.model_copy(update={"vdirs": vdirs}),)})
    with pytest.raises(UnsafeChange, match="Extended Protection"):
        without(protected, {"lb1"})


def test_a_balancer_that_publishes_nothing_is_never_passed_over_in_silence() -> None:
    """It may be stopped, with the old certificate on its disk."""
    facts = fact_set(balancers=(balancer_facts("lb1", modes=all_modes(Mode.BRIDGE)), balancer_facts("lb2")))
    assert list(unpublished(facts)) == ["lb2"]
    with pytest.raises(UnsafeChange, match="nothing of ours runs on lb2"):
        refuse_unpublished(facts)
    refuse_unpublished(without(facts, {"lb2"}))
