"""What pages show, as tables: states in, words, marks, groups and places out; and that everybody can read the colours."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib.resources import files
from itertools import product
from typing import get_args

import pytest

from lbsync.model import Mode
from lbsync.run import RunPhase, Shown
from lbsync.service.values import JobKind, JobState, Lamp, Level, Role, RunDetail, StepState, Who
from lbsync.service.web.views import board, picture, plans, ways, words
from lbsync.service.web.views.advising import advice_view
from lbsync.services import Service
from tests.service.fakes import NOW, namespace, run_state
from tests.service.showcase import ADVICE, healthy, house, munich, rotation

_CSS = files("lbsync.service.web").joinpath("static", "app.css").read_text()
_ANNA = Who("anna", Role.APPROVER, "web")


@pytest.mark.parametrize(
    ("days", "said", "css"),
    [
        (None, "", "unk"),
        (0, "ends today", "bad"),
        (1, "1 day left", "bad"),
        (7, "7 days left", "bad"),
        (8, "8 days left", "warn"),
        (31, "31 days left", "ok"),
        (-1, "ended a day ago", "bad"),
        (-9, "ended 9 days ago", "bad"),
    ],
)
def test_days(days: int | None, said: str, css: str) -> None:
    """Whole days as a person says them, and how urgent they are."""
    assert (words.days_words(days), words.days_css(days)) == (said, css)


def test_every_sign_has_a_shape_and_a_word() -> None:
    """Nothing is told by a colour alone: within a table no two have the same mark or word."""
    for table in (words.LAMPS, words.LEVELS):
        assert len({sign.mark for sign in table.values()}) == len(table)
        assert len({sign.word for sign in table.values()}) == len(table)
    assert set(words.LAMPS) == set(Lamp)
    assert set(words.LEVELS) == set(Level)
    assert set(words.SERVICES) == set(Service)
    assert [words.phase_css(phase) for phase in RunPhase]
    assert len({words.mode_words(mode) for mode in (*Mode, None)}) == 3
    assert words.joined([str(number) for number in range(9)]) == "0, 1, 2, 3, 4, 5 and 3 more"
    assert words.text_of(None) == ""


def test_every_job_has_a_name() -> None:
    """Else the overview breaks for as long as one without is under way."""
    assert set(words.JOBS) == set(get_args(JobKind))


def test_the_worst_stands_first() -> None:
    """Groups by level, within them by name; levels of nobody are not shown; proposals by their end."""
    found = board.groups(house())
    assert [(group.id, [state.name for state in group.states]) for group in found] == [
        ("critical", ["fabrikam-par"]),
        ("unknown", ["woodgrove"]),
        ("warning", ["contoso-muc"]),
        ("ok", ["northwind", "tailspin", "wingtip"]),
    ]
    assert [one.id for one in board.waiting(house())] == [rotation().id]


def test_a_card() -> None:
    """What is not ours is told at once, the worst first, the rest folded; what nobody knows is not made up."""
    card = board.card(namespace(listeners=9))
    assert [light.count for light in card.lights] == [2, 2, 5]
    assert [one.light for one in card.told] == [Lamp.RED, Lamp.RED, Lamp.YELLOW]
    assert (card.folded, card.waiting, card.drift, card.days) == (9, 1, 1, "12 days left")
    unseen = board.card(house()[4])
    assert (unseen.days, unseen.drift, unseen.lamps, unseen.job) == ("", None, (), "")
    job = JobState(id="j", namespace="mail", kind="rotate", asked_by="x", asked_at=NOW)
    assert board.card(namespace().model_copy(update={"job": job})).job == "Rotation"
    beside = namespace().runs[0].model_copy(update={"at_work_since": NOW})
    shown = board.card(namespace().model_copy(update={"job": None, "runs": (beside,)}))
    assert (shown.job, shown.job_began, shown.gone) == ("A run", NOW, False)


def test_certificates_of_everybody() -> None:
    """Each once with everybody who has it, the one that ends first in front."""
    twin = munich().model_copy(update={"name": "twin"})
    uses = board.certificates([healthy("far", "Far", 400), munich(), twin])
    assert [use.spaces for use in uses] == [("contoso-muc", "twin"), ("contoso-muc", "twin"), ("far",)]
    assert uses[0].users == ("lb-muc-1", "lb-muc-2", "ex01", "ex02", "ex03")


def test_balancers_that_do_the_same_are_one_way() -> None:
    """One way for both, with what is wanted otherwise marked; another mode makes another way; words and table agree."""
    state = munich()
    (way,) = ways.ways(state)
    assert way.balancers == ("lb-muc-1", "lb-muc-2")
    assert [(lane.mode, lane.wrong) for lane in way.lanes] == [(Mode.BRIDGE, ("OAB",)), (Mode.OFFLOAD, ())]
    assert way.sign is words.LAMPS[Lamp.YELLOW]
    assert "OWA, ECP, ActiveSync, EWS, Autodiscover go to the servers as plain HTTP" in ways.told(state, [way])
    assert [row.service for row in ways.rows(state) if not row.right] == ["OAB"]
    gone = tuple(one.model_copy(update={"mode": None}) if one.balancer == "lb-muc-2" else one for one in state.modes)
    other = state.model_copy(update={"modes": gone, "listeners": ()})
    both = ways.ways(other)
    assert [[lane.css for lane in way.lanes] for way in both] == [["bridge", "offload"], ["none"]]
    assert both[0].sign is words.LAMPS[Lamp.UNKNOWN]
    assert "are not published" in ways.told(other, both)
    assert ways.ways(house()[4]) == ()


@pytest.mark.parametrize("many", [1, 3, 14])
def test_the_picture_holds_everything(many: int) -> None:
    """Whatever is drawn lies within the picture, boxes do not overlap, and no name of many is lost without a word."""
    names = [f"ex{number:02d}" for number in range(many)]
    found = ways.ways(munich()) * min(many, 3)
    for made in (picture.wide(found, names), picture.narrow(found, names)):
        for box in made.boxes:
            assert 0 <= box.x < box.x + box.width <= made.width
            assert 0 <= box.y < box.y + box.height <= made.height
            assert all(box.y < foot < box.y + box.height for foot, _ in box.words)
        for one, other in product(made.boxes, made.boxes):
            apart = one.x + one.width <= other.x or other.x + other.width <= one.x
            assert one is other or apart or one.y + one.height <= other.y or other.y + other.height <= one.y
        assert all(0 < line.y < made.height for line in made.words)
        assert sum(stroke.lock is not None for stroke in made.strokes) == 2 * len(found)
        last = made.boxes[-1].lines
        assert last == tuple(names) if many <= 6 else last[-1] == "and 9 more"


def test_a_plan_line_by_line() -> None:
    """Signs, details, the way back in words; a document of another version is no plan."""
    view = plans.plan_view(rotation().plan)
    assert view is not None
    assert [step.sign for step in view.steps] == ["+"] * 3 + ["~"] * 5
    assert view.counts == "3 to add, 5 to change"
    assert view.steps[0].undo[0].startswith("ex01: remove(thumbprint=")
    assert view.steps[0].until == ("ex01 serves 9B30D7E2 (at most 60 s)",)
    assert plans.plan_view({"format": 2}) is None


def test_who_may_approve() -> None:
    """An approver who has not yet; what is missing is counted."""
    waiting = rotation(needs=2, approvals=("anna",))
    assert plans.say(waiting, Who("otto", Role.APPROVER, "web")) == plans.Say(may=True, why="", missing=1)
    assert not plans.say(waiting, _ANNA).may
    assert "Only an approver" in plans.say(waiting, Who("olga", Role.OPERATOR, "web")).why


def test_steps_of_a_run() -> None:
    """The command line's marks; an undone step says that it did the reverse; what is under way is told together."""
    looks: tuple[Shown, ...] = ("done", "running", "running", "undone", "failed", "waiting")
    steps = tuple(StepState(id=str(n), target=f"ex{n}", summary="recycle", look=look) for n, look in enumerate(looks))
    lines = plans.step_lines(steps)
    assert "".join(line.sign.mark for line in lines) == "✓▸▸↺✗·"
    assert lines[3].summary == "undo: recycle"
    assert [line.open for line in lines] == [False, True, True, False, True, False]
    assert plans.progress(steps) == "1 of 6 steps done, 1 failed, 1 undone"
    assert plans.now(steps) == "recycle at ex1, ex2"
    assert plans.canary(None) == ()
    assert plans.canary({"requests": 7, "other": 1}) == (("requests sent", "7"),)


@pytest.mark.parametrize(
    ("phase", "may"),
    [
        (RunPhase.AWAITING, ("confirm", "rollback")),
        (RunPhase.APPLIED, ("rollback",)),
        (RunPhase.UNDONE, ()),
        (RunPhase.HELD, ("rollback",)),
        (RunPhase.INCOMPLETE, ("rollback",)),
        (RunPhase.APPLYING, ("resume", "rollback")),
        (RunPhase.FAILING, ("resume",)),
        (RunPhase.GOING_BACK, ("resume",)),
        (RunPhase.HOLDING, ("resume",)),
    ],
)
def test_what_may_be_done_to_a_run(phase: RunPhase, may: tuple[str, ...]) -> None:
    """By its phase, by an approver, and by nobody while somebody is at work."""
    detail = RunDetail(run=run_state(phase=phase), farm="f", host="h", steps=())
    job = JobState(id="j", namespace="n", kind="apply", asked_by="x", asked_at=NOW)
    assert plans.actions(detail, None, _ANNA) == may
    assert plans.actions(detail, job.model_copy(update={"ended": NOW + timedelta(1)}), _ANNA) == may
    assert plans.actions(detail, job, _ANNA) == ()
    assert plans.actions(detail, job.model_copy(update={"kind": "look"}), _ANNA) == may
    assert plans.actions(detail, None, Who("olga", Role.OPERATOR, "web")) == ()


def test_advice() -> None:
    """A verdict per service, each reason once, what refuses in front; a document of another version is none."""
    view = advice_view(ADVICE)
    assert view is not None
    assert [row.service for row in view.rows if row.refused] == ["MRSProxy"]
    assert [(one.sign.word, one.services) for one in view.reasons] == [("refuses", ("MRSProxy",)), ("tells", ())]
    assert advice_view({"farm": 1}) is None


def _palettes() -> list[dict[str, str]]:
    """The light one, and the dark one over it."""
    blocks = re.findall(r":root \{(.*?)\}", _CSS, re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    assert set(light) == set(dark)
    return [light, dark]


def _bright(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    bright, dark = sorted((_bright(one), _bright(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_the_colours_can_be_read() -> None:
    """WCAG AA in light and dark: text 4.5 on whatever it stands on, shapes, borders of fields and the focus 3."""
    states = ("ok", "warn", "bad", "unk", "run")
    pairs = [(ink, ground) for ink in ("ink", "dim", "accent", *states) for ground in ("bg", "card")]
    pairs += [(state, f"{state}-bg") for state in states]
    pairs += [("ink", f"{state}-bg") for state in states] + [("dim", "unk-bg"), ("dim", "run-bg"), ("accent", "run-bg")]
    pairs += [("dim", f"{state}-bg") for state in ("ok", "warn", "bad")] + [("on-accent", "accent")]
    for palette in _palettes():
        weak = {
            (a, b): round(_contrast(palette[a], palette[b]), 2)
            for a, b in pairs
            if _contrast(palette[a], palette[b]) < 4.5
        }
        assert weak == {}
        assert all(
            _contrast(palette[shape], palette[ground]) >= 3 for shape in ("edge", "focus") for ground in ("bg", "card")
        )
