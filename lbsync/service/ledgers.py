"""A namespace's ledger, looked at: its runs, one run's steps, its chain, and whether somebody is at work.

Rule of this file: it reads, in whatever thread it is called from, and never makes a ledger where there is none. Only the command
line writes one.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from lbsync.errors import LedgerError
from lbsync.ledger import Holder, Ledger, holder
from lbsync.run import PHASES, Awaiting, Resumed, Run, RunPhase, RunStarted, RunSummary, TurnedBack
from lbsync.service.port import NotFound
from lbsync.service.values import ChainState, RunDetail, RunState, StepState

_LARGEST_REPORT = 50_000_000
_NEW_WAY = (RunStarted, Resumed, TurnedBack, Awaiting)


def runs(path: Path, limit: int) -> tuple[RunState, ...]:
    """The newest runs; empty where no run was ever made. Raises LedgerError."""
    if not path.exists():
        return ()
    with Ledger(path) as ledger:
        return tuple(_state(found) for found in ledger.runs()[:limit])


def at_work(path: Path) -> Holder | None:
    """Who works on it now. Raises LedgerError."""
    return holder(path)


def under_way_since(path: Path, run_id: str) -> datetime:
    """Since when a run has gone the way that it goes now: begun, carried on, or turned back. Raises LedgerError."""
    with Ledger(path) as ledger:
        return max(entry.at for entry in ledger.events(run_id) if isinstance(entry.event, _NEW_WAY))


def stamp(path: Path) -> tuple[int, ...]:
    """Differs from the one before once anything was written: what may be asked every second."""
    found: list[int] = []
    for one in (path, path.with_name(path.name + "-wal")):
        try:
            seen = one.stat()
        except OSError:
            found += (0, 0)
        else:
            found += (seen.st_mtime_ns, seen.st_size)
    return tuple(found)


def detail(path: Path, run_id: str) -> RunDetail:
    """A run with its steps. Raises NotFound, LedgerError."""
    summary: RunSummary | None = None
    if path.exists():
        with Ledger(path) as ledger:
            summary = next((found for found in ledger.runs() if found.run_id == run_id), None)
            run = ledger.run(run_id) if summary is not None else None
    else:
        run = None
    if summary is None or run is None:
        raise NotFound("there is no such run", where=run_id, remedy="the history lists them", code="unknown-run")
    report = path.parent / "reports" / f"{run_id}.html"
    return RunDetail(
        run=_state(summary),
        farm=run.plan.farm,
        host=run.started.host,
        steps=tuple(_steps(run)),
        problem=_problem(run),
        canary=_canary(report.with_suffix(".json")),
        report=str(report) if report.exists() else None,
    )


def chain(path: Path) -> ChainState:
    """Every hash computed again; an error is told in the value."""
    if not path.exists():
        return ChainState(ok=True)
    try:
        with Ledger(path) as ledger:
            head = ledger.verify_chain()
    except LedgerError as error:
        return ChainState(ok=False, error=str(error))
    return ChainState(ok=True, count=head.events, head=head.hash)


def _state(found: RunSummary) -> RunState:
    return RunState(
        run_id=found.run_id,
        phase=found.phase,
        words=PHASES[found.phase],
        actor=found.actor,
        started=found.started,
        last=found.last,
        interrupted=found.interrupted,
        order=found.order,
    )


def _steps(run: Run) -> list[StepState]:
    looks = run.looks()
    steps: list[StepState] = []
    for step in run.plan.steps:
        status = run.statuses[step.id]
        lines = [status.receipt.summary] if status.receipt is not None and looks[step.id] == "done" else []
        lines += [f"{one.reason} {one.remedy}".strip() for one in (status.failed, status.stuck) if one is not None]
        lines += ["somebody else changed it since"] if status.held is not None else []
        steps.append(
            StepState(
                id=step.id,
                target=step.target,
                summary=step.summary,
                look=looks[step.id],
                lines=tuple(filter(None, lines)),
            )
        )
    return steps


def _problem(run: Run) -> str:
    """Why it went back, or stopped there."""
    from lbsync.engine import problem

    if run.phase in {RunPhase.HELD, RunPhase.INCOMPLETE}:
        trouble = problem(run, wanted=RunPhase.UNDONE)
        return str(trouble) if trouble is not None else ""
    return run.turned_back or ""


def _canary(path: Path) -> dict[str, JsonValue] | None:
    """The numbers of the newest canary in a run's report."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        if path.stat().st_size <= _LARGEST_REPORT:
            report = json.loads(path.read_text(encoding="utf-8"))
            counted = [one["canary"] for one in report.get("evidence", ()) if one.get("canary")]
            return dict(counted[-1]) if counted else None
    return None
