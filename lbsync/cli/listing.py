"""``lbsync runs`` and ``lbsync show``: what was done here, from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.options import AsJson, Quiet, RunId, StateFolder

if TYPE_CHECKING:
    from datetime import datetime

    from lbsync.desired import Remembered
    from lbsync.errors import LbsyncError
    from lbsync.ledger import Ledger
    from lbsync.run import Entry, RunPhase


def runs(state: StateFolder = None, as_json: AsJson = False) -> None:
    """List the runs, the newest first."""
    with command(as_json=as_json, state=state) as screen:
        ledger = existing(screen)
        if ledger is None:
            _list_none(screen)
            return
        with ledger:
            _list(screen, ledger)


def show(
    run: RunId = "latest",
    state: StateFolder = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    undo: Annotated[bool, typer.Option("--undo", help="Show each step's way back too.")] = False,
) -> None:
    """Show one run, step by step, and its report."""
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.runview import run_document, run_view

        ledger = existing(screen)
        if ledger is None:
            raise nothing_yet(screen)
        with ledger:
            found = ledger.run(ledger.resolve(run))
        report = screen.reports / f"{found.run_id}.html"
        screen.result(*run_view(found, undo=undo))
        if report.exists():
            screen.result(f"Report: {report}")
        screen.document(run_document(found) | {"report": str(report) if report.exists() else None})


def existing(screen: Session) -> Ledger | None:
    """The ledger, or ``None`` where no run was ever made; looking makes no file."""
    from lbsync.ledger import Ledger

    return Ledger(screen.ledger_path) if screen.ledger_path.exists() else None


def recorded(screen: Session) -> tuple[tuple[Entry, ...], ...]:
    """Every run with everything that happened to it; empty where no run was ever made. Raises LedgerError."""
    ledger = existing(screen)
    if ledger is None:
        return ()
    with ledger:
        return tuple(ledger.events(found.run_id) for found in ledger.runs())


def remembered(screen: Session, farm: str) -> Remembered:
    """What lbsync found on this farm before it offloaded; nothing from a damaged ledger, with which no run may begin anyway."""
    from lbsync.desired import Remembered
    from lbsync.errors import LedgerError
    from lbsync.remembered import recall

    try:
        return recall(recorded(screen), farm)
    except LedgerError:
        return Remembered()


def nothing_yet(screen: Session) -> Exception:
    """The error of a command that needs a run where there is none."""
    from lbsync.errors import LedgerError

    return LedgerError(
        "no run has been made yet",
        where=str(screen.ledger_path),
        state="nothing was changed",
        remedy="lbsync plan, then lbsync apply; or name another folder with --state",
    )


def left_unfinished(screen: Session) -> LbsyncError | None:
    """Why no run may begin now, from the ledger alone: another process is at work, or a run of before stands half-way.

    The engine refuses too, when it has the lock; asked before, nobody reads advice about a farm that is half-way.
    """
    from lbsync.engine import unfinished
    from lbsync.ledger import holder, under_way

    ledger = existing(screen)
    if ledger is None:
        return None
    with ledger:
        found = ledger.latest_unfinished()
        at_work = holder(screen.ledger_path)
        if at_work is not None:
            return under_way(screen.ledger_path, at_work)
        return unfinished(found, ledger.phase(found)) if found is not None else None


def _list_none(screen: Session) -> None:
    screen.result(f"No run has been made yet with this state folder: {screen.folder}")
    screen.document([])


def _list(screen: Session, ledger: Ledger) -> None:
    from rich.table import Table

    from lbsync.cli.runview import PHASES
    from lbsync.ledger import holder

    at_work = holder(screen.ledger_path)
    found_any = ledger.runs()
    if not found_any:
        _list_none(screen)
        return
    table = Table("run", "farm", "started", "by", "state", box=None, header_style="bold")
    rows: list[dict[str, object]] = []
    for found in found_any:
        working = at_work is not None and at_work.run_id == found.run_id
        words = PHASES[found.phase]
        if found.phase.unfinished and not working:
            words = "stopped by its operator" if found.interrupted else _cut_off(found.phase)
        table.add_row(found.run_id, found.farm, _when(found.started), f"{found.actor}@{found.host}", words)
        rows.append(
            {
                "run": found.run_id, "farm": found.farm, "started": found.started.isoformat(),
                "last": found.last.isoformat(), "actor": found.actor, "host": found.host,
                "phase": found.phase.value, "working": working, "interrupted": found.interrupted,
            }
        )  # fmt: skip
    screen.result(table)
    screen.document(rows)


def _cut_off(phase: RunPhase) -> str:
    """What to do about a run whose process is gone."""
    from lbsync.run import RunPhase

    return f"was cut off: lbsync {'confirm' if phase is RunPhase.AWAITING else 'resume'}, or rollback"


def _when(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
