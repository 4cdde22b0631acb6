"""From the ledger's events to a report.

Rule of this file: pure; everything is in the ledger or handed in, nothing is asked of any target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lbsync.model import Action, Step
from lbsync.report.model import Chain, Evidence, Found, Report, StepReport, Tone, Wanted
from lbsync.run import Direction, Entry, Finished, Head, Intended, Run, RunPhase, Shown, StepStatus, removed_for_good
from lbsync.services import SERVICES

_SHORT: Final = 80

OUTCOMES: Final[dict[RunPhase, tuple[str, Tone]]] = {
    RunPhase.APPLYING: ("Half applied", "busy"),
    RunPhase.FAILING: ("Failed, on its way back", "bad"),
    RunPhase.AWAITING: ("Applied, waiting for a confirmation", "busy"),
    RunPhase.APPLIED: ("Applied", "good"),
    RunPhase.GOING_BACK: ("Half taken back", "busy"),
    RunPhase.HOLDING: ("Stopping at a foreign change", "bad"),
    RunPhase.HELD: ("Stopped at a foreign change on the way back", "bad"),
    RunPhase.INCOMPLETE: ("The way back is not finished", "bad"),
    RunPhase.UNDONE: ("Taken back: everything is as before", "warn"),
}


@dataclass(frozen=True, slots=True)
class Context:
    """What the ledger does not hold: facts seen before, evidence from outside, names."""

    found: Found | None = None
    evidence: tuple[Evidence, ...] = ()
    leaf: str = ""
    hosts: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def build(run: Run, entries: Sequence[Entry], head: Head, context: Context, *, version: str) -> Report:
    """The report of a run as it stands. ``entries`` are its events with their times; ``head`` ends the whole chain."""
    gone = removed_for_good(run)
    outcome, tone = OUTCOMES[run.phase]
    if gone and run.phase is RunPhase.UNDONE:
        outcome, tone = "Taken back, but for what was removed for good", "bad"
    looks = run.looks()
    times = _times(entries)
    return Report(
        run_id=run.run_id,
        farm=run.plan.farm,
        phase=run.phase.value,
        outcome=outcome,
        tone=tone,
        reason=run.turned_back,
        started=run.started.started,
        ended=entries[-1].at,
        actor=run.started.actor,
        host=run.started.host,
        version=version,
        basis=run.plan.basis,
        wanted=Wanted(
            modes={service: run.plan.modes[service] for service in SERVICES if service in run.plan.modes},
            leaf=context.leaf or (run.plan.leaf or ""),
            hosts=context.hosts,
            warnings=run.plan.warnings,
            notes=run.plan.notes,
        ),
        found=context.found,
        steps=tuple(_step(step, run.statuses[step.id], looks[step.id], times) for step in run.plan.steps),
        evidence=context.evidence,
        go_back="" if run.gone or (gone and run.phase is RunPhase.APPLIED) else f"lbsync rollback {run.run_id}",
        left=context.left,
        chain=Chain(events=head.events, hash=head.hash, run_hash=entries[-1].hash),
    )


def _step(step: Step, status: StepStatus, look: Shown, times: Mapping[tuple[str, type], datetime]) -> StepReport:
    """One step with what is known of it, in words."""
    failed = status.stuck or status.failed
    return StepReport(
        id=step.id,
        target=step.target,
        sign=step.sign,
        summary=step.summary,
        details=step.details,
        state=look,
        started=times.get((step.id, Intended)),
        ended=times.get((step.id, Finished)),
        receipt=status.receipt.summary if status.receipt else "",
        receipt_details=status.receipt.details if status.receipt else {},
        checks=tuple(result.detail for result in status.results),
        failure=f"{failed.reason} {failed.remedy}".strip() if failed else "",
        undone=status.undo_receipt.summary if status.undo_receipt else "",
        way_back=tuple(_way_back(step)),
    )


def _times(entries: Iterable[Entry]) -> dict[tuple[str, type], datetime]:
    """When each step was begun and when it was finished, forward."""
    times: dict[tuple[str, type], datetime] = {}
    for entry in entries:
        match entry.event:
            case Intended(direction=Direction.DO, step=step):
                times.setdefault((step, Intended), entry.at)
            case Finished(direction=Direction.DO, step=step):
                times[step, Finished] = entry.at
            case _:
                pass
    return times


def _way_back(step: Step) -> Iterable[str]:
    if step.undo is not None:
        yield _words(step.undo)
    for check in step.undo_until:
        yield f"wait until {check.summary}"


def _words(action: Action) -> str:
    """An action's verb and its short arguments; long ones (before-images) stay in the plan."""
    short = [f"{name} {value}" for name, value in action.args.items() if isinstance(value, str | int | float)]
    told = ", ".join(words for words in short if len(words) < _SHORT)
    return action.verb.replace("_", " ").replace("-", " ") + (f" ({told})" if told else "")
