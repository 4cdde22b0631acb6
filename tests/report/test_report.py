"""Reports: what is in them, that nothing comes from elsewhere, and that nothing in them is taken for HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lbsync.ledger import Ledger
from lbsync.model import Action, Check, CheckResult, Mode, Plan, Receipt, Step, StepId
from lbsync.report import Canary, Context, Evidence, Found, Proof, Report, Row, build, load, page, save
from lbsync.run import (
    Direction,
    Ending,
    Event,
    Failed,
    Finished,
    Intended,
    Performed,
    RunEnded,
    RunStarted,
    TurnedBack,
    Verified,
)
from lbsync.services import Service

NOW = datetime(2026, 6, 1, 2, 0, tzinfo=UTC)
EVIL = '<script>alert("x")</script>'
DO, UNDO = Direction.DO, Direction.UNDO


def step(name: str, **more: object) -> Step:
    """A step with an effect and its way back."""
    action = Action(target="EX01", verb="set-flags", args={"value": name, "image": "x" * 200, "list": [1]})
    return Step.model_validate(
        {
            "id": name, "target": "EX01", "summary": f"do {name}", "details": (f"~ {EVIL}",), "do": action, "undo": action,
            "undo_until": (Check(target="EX01", verb="v", summary="it is back"),), **more,
        }
    )  # fmt: skip


def done(name: str) -> list[Event]:
    """A step that went well."""
    at = StepId(name)
    return [
        Intended(step=at, direction=DO, before={"v": 1}),
        Performed(step=at, direction=DO, receipt=Receipt(summary=f"did {name}", details={"n": 1}), left={"v": 2}),
        Verified(step=at, direction=DO, results=(CheckResult(passed=True, detail=f"{name} shows"),)),
        Finished(step=at, direction=DO),
    ]


def undone(name: str) -> list[Event]:
    """The same, taken back."""
    at = StepId(name)
    return [
        Intended(step=at, direction=UNDO, before={"v": 2}),
        Performed(step=at, direction=UNDO, receipt=Receipt(summary=f"undid {name}"), left={"v": 1}),
        Verified(step=at, direction=UNDO),
        Finished(step=at, direction=UNDO),
    ]


APPLIED: list[Event] = [*done("a"), *done("b"), RunEnded(outcome=Ending.APPLIED)]
TAKEN_BACK: list[Event] = [
    *done("a"),
    Intended(step=StepId("b"), direction=DO, before={"v": 1}),
    Failed(step=StepId("b"), direction=DO, error="Rejected", reason=f"no {EVIL}", remedy="mend it"),
    TurnedBack(reason="b failed"),
    *undone("b"),
    *undone("a"),
    RunEnded(outcome=Ending.UNDONE),
]
CONTEXT = Context(
    found=Found(at=NOW, servers=(Row(subject="EX01", columns={"version": "15.2", "pools": EVIL}),), remarks=("odd",)),
    evidence=(
        Evidence(title="Canary", at=NOW, canary=Canary(requests=100, errors=0, connections=9, longest_gap_s=0.25)),
        Evidence(title="Seen", at=NOW, proofs=(Proof(light="green", subject="lb1: owa", detail="200"),
                                               Proof(light="red", subject="lb1: mapi", detail=EVIL))),
    ),
    leaf="CN=mail, SHA-256 abc",
    hosts=("mail.contoso.test",),
)  # fmt: skip


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., Report]:
    """The report of a run that these events make, through a real ledger."""

    def make(events: list[Event], context: Context = CONTEXT) -> Report:
        plan = Plan(
            farm="contoso",
            basis="b4s1s",
            steps=(step("a"), step("b", after=("a",))),
            modes={Service.OWA: Mode.OFFLOAD, Service.MRSPROXY: Mode.BRIDGE},
            warnings=("mind this",),
            notes=("and this",),
        )
        with Ledger(tmp_path / f"{len(list(tmp_path.iterdir()))}.db") as ledger:
            ledger.append("r1", RunStarted(run_id="r1", plan=plan, actor="anna", host="ops1", started=NOW))
            for event in events:
                ledger.append("r1", event)
            return build(ledger.run("r1"), ledger.events("r1"), ledger.verify_chain(), context, version="0.1.0")

    return make


def test_an_applied_run(told: Callable[..., Report]) -> None:
    """Wanted, found, done with times and receipts, proven, and the command that goes back."""
    report = told(APPLIED)
    assert (report.outcome, report.tone) == ("Applied", "good")
    assert report.go_back == "lbsync rollback r1"
    assert [one.state for one in report.steps] == ["done", "done"]
    assert report.steps[0].receipt == "did a"
    assert report.steps[0].checks == ("a shows",)
    assert report.steps[0].seconds is not None
    assert report.steps[0].way_back == ("set flags (value a)", "wait until it is back")
    assert report.chain.events == len(APPLIED) + 1
    assert report.done == 2


def test_a_run_that_was_taken_back(told: Callable[..., Report]) -> None:
    """Why, what failed, and that nothing is left."""
    report = told(TAKEN_BACK)
    assert report.tone == "warn"
    assert report.go_back == ""
    assert report.reason == "b failed"
    assert report.steps[1].failure == f"no {EVIL} mend it"
    assert report.steps[0].undone == "undid a"
    assert "Nothing of this run is left" in page(report)


class _Links(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("events", [APPLIED, TAKEN_BACK, APPLIED[:2], []])
def test_the_page_is_self_contained_and_safe(told: Callable[..., Report], events: list[Event]) -> None:
    """No script, no picture, no link, nothing loaded from anywhere, at any moment of a run; values are text."""
    html = page(told(events))
    seen = _Links()
    seen.feed(html)
    assert not seen.tags & {"script", "img", "link", "iframe", "a", "object", "form"}
    assert not {name for name in seen.attributes if name.startswith("on")} | (seen.attributes & {"src", "href"})
    assert not re.search(r"url\(|@import|https?://", html)
    assert EVIL not in html
    assert "&lt;script&gt;" in html


def test_the_page_says_what_matters(told: Callable[..., Report]) -> None:
    """Numbers at the top, lights with their words beside the colour, hashes at the end."""
    report = told(APPLIED)
    html = page(report)
    for words in (
        "0 of 100",
        "0.25 s",
        "1 of 2",
        "(red)",
        "mind this",
        "and this",
        "anna",
        "ops1",
        "lbsync rollback r1",
    ):
        assert words in html
    assert report.chain.hash in html
    assert 'lang="en"' in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_a_canary_that_measured_nothing_is_no_number(told: Callable[..., Report]) -> None:
    """Nothing answered: that is said, and no zero is shown as if it were a proof."""
    silent = Canary(armed=False, requests=0, errors=0, connections=0, longest_gap_s=0)
    html = page(told(APPLIED, Context(evidence=(Evidence(title="Canary", at=NOW, canary=silent),))))
    assert "nothing was measured" in html
    assert "requests failed meanwhile" not in html


def test_long_durations_are_told_in_minutes(told: Callable[..., Report]) -> None:
    """A quarter of an hour is no number of seconds; nothing from outside is said to be missing."""
    report = told(APPLIED, Context())
    later = report.model_copy(update={"ended": report.started.replace(minute=15, second=7)})
    html = page(later)
    assert "15 min 7 s" in html
    assert "lbsync verify" in html


def test_saved_and_loaded_again(told: Callable[..., Report], tmp_path: Path) -> None:
    """Both files are private; the JSON is the whole report."""
    report = told(APPLIED)
    html = save(report, tmp_path / "reports")
    assert html.name == "r1.html"
    assert load("r1", tmp_path / "reports") == report
    assert json.loads((tmp_path / "reports" / "r1.json").read_text())["farm"] == "contoso"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "reports").iterdir()} == {0o600}
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["r1.html", "r1.json"]


def test_a_report_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """Absent, or not of this format: the next one is made anew."""
    assert load("r1", tmp_path) is None
    (tmp_path / "r1.json").write_text("{}")
    assert load("r1", tmp_path) is None
