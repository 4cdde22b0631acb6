"""What the ledger tells: until when each certificate was served, and what was removed for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from lbsync.model import Action, Plan, Receipt, Step, StepId
from lbsync.rotation.history import Effect, effects, out_of_reach, removed, served_by, served_until
from lbsync.run import (
    Direction,
    Entry,
    Event,
    Failed,
    Finished,
    Intended,
    Performed,
    Run,
    RunStarted,
    TurnedBack,
    Verified,
    lasting,
    removed_for_good,
)
from lbsync_certs import Fingerprint, Thumbprint

DO, UNDO = Direction.DO, Direction.UNDO
DAY = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = Fingerprint("a" * 64), Fingerprint("b" * 64)
OLD_T, NEW_T = Thumbprint("A" * 40), Thumbprint("B" * 40)
DONE = Receipt(summary="done")


def action(target: str, verb: str, **args: JsonValue) -> Action:
    """An action as targets lower it."""
    return Action(target=target, verb=verb, args=args)


def step(name: str, do: Action, undo: Action | None = None, sign: str = "~") -> Step:
    """A step of the action's target."""
    return Step.model_validate({"id": name, "target": do.target, "summary": name, "do": do, "undo": undo, "sign": sign})


SWITCH = step("switch", action("lb1", "switch-certificate", leaf=NEW), action("lb1", "switch-certificate", leaf=OLD))
ENABLE = step(
    "enable",
    action("EX01", "enable-certificate", thumbprint=NEW_T),
    action("EX01", "enable-certificate", thumbprint=OLD_T),
)
PUBLISH = step(
    "publish",
    action("lb1", "write-files", files={}, live=OLD, link=None),
    action("lb1", "write-files", files={}, live=None),
)
IMPORT = step("import", action("EX01", "import-certificate", leaf=OLD, thumbprint=OLD_T), sign="+")
INSTALL = step(
    "install",
    action("lb1", "install-certificate", leaf=OLD),
    action("lb1", "remove-certificate", leaf=OLD),
    sign="+",
)
REMOVE = step("remove", action("EX01", "remove-certificate", leaf=OLD, thumbprint=OLD_T), sign="-")
UNINSTALL = step("uninstall", action("lb1", "remove-certificate", leaf=OLD, keep_directory=True), sign="-")


class Book:
    """A ledger in the making: each entry a day after the one before."""

    def __init__(self) -> None:
        self.runs: list[list[Entry]] = []
        self._seq = 0

    def write(self, run: list[Entry], event: Event) -> None:
        """Append an event of a run."""
        self._seq += 1
        run.append(Entry(self._seq, DAY + timedelta(days=self._seq), event, ""))

    def begin(self, *steps: Step, farm: str = "contoso") -> list[Entry]:
        """A run of these steps."""
        run: list[Entry] = []
        self.runs.append(run)
        plan = Plan(farm=farm, basis="b", steps=steps)
        self.write(run, RunStarted(run_id=f"r{len(self.runs)}", plan=plan, actor="me", host="here", started=DAY))
        return run

    def perform(self, run: list[Entry], name: str, direction: Direction = DO) -> datetime:
        """A step carried out or taken back; when."""
        step_id = StepId(name)
        self.write(run, Intended(step=step_id, direction=direction, before={}))
        self.write(run, Performed(step=step_id, direction=direction, receipt=DONE, left={}))
        at = run[-1].at
        self.write(run, Verified(step=step_id, direction=direction))
        self.write(run, Finished(step=step_id, direction=direction))
        return at

    @property
    def seen(self) -> tuple[Effect, ...]:
        """The effects, the newest run given first, as the ledger lists them."""
        return effects(reversed(self.runs))


def until(book: Book) -> datetime | None:
    """Until when the old certificate was served."""
    return served_until(book.seen, OLD, OLD_T)


def test_the_last_place_that_switched_away_counts() -> None:
    """The balancer first, the server days later: from then on nobody serves it."""
    book = Book()
    assert until(book) is None
    run = book.begin(PUBLISH, SWITCH, ENABLE)
    book.perform(run, "publish")
    assert until(book) is None
    first = book.perform(run, "switch")
    assert until(book) == first
    last = book.perform(run, "enable")
    assert until(book) == last
    assert served_until(book.seen, NEW, NEW_T) is None
    assert served_until(book.seen, OLD, None) == first


def test_what_came_back_is_served_again() -> None:
    """A rollback brings it back: when it ceases to be served without lbsync, the ledger does not know; the new one ceased."""
    book = Book()
    run = book.begin(SWITCH, ENABLE)
    book.perform(run, "switch")
    book.perform(run, "enable")
    book.write(run, TurnedBack(reason="asked for"))
    back = book.perform(run, "enable", UNDO)
    assert until(book) is None
    assert served_until(book.seen, NEW, NEW_T) is None  # the balancer serves it still
    book.perform(run, "switch", UNDO)
    assert until(book) is None
    gone = served_until(book.seen, NEW, NEW_T)
    assert gone is not None
    assert gone > back


def test_runs_are_told_in_the_order_of_what_happened() -> None:
    """An older run taken back after a younger one was made."""
    book = Book()
    first, second = book.begin(SWITCH), book.begin(ENABLE)
    book.perform(first, "switch")
    book.perform(second, "enable")
    book.perform(first, "switch", UNDO)
    assert [(one.step.id, one.direction) for one in book.seen] == [("switch", DO), ("enable", DO), ("switch", UNDO)]
    assert until(book) is None


def test_sides_and_words_of_strangers() -> None:
    """A switch of sides serves what comes after; an unknown verb, and no action, serve nothing that is known."""
    assert served_by(action("lb1", "switch-sides", before=OLD, after=NEW, old=[], fresh=[])) == NEW
    assert served_by(action("lb1", "publish", leaf=OLD, modes={})) == OLD
    assert served_by(action("lb1", "write-files", files={}, link=NEW)) == NEW
    assert served_by(action("lb1", "write-files", files={}, live=None)) is None
    assert served_by(action("lb1", "of-a-third-party", leaf=OLD)) is None
    assert served_by(None) is None


def test_what_was_removed_for_good_and_not_brought_back() -> None:
    """Also after the process died in it; the undo of an installation is no removal for good, another farm's is another's."""
    book = Book()
    run = book.begin(INSTALL, REMOVE, UNINSTALL)
    book.perform(run, "install")
    book.perform(run, "install", UNDO)
    assert removed(book.seen, "contoso") == frozenset()
    book.perform(run, "remove")
    book.perform(run, "uninstall")
    assert removed(book.seen, "contoso") == {("EX01", OLD), ("EX01", OLD_T), ("lb1", OLD)}
    assert removed(book.seen, "fabrikam") == frozenset()
    again = book.begin(IMPORT)
    book.perform(again, "import")
    assert removed(book.seen, "contoso") == {("lb1", OLD)}


def test_a_removal_that_the_process_died_in_may_have_happened() -> None:
    """It counts until it is known to have failed."""
    book = Book()
    run = book.begin(REMOVE, SWITCH)
    book.write(run, Intended(step=StepId("switch"), direction=DO, before={}))
    book.write(run, Intended(step=StepId("remove"), direction=DO, before={}))
    assert removed(book.seen, "contoso") == {("EX01", OLD), ("EX01", OLD_T)}
    book.write(run, Failed(step=StepId("remove"), direction=DO, error="Rejected", reason="it is in use"))
    assert removed(book.seen, "contoso") == frozenset()


def test_certificates_of_named_services_are_brought_back_too() -> None:
    """SMTP may have had another one than IIS."""
    named: JsonValue = [{"service": "SMTP", "thumbprint": OLD_T}, {"service": "POP"}, "?"]
    undo = action("EX01", "enable-certificate", thumbprint=NEW_T, also=named)
    book = Book()
    run = book.begin(step("enable", action("EX01", "enable-certificate", thumbprint=NEW_T), undo), IMPORT)
    book.perform(run, "enable")
    book.perform(run, "import")
    told = out_of_reach(Run.replay(entry.event for entry in run), frozenset({("EX01", str(OLD_T))}))
    assert told == (f"EX01 served {OLD_T} before, and it was removed there since",)


def test_a_way_back_to_what_was_removed_is_out_of_reach() -> None:
    """Told for each target that served it, while the run stands there."""
    book = Book()
    run = book.begin(INSTALL, SWITCH, ENABLE)
    book.perform(run, "switch")
    gone = frozenset({("lb1", str(OLD)), ("EX01", str(OLD_T))})
    told = out_of_reach(Run.replay(entry.event for entry in run), gone)
    assert told == (f"lb1 served {OLD} before, and it was removed there since",)
    assert out_of_reach(Run.replay(entry.event for entry in run), frozenset({("lb2", str(OLD))})) == ()
    book.write(run, TurnedBack(reason="asked for"))
    book.perform(run, "switch", UNDO)
    assert out_of_reach(Run.replay(entry.event for entry in run), gone) == ()


def test_what_is_removed_for_good_stays_when_a_run_is_taken_back() -> None:
    """A step that removes and has no undo lasts; it is shown as done, or as failed where nobody knows."""
    assert [lasting(one) for one in (REMOVE, UNINSTALL, IMPORT, INSTALL, SWITCH)] == [True, True, False, False, False]
    book = Book()
    entries = book.begin(SWITCH, REMOVE, UNINSTALL)
    book.perform(entries, "switch")
    book.perform(entries, "remove")
    book.write(entries, Intended(step=StepId("uninstall"), direction=DO, before={}))
    book.write(entries, TurnedBack(reason="killed"))
    book.perform(entries, "switch", UNDO)
    run = Run.replay(entry.event for entry in entries)
    assert run.gone
    assert [one.id for one in removed_for_good(run)] == ["remove", "uninstall"]
    assert list(run.looks().values()) == ["undone", "done", "failed"]
