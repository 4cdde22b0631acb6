"""What the service decides without touching anything: when to look, what to propose, what to carry on, which words to say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from lbsync.errors import ConfigError, LbsyncError
from lbsync.model import Mode, Plan, Step, StepId
from lbsync.run import RunPhase
from lbsync.service import lights, namespaces, overview, proposals, schedule
from lbsync.service.children import Ended, environment, read
from lbsync.service.commands import command
from lbsync.service.going_on import to_resume, wait_s
from lbsync.service.port import Gone, NotYours
from lbsync.service.schedule import Turn
from lbsync.service.supervisor import Supervisor
from lbsync.service.values import (
    TOKEN_USER,
    CertificateState,
    JobKind,
    Kind,
    Lamp,
    Level,
    ListenerState,
    NamespaceState,
    Options,
    Proposal,
    Role,
    RunState,
    Who,
)
from lbsync.services import Service
from lbsync.testing.farm_facts import leaf_info
from lbsync.watch.outlook import Outlook
from lbsync.watch.overview import Overview

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ANNA, BEA = (Who(name=name, role=Role.APPROVER, via="web") for name in ("anna", "bea"))
NEW = leaf_info(2)
BASIS = "ab" * 32


def test_first_looks_are_spread_and_known_ones_keep_their_place() -> None:
    """Two hundred namespaces do not begin two hundred processes; after a restart nobody is asked twice within a period."""
    fresh = [schedule.first(index, 200, 100.0, 3600.0, None).next_s - 100 for index in range(200)]
    assert fresh == [3.0 * index for index in range(200)]
    known = [schedule.first(index, 200, 0.0, 3600.0, 1800.0).next_s for index in range(200)]
    assert (known[0], known[50], known[199]) == (0.0, 900.0, 1800.0)
    for strange in (7200.0, -60.0):  # long ago, or the clock was put back
        assert schedule.first(2, 4, 0.0, 3600.0, strange).next_s == 6.0


def test_looks_come_at_their_place_of_each_period() -> None:
    """Whatever the first ones took: spread over the period, and never twice within half of one."""
    turns = [schedule.first(index, 4, 0.0, 400.0, None) for index in range(4)]
    after = [schedule.looked(turn, 20.0, 400.0, jitter_s=0, due=None, chance=0.5).next_s for turn in turns]
    assert after == [400.0, 500.0, 600.0, 300.0]
    later = schedule.looked(turns[1], 505.0, 400.0, jitter_s=30, due=None, chance=1.0)
    assert later.next_s == 900.0 + 30


def test_a_failed_look_is_tried_soon_and_ever_later() -> None:
    """At most after a period; a refused log-on waits for a person."""
    turn = schedule.first(0, 1, 0.0, 3600.0, None)
    waits: list[float] = []
    for _ in range(8):
        turn = schedule.failed(turn, 0.0, 3600.0, 0.5, halt=False)
        waits.append(turn.next_s)
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    halted = schedule.failed(turn, 0.0, 3600.0, 0.5, halt=True)
    assert not schedule.is_due(halted, 1e9, NOW, None)
    assert schedule.shown(halted, 0.0, NOW) is None


@pytest.mark.parametrize(
    ("now_s", "wall", "began", "expected"),
    [
        (99.0, NOW, None, False),
        (100.0, NOW, NOW, True),
        (50.0, NOW + timedelta(hours=2), NOW, True),  # its window opened, or the clock was put forward
        (50.0, NOW + timedelta(hours=2), NOW + timedelta(hours=1, minutes=30), False),  # and was looked at since
        (50.0, NOW - timedelta(days=400), NOW, False),  # put back: the clock that never jumps counts
        (100.0, NOW - timedelta(days=400), NOW, True),
    ],
)
def test_clocks_that_jump_make_it_look_neither_too_often_nor_never(
    now_s: float, wall: datetime, began: datetime | None, *, expected: bool
) -> None:
    """A period is kept by a clock that never jumps; the calendar only says that a moment came."""
    turn = Turn(place=0, origin_s=0, next_s=100.0, due=NOW + timedelta(hours=1))
    assert schedule.is_due(turn, now_s, wall, began) is expected


def test_the_next_look_is_shown_by_the_calendar() -> None:
    """The sooner of its turn and of what is due."""
    turn = Turn(place=0, origin_s=0, next_s=160.0, due=NOW + timedelta(seconds=30))
    assert schedule.shown(turn, 100.0, NOW) == NOW + timedelta(seconds=30)
    assert schedule.shown(turn, 100.0, NOW + timedelta(hours=1)) == NOW + timedelta(hours=1, seconds=60)


def watched(leaf: bool = True, at: datetime = NOW, **changes: object) -> overview.Watched:
    """What a look printed."""
    ahead = Outlook(leaf=NEW, at=at, why="nothing speaks against it") if leaf else Outlook(why="nothing")
    made = overview.Watched(
        at=NOW, level=Level.OK, items=(), next=Outlook(why="[watch] rotate = false"), ahead=ahead,
        watch=overview.Rates(), overview=Overview(farm="contoso"),
    )  # fmt: skip
    return made.model_copy(update=changes)


def test_a_look_is_shown_and_a_failed_one_keeps_what_was_known() -> None:
    """Old news with its age is worth more than none."""
    state = overview.looked(NamespaceState(name="a", error="before", failures=2), watched(), approve=True)
    assert (state.farm, state.level, state.looked_at, state.error) == ("contoso", Level.OK, NOW, "")
    assert state.next_text.endswith("nothing speaks against it; it waits for an approver")
    windowed = overview.looked(state, watched(at=NOW + timedelta(hours=1)), approve=True)
    assert windowed.next_text.endswith("who need not wait for the window")
    assert overview.looked(state, watched(), approve=False).next_text == "[watch] rotate = false"
    assert overview.next_text(watched().ahead, NOW, approve=False).startswith("rotate to ")
    lost = overview.failed(state, {"message": "no answer", "where": "EX01", "remedy": "wait"}, 3)
    assert (lost.level, lost.error) == (Level.UNKNOWN, "EX01: no answer. What to do: wait")
    assert (lost.farm, lost.looked_at, lost.failures) == ("contoso", NOW, 3)
    with pytest.raises(LbsyncError, match="cannot be read"):
        overview.read({"at": "never"})
    kept = overview.read({**watched().model_dump(mode="json"), "more": 1})
    assert kept == watched()


def test_drift_is_counted_and_listed() -> None:
    """An answer without a list says nothing new."""
    found = overview.drifted(
        NamespaceState(name="a"), {"differences": [{"target": "EX01", "subject": "owa", "text": "x"}, 1]}
    )
    assert found.drift is not None
    assert (found.drift.count, found.drift.lines) == (1, ("EX01 owa x",))
    assert overview.drifted(found, {"error": "no"}) == found


def plan(*ids: str) -> dict[str, JsonValue]:
    """A plan as a command prints it."""
    steps = tuple(Step(id=StepId(name), target="lb1", summary=name) for name in ids)
    return {**Plan(farm="contoso", basis=BASIS, steps=steps).model_dump(mode="json"), "identity": "x"}


def proposal(who: Who = ANNA, *, four_eyes: bool = False, options: Options | None = None) -> Proposal:
    """One of two steps."""
    made = proposals.made(
        plan("a", "b"), proposal_id="p1", namespace="ns", kind="rotate", options=options or Options(), who=who, now=NOW,
        lasts=timedelta(days=1), four_eyes=four_eyes,
    )  # fmt: skip
    assert made is not None
    return made


def test_a_proposal_is_a_plan_with_its_basis() -> None:
    """A plan without steps is none, and what is no plan is told."""
    found = proposal()
    assert (found.basis, found.steps, found.asked_by, found.needs) == (BASIS, 2, "anna", 1)
    assert found.summary.endswith("2 steps (lb1 2)")
    rest: dict[str, Any] = {
        "proposal_id": "p", "namespace": "ns", "kind": "apply", "options": Options(), "who": ANNA, "now": NOW,
        "lasts": timedelta(1), "four_eyes": False,
    }  # fmt: skip
    assert proposals.made(plan(), **rest) is None
    with pytest.raises(LbsyncError, match="cannot be read"):
        proposals.made({"farm": 1}, **rest)


def test_four_eyes_ask_for_somebody_else() -> None:
    """Who asked cannot approve, nor anybody twice; what the schedule asks for takes two."""
    assert proposals.enough(proposals.approved(proposal(), ANNA, NOW, four_eyes=False))
    asked = proposal(four_eyes=True)
    with pytest.raises(NotYours, match="four eyes"):
        proposals.approved(asked, Who(name="Anna", role=Role.APPROVER, via="api"), NOW, four_eyes=True)
    assert proposals.asked(proposals.approved(asked, BEA, NOW, four_eyes=True)) == "approved by bea, asked by anna"
    due = proposal(proposals.SCHEDULE, four_eyes=True)
    once = proposals.approved(due, ANNA, NOW, four_eyes=True)
    assert not proposals.enough(once)
    with pytest.raises(NotYours):
        proposals.approved(once, ANNA, NOW, four_eyes=True)
    twice = proposals.approved(once, BEA, NOW, four_eyes=True)
    assert proposals.asked(twice) == "approved by anna and bea, asked by schedule"
    with pytest.raises(Gone, match="carried out"):
        proposals.approved(twice, BEA, NOW, four_eyes=False)
    with pytest.raises(Gone, match="in time"):
        proposals.approved(due, ANNA, NOW + timedelta(days=2), four_eyes=False)


def test_four_eyes_know_a_person_by_more_than_the_name() -> None:
    """A name that was changed meanwhile makes nobody somebody else; two of one name are two where the provider says so."""
    anna, renamed, other, by_name = (
        Who(name=name, role=Role.APPROVER, via="web", subject=subject)
        for name, subject in (("anna", "s-1"), ("zoe", "s-1"), ("anna", "s-2"), ("Anna", ""))
    )
    asked = proposal(anna, four_eyes=True)
    for same in (renamed, by_name):
        with pytest.raises(NotYours):
            proposals.approved(asked, same, NOW, four_eyes=True)
    assert proposals.asked(proposals.approved(asked, other, NOW, four_eyes=True)) == "approved by anna, asked by anna"
    once = proposals.approved(proposal(proposals.SCHEDULE, four_eyes=True), BEA, NOW, four_eyes=True)
    once = once.model_copy(update={"needs": 3})
    twice = proposals.approved(once, anna, NOW, four_eyes=True)
    assert (twice.approvals, twice.approvers) == (("bea", "anna"), ("", "s-1"))
    for same in (BEA, renamed):
        assert proposals.approved_by(twice, same)
        with pytest.raises(NotYours):
            proposals.approved(twice, same, NOW, four_eyes=True)
    taken_back = twice.model_copy(update={"approvals": ()})
    again = proposals.approved(taken_back, renamed, NOW, four_eyes=True)
    assert (again.approvals, again.approvers) == (("zoe",), ("s-1",))


def test_the_generated_token_is_no_pair_of_eyes() -> None:
    """Who has it may be who asked: it approves nothing, and what it asked for takes two."""
    token = Who(name=TOKEN_USER, role=Role.APPROVER, via="web")
    with pytest.raises(NotYours, match="nobody's name"):
        proposals.approved(proposal(four_eyes=True), token, NOW, four_eyes=True)
    asked = proposals.approved(proposal(token, four_eyes=True), ANNA, NOW, four_eyes=True)
    assert not proposals.enough(asked)
    assert proposals.enough(proposals.approved(proposal(token), token, NOW, four_eyes=False))


def test_what_is_due_is_proposed_once() -> None:
    """Not while one is proposed, not what a person declined; and it is over once it is no longer due."""
    assert proposals.due(watched(), (), ()) == NEW.thumbprint
    assert proposals.due(watched(leaf=False), (), ()) is None
    assert proposals.due(watched(), (), (NEW.thumbprint,)) is None
    made = proposal(proposals.SCHEDULE, options=Options(thumbprint=NEW.thumbprint))
    assert proposals.due(watched(), (made,), ()) is None
    by_hand = proposal()
    begun = made.model_copy(update={"approvals": ("anna",)})
    assert not proposals.over((made, by_hand, begun), watched(), NOW)
    assert list(proposals.over((made, by_hand), watched(leaf=False), NOW)) == ["p1"]
    assert proposals.over((by_hand,), None, NOW + timedelta(days=1)) == {"p1": "nobody approved it in time"}
    assert not proposals.over((begun,), watched(leaf=False), NOW + timedelta(days=1))


AT = ("--config", "/c/a.toml", "--state", "/s", "--json")


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("look", {}, ("watch", "--once", "--look-only", *AT)),
        ("drift", {}, ("drift", *AT)),
        ("advise", {}, ("advise", *AT)),
        ("plan", {"proposed": "apply", "options": Options(modes={Service.EWS: Mode.BRIDGE})}, ("plan", "--mode=ews=bridge", *AT)),
        ("plan", {"proposed": "prune"}, ("prune", "--dry-run", *AT)),
        ("plan", {"proposed": "rotate", "options": Options(thumbprint="AB" * 20)},
         ("rotate", "--dry-run", f"--thumbprint={'AB' * 20}", *AT)),
        ("rotate", {}, ("watch", "--once", *AT)),
        ("rotate", {"basis": BASIS}, ("rotate", "--yes", f"--basis={BASIS}", *AT)),
        ("apply", {"basis": BASIS}, ("apply", "--yes", f"--basis={BASIS}", *AT)),
        ("rollback", {"run_id": "r-1"}, ("rollback", *AT, "r-1")),
        ("resume", {"run_id": "r-1"}, ("resume", *AT, "r-1")),
        ("confirm", {"run_id": "r-1"}, ("confirm", "--state", "/s", "--json", "r-1")),
    ],
)  # fmt: skip
def test_each_job_has_its_words(kind: JobKind, more: dict[str, Any], words: tuple[str, ...]) -> None:
    """Fixed ones, for one namespace."""
    assert command(kind, Path("/c/a.toml"), Path("/s"), **more) == words


@pytest.mark.parametrize(
    ("kind", "proposed", "more"),
    [
        ("plan", "rotate", {"options": Options(thumbprint="--force")}),
        ("plan", "prune", {"options": Options(thumbprint="AB\n" * 20)}),
        ("apply", None, {"basis": "$(id)"}),
        ("apply", None, {}),
        ("rollback", None, {"run_id": "--force"}),
        ("confirm", None, {}),
    ],
)
def test_no_value_can_be_taken_for_an_option(kind: JobKind, proposed: Kind | None, more: dict[str, Any]) -> None:
    """Whatever a person typed is of a narrow shape, or nothing begins."""
    with pytest.raises(LbsyncError, match="this is not"):
        command(kind, Path("c"), Path("s"), proposed=proposed, **more)


def run(phase: RunPhase, actor: str = "schedule via lbsync serve (lbsync)", run_id: str = "r1") -> RunState:
    """One in the ledger."""
    return RunState(run_id=run_id, phase=phase, words="x", actor=actor, started=NOW, last=NOW)


def test_only_what_the_service_began_is_carried_on_by_itself() -> None:
    """And nothing that somebody works on, or stopped."""
    cut_off = (run(RunPhase.UNDONE, run_id="r2"), run(RunPhase.APPLYING))
    assert to_resume(cut_off, (), at_work=False) == "r1"
    assert to_resume(cut_off, (), at_work=True) is None
    assert to_resume(cut_off, ("r1",), at_work=False) is None
    assert to_resume((run(RunPhase.GOING_BACK, "anna"),), (), at_work=False) is None
    assert to_resume((run(RunPhase.APPLIED),), (), at_work=False) is None
    assert [wait_s(failures) for failures in (0, 1, 2, 30)] == [0, 60, 120, 3600]


def test_the_worst_is_shown_and_each_is_counted() -> None:
    """A namespace that was not looked at is unknown, and so is one whose last look failed."""
    listeners = tuple(
        ListenerState(balancer="lb1", host="h", address="a", light=light, text="")
        for light in (Lamp.GREEN, Lamp.YELLOW)
    )
    ends = CertificateState(thumbprint="AB", subject="s", not_after=NOW, days=3, users=())
    state = NamespaceState(name="a", listeners=listeners, certificates=(ends,))
    assert (lights.lamp_of(state), lights.days_of(state)) == (Lamp.YELLOW, 3)
    assert lights.lamp_of(state.model_copy(update={"error": "x"})) is Lamp.UNKNOWN
    assert lights.lamp_of(NamespaceState(name="b")) is Lamp.UNKNOWN
    assert lights.worst_level((Level.UNKNOWN, Level.CRITICAL, Level.OK)) is Level.CRITICAL
    assert lights.worst_level(()) is Level.UNKNOWN
    assert lights.tally((state, state)) == {Lamp.GREEN: 2, Lamp.YELLOW: 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', Ended(2, {"a": 1})),
        ('{"error": {"kind": "Denied"}}\n{"items": []}', Ended(2, {"items": []}, {"kind": "Denied"})),
        ('Warning {"a": 1}\n{"b": ', Ended(2, {"a": 1})),
    ],
)
def test_the_last_document_of_a_child_counts(text: str, expected: Ended) -> None:
    """And an error beside it is kept."""
    assert read(2, text) == expected


def test_a_child_that_says_nothing_did_not_end_well() -> None:
    """Whatever it ended with."""
    for code, words in ((0, "ended with 0"), (-9, "ended by signal 9")):
        error = read(code, "").error
        assert error is not None
        assert words in str(error["message"])


def test_a_child_gets_secrets_and_not_what_is_the_service_s() -> None:
    """What the configuration takes from the environment it must find there."""
    ours = {"PW": "x", "LBSYNC_STATE": "/s", "NOTIFY_SOCKET": "/n", "LBSYNC_ACTOR": "mallory", "LBSYNC_ORDER": "0"}
    made = environment(ours, "anna", "1")
    assert made["PW"] == "x"
    assert (made["LBSYNC_ACTOR"], made["LBSYNC_ORDER"]) == ("anna", "1")
    assert not {"LBSYNC_STATE", "NOTIFY_SOCKET"} & set(made)


def test_namespaces_are_the_files_of_a_folder(tmp_path: Path) -> None:
    """Each with a state folder of its own; a name that no address can carry is refused."""
    folder, state = tmp_path / "farms", tmp_path / "state"
    with pytest.raises(ConfigError, match="cannot be read"):
        namespaces.several(folder, state)
    folder.mkdir()
    with pytest.raises(ConfigError, match="no configuration file"):
        namespaces.several(folder, state)
    for name in ("b.toml", "a.toml", "notes.txt", ".hidden.toml"):
        (folder / name).touch()
    found = namespaces.several(folder, state)
    assert [(one.name, one.ledger) for one in found] == [(name, state / name / "ledger.db") for name in ("a", "b")]
    assert namespaces.one(folder / "a.toml", state)[0].folder == state
    for wrong in ("a b.toml", "serve.toml", "decisions.jsonl.toml", "notices.json.toml"):
        with pytest.raises(ConfigError, match="cannot be the name"):
            namespaces.one(folder / wrong, state)


def test_the_service_manager_is_asked_how_often_it_wants_to_hear() -> None:
    """Half its patience; nothing where it wants nothing, or means another process."""
    assert Supervisor({"WATCHDOG_USEC": "30000000"}).every_s == 15.0
    for other in ({}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "30", "WATCHDOG_PID": "1"}):
        assert Supervisor(other).every_s is None
    Supervisor({}).tell("READY=1")
