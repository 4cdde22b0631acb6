"""Carry a run on with everything around it: signals, progress, canary, report, and the words at its end.

Rule of this file: apply, resume and rollback go through here, so that a run looks and ends the same whichever began it.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from lbsync.cli.command import Session, parts_of, tell
from lbsync.cli.exits import ExitCode
from lbsync.cli.signals import stopping
from lbsync.errors import LedgerError
from lbsync.run import VIA_SERVICE, Run, RunPhase, removed_for_good

if TYPE_CHECKING:
    from lbsync.cli.house import House
    from lbsync.engine import Engine, Notice, Observer
    from lbsync.ledger import Ledger
    from lbsync.report import Evidence, Found

_LONGEST_ACTOR = 300
_ORDER = re.compile(r"[0-9a-f]{16}")
_ENDS = {
    RunPhase.UNDONE: ExitCode.TAKEN_BACK,
    RunPhase.HELD: ExitCode.NOT_TAKEN_BACK,
    RunPhase.INCOMPLETE: ExitCode.NOT_TAKEN_BACK,
}


@dataclass(slots=True)
class Story:
    """What a report needs and the ledger does not hold; filled while a run is on its way."""

    found: Found | None = None
    leaf: str = ""
    hosts: tuple[str, ...] = ()
    evidence: list[Evidence] = field(default_factory=list["Evidence"])


def actor() -> str:
    """Who is at work: the account, the one before sudo, and whoever asked the service for it.

    The service names that person in LBSYNC_ACTOR: one line, and the account stands beside it whatever it says.
    """
    before = os.environ.get("SUDO_USER")
    name = getpass.getuser()
    asked = " ".join(os.environ.get("LBSYNC_ACTOR", "").split())[:_LONGEST_ACTOR]
    if asked:
        return f"{''.join(filter(str.isprintable, asked))} {VIA_SERVICE} ({name})"
    return f"{before} (sudo {name})" if before and before != name else name


def order() -> str | None:
    """The id of what the service began this process for; ``None`` where a person did. It tells it in LBSYNC_ORDER."""
    told = os.environ.get("LBSYNC_ORDER", "")
    return told if _ORDER.fullmatch(told) else None


@contextmanager
def open_ledger(screen: Session) -> Generator[Ledger]:
    """The ledger, which refuses every secret this process knows. Raises LedgerError."""
    from lbsync.ledger import Ledger

    with Ledger(screen.ledger_path, forbidden=screen.redactor.found_in) as ledger:
        yield ledger


@contextmanager
def at_work(
    screen: Session, house: House, ledger: Ledger, *observers: Observer | None, ignore_hangup: bool = False
) -> Generator[Engine]:
    """An engine whose progress is shown, and which a signal stops between two steps; ``observers`` are told too."""
    from lbsync.cli.progress import Progress
    from lbsync.engine import Engine

    stop, begun = threading.Event(), threading.Event()
    with stopping(stop, _say_now, ignore_hangup=ignore_hangup), Progress(screen) as progress:
        told: list[Observer] = [progress, *(observer for observer in observers if observer is not None)]

        def observe(notice: Notice) -> None:
            begun.set()
            for one in told:
                one(notice)

        limits = house.config.limits
        workers = max(4, limits.max_unavailable + len(house.config.balancers) + 1)
        try:
            yield Engine(ledger, house.site(), workers=workers, observer=observe, stop=stop)
        except LedgerError as error:
            if not begun.is_set():
                raise
            # Nothing can be recorded any more, so nothing more is done: the run stands where the ledger says.
            tell(screen, error)
            screen.end(ExitCode.UNFINISHED)


def finish(screen: Session, house: House, ledger: Ledger, run: Run, story: Story, *, wanted: RunPhase) -> ExitCode:
    """Write the report, say how it ended, and keep what holds now; returns what the command is to end with."""
    from lbsync.cli.baselinefile import remember
    from lbsync.cli.runview import run_document
    from lbsync.engine import problem

    path = write_report(screen, ledger, run, story)
    trouble = problem(run, wanted=wanted)
    told = {"report": str(path) if path else None, "problem": parts_of(trouble) if trouble else None}
    screen.document(run_document(run) | told)
    if trouble is None:
        if wanted is RunPhase.APPLIED and run.started.confirm_within_s is not None:
            screen.result("Confirmed: it stays.")
        screen.result(f"{_done(run)}. {len(run.plan.steps)} steps, run {run.run_id}.")
        if wanted is RunPhase.APPLIED and not removed_for_good(run):
            screen.result(f"The way back: lbsync rollback {run.run_id}")
    elif not screen.as_json:
        tell(screen, trouble)
    if path is not None:
        screen.result(f"Report: {path}")
    if trouble is None:
        remember(screen, house, "applied" if run.phase is RunPhase.APPLIED else "rolled back", run.run_id)
        return ExitCode.OK
    if run.phase is RunPhase.UNDONE and removed_for_good(run):
        return ExitCode.ERROR  # what was removed is not as before
    return _ENDS.get(run.phase, ExitCode.UNFINISHED)


def _done(run: Run) -> str:
    gone = removed_for_good(run)
    if run.phase is RunPhase.APPLIED:
        return "Applied: what was removed is gone for good" if gone else "Applied"
    stays = "; ".join(f"{step.target}: {step.summary}" for step in gone)
    return (
        f"Taken back, but for what is gone for good ({stays})" if gone else "Taken back: everything is as it was before"
    )


def write_report(screen: Session, ledger: Ledger, run: Run, story: Story) -> Path | None:
    """The report of a run, evidence of earlier commands kept; ``None``, with a warning, where the disk says no."""
    from lbsync.engine import left_over
    from lbsync.report import Context, build, load, save

    before = load(run.run_id, screen.reports)
    context = Context(
        found=story.found or (before.found if before else None),
        evidence=(*(before.evidence if before else ()), *story.evidence),
        leaf=story.leaf or (before.wanted.leaf if before else ""),
        hosts=story.hosts or (before.wanted.hosts if before else ()),
        left=left_over(run) if run.phase in {RunPhase.INCOMPLETE, RunPhase.HELD} else (),
    )
    report = build(run, ledger.events(run.run_id), ledger.verify_chain(), context, version=version("lbsync"))
    try:
        return save(report, screen.reports)
    except OSError as error:
        screen.warn(f"the report could not be written to {screen.reports}: {error.strerror}")
        return None


def _say_now(words: str) -> None:
    """From a signal handler: no lock may be waited for there."""
    os.write(sys.stderr.fileno(), f"\n{words}\n".encode())
