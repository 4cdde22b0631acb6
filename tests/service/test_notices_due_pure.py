"""Which notices are due, who gets them, and when one is tried again: tables of states in, notices out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lbsync.config.notices import NoticeSection
from lbsync.run import RunPhase
from lbsync.service.notices.due import due
from lbsync.service.notices.routing import FIRST, KEPT, MOST, after, next_try, posted, ripe, shown, wait_after, wants
from lbsync.service.notices.texts import text_of
from lbsync.service.notices.values import Book, Notice, Told
from lbsync.service.values import (
    CertificateState,
    DriftState,
    JobState,
    NamespaceState,
    Proposal,
    RunState,
)
from lbsync.watch.items import Level

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
AHEAD = (30, 14, 7, 1)


def certificate(days: float, thumbprint: str = "AB") -> CertificateState:
    """One that ends so many days after NOW."""
    ends = NOW + timedelta(days=days)
    return CertificateState(
        thumbprint=thumbprint, subject="CN=mail", not_after=ends, days=int(days), users=("lb1", "EX01")
    )


def run(run_id: str, phase: RunPhase, *, interrupted: bool = False) -> RunState:
    """One of anna's."""
    return RunState(
        run_id=run_id, phase=phase, words=phase.value, actor="anna", started=NOW, last=NOW, interrupted=interrupted
    )


def job(job_id: str, kind: Any, code: int | None, **more: Any) -> JobState:
    """One that ended with this exit code; still at work for None."""
    ended = None if code is None else NOW
    return JobState(
        id=job_id,
        namespace="ns",
        kind=kind,
        asked_by="anna",
        asked_at=NOW,
        began=NOW,
        ended=ended,
        exit_code=code,
        **more,
    )


def proposal(name: str) -> Proposal:
    """One that waits."""
    return Proposal(
        id=name, namespace="ns", kind="rotate", basis="b", summary="to CN=new", steps=3, plan={}, asked_by="anna",
        asked_at=NOW, expires_at=NOW + timedelta(days=1),
    )  # fmt: skip


def state(**more: Any) -> NamespaceState:
    """A namespace that was looked at."""
    return NamespaceState.model_validate(
        {"name": "ns", "farm": "contoso", "looked_at": NOW, "next_look_at": NOW, **more}
    )


class Story:
    """A namespace over time: each state in, the kinds and levels told; every notice is rendered by its template too."""

    def __init__(self, told: Told | None = None) -> None:
        self.told = told if told is not None else Told(known=True)
        self.last: tuple[Notice, ...] = ()

    def next(self, *, now: datetime = NOW, **more: Any) -> list[tuple[str, str]]:
        """The next state; what is told of it."""
        found = due(state(**more), self.told, AHEAD, now)
        # What is remembered survives the disk.
        self.told, self.last = Told.model_validate_json(found.told.model_dump_json()), found.notices
        for notice in found.notices:
            title, body = text_of(notice)
            assert title.startswith("contoso: ")
            assert body
            assert "{" not in title + body
        return [(notice.kind, notice.level.value) for notice in found.notices]


@pytest.mark.parametrize(
    ("days", "levels"),
    [
        ([40, 31, 30.5, 30, 29], ["", "", "warning", "", ""]),
        ([29, 20, 14, 8.5, 7], ["warning", "", "warning", "", "critical"]),
        ([5, 1.5, 0.5, -0.5, -3], ["critical", "critical", "", "critical", ""]),
        ([3], ["critical"]),  # found late: told once, not once per threshold that was passed
        ([29, 400, 29], ["warning", "", "warning"]),
    ],
)  # fmt: skip
def test_each_threshold_is_told_once_per_certificate(days: list[float], levels: list[str]) -> None:
    """30, 14, 7, 1 days ahead and once it has ended; one found late is told once."""
    story = Story(Told())
    told = [story.next(certificates=(certificate(each),)) for each in days]
    assert told == [[("expiry", level)] if level else [] for level in levels]


def test_expiry_is_per_certificate_and_goes_by_the_clock() -> None:
    """Days are counted to now, however old the look is; a certificate that is not used any more is forgotten."""
    story = Story()
    first = certificate(29, "AA")
    assert story.next(certificates=(first,)) == [("expiry", "warning")]
    assert story.next(certificates=(first, certificate(28, "BB"))) == [("expiry", "warning")]
    assert story.next(certificates=(first,), now=NOW + timedelta(days=20)) == [("expiry", "warning")]
    assert story.next(certificates=()) == []
    assert set(story.told.expiry) == {"AA"}
    assert story.last == ()


RUN_STORIES = [
    ([RunPhase.APPLYING, RunPhase.APPLIED, RunPhase.APPLIED], [[], [("done", "ok")], []]),
    ([RunPhase.APPLIED, RunPhase.GOING_BACK, RunPhase.UNDONE], [[("done", "ok")], [], [("done", "warning")]]),
    ([RunPhase.FAILING, RunPhase.UNDONE], [[], [("failed", "warning")]]),
    ([RunPhase.HELD, RunPhase.INCOMPLETE], [[("failed", "critical")], [("failed", "critical")]]),
    ([RunPhase.AWAITING, RunPhase.APPLIED], [[("waiting", "warning")], [("done", "ok")]]),
]


@pytest.mark.parametrize(("phases", "expected"), RUN_STORIES)
def test_a_run_is_told_when_it_comes_to_rest(phases: list[RunPhase], expected: list[list[tuple[str, str]]]) -> None:
    """Once for each end that it comes to."""
    story = Story()
    assert [story.next(runs=(run("r1", phase),)) for phase in phases] == expected


def test_a_failure_is_told_each_time_and_its_end_once() -> None:
    """Two failures, two notices; then one that is done, and that this is over, as bad as it was."""
    story = Story()
    failed = run("r1", RunPhase.UNDONE), run("r2", RunPhase.INCOMPLETE)
    assert story.next(runs=failed[:1]) == [("failed", "warning")]
    assert story.next(runs=failed[::-1]) == [("failed", "critical")]
    done = run("r3", RunPhase.APPLIED)
    assert story.next(runs=(done, *failed[::-1])) == [("done", "ok"), ("recovered", "critical")]
    assert story.next(runs=(done,)) == []
    assert set(story.told.runs) == {"r3"}


def test_what_ended_before_the_service_is_no_news() -> None:
    """At the first sight of a namespace only what stands half-way, or waits, is told."""
    story = Story(Told())
    runs = (
        run("r3", RunPhase.APPLYING, interrupted=True),
        run("r2", RunPhase.APPLIED),
        run("r1", RunPhase.UNDONE),
    )
    assert story.next(runs=runs) == [("failed", "critical")]
    assert story.next(runs=runs) == []


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (job("j", "rotate", None), []),
        (job("j", "rotate", 0), []),
        (job("j", "plan", 3), []),
        (job("j", "look", 1), []),
        (job("j", "rotate", 8), []),  # the watch's own, which found something critical and rotated nothing
        (job("j", "rotate", 130, error={"message": "stopped"}), []),
        (job("j", "rotate", 3, error={"message": "refused", "remedy": "mend it"}), [("failed", "warning")]),
        (job("j", "resume", 1), [("failed", "warning")]),
        (job("j", "rotate", 5, run_id="r1"), []),  # its run tells
    ],
)
def test_a_change_that_failed_before_its_run_is_told(ended: JobState, expected: list[tuple[str, str]]) -> None:
    """Once; a run that failed is told by its own phase."""
    story = Story()
    assert story.next(job=ended) == expected
    assert story.next(job=ended) == []


def test_the_kind_of_a_run_is_that_of_its_job() -> None:
    """A rotation is called one."""
    story = Story()
    story.next(runs=(run("r1", RunPhase.APPLIED),), job=job("j", "rotate", 0, run_id="r1"))
    assert text_of(story.last[0]).title == "contoso: rotation applied"
    story.next(job=job("k", "prune", 1, error={"message": "EX01 did not answer"}))
    assert "EX01 did not answer" in text_of(story.last[0]).body


def test_a_change_at_work_for_hours_is_told_once() -> None:
    """By the clock, each by itself; a look is not: it is ended."""
    story = Story()
    for kind, hours, expected in (
        ("rotate", 3.9, []), ("look", 9, []), ("rotate", 4, [("stuck", "critical")]), ("rotate", 9, []),
    ):  # fmt: skip
        assert story.next(now=NOW + timedelta(hours=hours), job=job("j", kind, None, run_id="r1")) == expected
    assert story.next(now=NOW + timedelta(hours=9), job=job("j", "rotate", 0, run_id="r1")) == []
    assert story.next(now=NOW + timedelta(hours=9), job=job("k", "prune", None)) == [("stuck", "critical")]
    assert "prune has been at work for 9 hours" in text_of(story.last[0]).title


def test_a_run_at_work_without_the_service_is_told_once() -> None:
    """Not again where its job was told before a restart; once more where it was cut off, and whoever carried it on hangs too."""
    story, on_its_way = Story(), run("r1", RunPhase.APPLYING)
    beside = on_its_way.model_copy(update={"at_work_since": NOW})
    later = NOW + timedelta(hours=4)
    assert story.next(runs=(beside,)) == []
    assert story.next(now=later, job=job("j", "rotate", None, run_id="r1")) == [("stuck", "critical")]
    for seen in (on_its_way, beside):
        assert story.next(now=later, runs=(seen,)) == []
    assert story.next(runs=(run("r1", RunPhase.APPLYING, interrupted=True),)) == [("failed", "critical")]
    assert story.next(now=later, runs=(beside,)) == [("stuck", "critical")]
    assert "run has been at work for 4 hours" in text_of(story.last[0]).title
    assert story.next(now=later, runs=(beside,)) == []


def test_of_a_farm_that_is_gone_only_runs_are_told() -> None:
    """Nobody looks at it: that a certificate ends there, or a plan waits, is no news, and that no look is planned no failure."""
    left: dict[str, Any] = {"runs": (run("r1", RunPhase.APPLYING, interrupted=True),), "proposals": (proposal("p1"),)}
    left |= {"certificates": (certificate(3),), "failures": 1, "next_look_at": None}
    assert Story().next(gone=True, **left) == [("failed", "critical")]


def test_a_proposal_is_told_once() -> None:
    """While it waits; another one is told by itself."""
    story = Story()
    assert story.next(proposals=(proposal("p1"),)) == [("waiting", "warning")]
    assert story.next(proposals=(proposal("p1"),)) == []
    assert story.next(proposals=(proposal("p1"), proposal("p2"))) == [("waiting", "warning")]
    assert story.next() == []
    assert story.told.proposals == ()


def test_drift_is_told_until_it_changes_and_when_it_is_gone() -> None:
    """The same differences in another order are the same; not knowing changes nothing."""
    story = Story()
    one, two = DriftState(count=2, lines=("a", "b")), DriftState(count=3, lines=("a", "b", "c"))
    assert story.next(drift=one) == [("drift", "warning")]
    assert story.next(drift=DriftState(count=2, lines=("b", "a"))) == []
    assert story.next(drift=None) == []
    assert story.next(drift=two) == [("drift", "warning")]
    assert story.next(drift=DriftState(count=0)) == [("recovered", "warning")]
    assert story.next(drift=DriftState(count=0)) == []
    assert story.next(drift=DriftState(count=1, lines=("a",))) == [("drift", "warning")]


def test_a_farm_that_cannot_be_seen_is_told_once_and_when_it_can_again() -> None:
    """One look that fails is no news."""
    story = Story()
    assert story.next(failures=1, error="no answer") == []
    assert story.next(failures=2, error="no answer") == [("unseen", "warning")]
    assert story.next(failures=9, error="no answer") == []
    assert story.next(looked_at=None) == []
    assert story.next() == [("recovered", "warning")]
    assert story.next() == []


def test_a_refused_log_on_is_told_at_the_first_failure() -> None:
    """It is not tried again by itself, so that there is no second one; a farm that was never looked at is no failure."""
    story = Story()
    assert story.next(next_look_at=None) == []
    assert story.next(failures=1, error="refused", next_look_at=None) == [("unseen", "warning")]
    assert story.next(failures=1, error="refused", next_look_at=None) == []
    assert story.next() == [("recovered", "warning")]


def target(name: str = "t", **more: Any) -> NoticeSection:
    """One that is told everything, unless said otherwise."""
    return NoticeSection.model_validate({"name": name, "url": "env:URL", **more})


def notice(key: str = "x", **more: Any) -> Notice:
    """A failure in namespace exch-1."""
    made = {"id": key, "kind": "failed", "level": Level.WARNING, "namespace": "exch-1", "at": NOW, **more}
    return Notice.model_validate(made)


@pytest.mark.parametrize(
    ("who", "what", "wanted"),
    [
        ({}, {}, True),
        ({"kinds": ["drift"]}, {}, False),
        ({"namespaces": ["other", "exch-?"]}, {}, True),
        ({"namespaces": ["EXCH-*"]}, {}, False),
        ({"min_level": "critical"}, {}, False),
        ({"min_level": "warning"}, {}, True),
        ({"min_level": "critical"}, {"level": Level.CRITICAL}, True),
    ],
)
def test_who_is_told(who: dict[str, Any], what: dict[str, Any], wanted: bool) -> None:
    """By kind, namespace and how bad it is."""
    assert wants(target(**who), notice(**what)) is wanted


def test_waits_grow_and_end() -> None:
    """A minute, two, four ... six hours, for ever."""
    waits = [wait_after(tries) for tries in range(1, 40)]
    assert waits[:3] == [FIRST, FIRST * 2, FIRST * 4]
    assert waits[-1] == MOST
    assert waits == sorted(waits)


def test_a_target_that_fails_is_left_in_peace_and_then_gets_everything() -> None:
    """Nobody else waits for it; what waited is sent as soon as one went through."""
    two = target("a"), target("b")
    book = posted(Book(), two, (notice("x"), notice("y"), notice("x")), NOW)
    assert [(one.target, one.notice.id) for one in book.letters] == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    first = ripe(book, NOW)
    assert first is not None
    book = after(book, first, "HTTP 500", NOW)
    assert [one.next_try > NOW for one in book.letters] == [True, True, False, False]
    a, b = shown(book, two)
    assert (a.failures, a.error, a.pending, a.next_try) == (1, "HTTP 500", 2, NOW + FIRST)
    assert (b.failures, b.error, b.pending) == (0, "", 2)
    later = NOW + FIRST
    again = next(one for one in book.letters if one.tries)
    book = after(book, again, "", later)
    a, _ = shown(book, two)
    assert (a.sent, a.error, a.pending, a.next_try) == (1, "", 1, later)
    assert next_try(book) == NOW
    assert next_try(Book()) is None
    assert ripe(Book(), NOW) is None


def test_letters_are_bounded_and_go_with_their_target() -> None:
    """Too many: the oldest are given up and counted; a target that is gone takes its letters along."""
    many = tuple(notice(str(number)) for number in range(KEPT + 5))
    book = posted(Book(), (target("a"),), many, NOW)
    assert len(book.letters) == KEPT
    assert shown(book, (target("a"),))[0].dropped == 5
    assert posted(book, (target("b"),), (), NOW) == Book()
