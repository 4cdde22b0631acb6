"""What became of a run, as the error a person reads; ``None`` when all is as wanted.

Rule of this file: pure. It says what state things are in and what to do next, from what the run holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from lbsync.errors import (
    Denied,
    ForeignChange,
    Interrupted,
    LbsyncError,
    PlanRefused,
    Rejected,
    RollbackIncomplete,
    TargetError,
    Unreachable,
    VerifyFailed,
)
from lbsync.model import State
from lbsync.run import PHASES, Failed, Held, Run, RunPhase, removed_for_good

_KNOWN: dict[str, type[LbsyncError]] = {
    kind.__name__: kind for kind in (Denied, Unreachable, Rejected, TargetError, VerifyFailed, RollbackIncomplete)
}


def problem(run: Run, *, wanted: RunPhase = RunPhase.APPLIED) -> LbsyncError | None:
    """Why a run that came to rest is not ``wanted`` (APPLIED after apply and resume, UNDONE after a rollback)."""
    if run.phase is wanted:
        return None
    match run.phase:
        case RunPhase.HELD:
            return _held(run)
        case RunPhase.INCOMPLETE:
            return _incomplete(run)
        case RunPhase.UNDONE:
            return _undone(run)
        case RunPhase.APPLIED:
            return LbsyncError(
                "the run stays applied", where=run.run_id, remedy=f"`lbsync rollback {run.run_id}` takes it back"
            )
        case _:
            return _interrupted(run)


def unfinished(run_id: str, phase: RunPhase) -> PlanRefused:
    """Why no run may begin now: this one of before stands half-way, or waits for its confirmation."""
    keep = (
        f"`lbsync confirm {run_id}` keeps it"
        if phase is RunPhase.AWAITING
        else f"`lbsync resume {run_id}` carries it on"
    )
    return PlanRefused(
        f"run {run_id} is unfinished ({phase.value.replace('_', ' ')})",
        state="nothing was changed",
        remedy=f"{keep}, `lbsync rollback {run_id}` takes it back",
        code="unfinished-run",
    )


def begun_before(run_id: str, phase: RunPhase) -> PlanRefused:
    """Why no run is begun for this order: another process began this one for it."""
    return PlanRefused(
        "what was approved was begun before, by another process",
        where=run_id,
        state=f"nothing was changed by this command; run {run_id} is {PHASES[phase]}",
        remedy=f"`lbsync show {run_id}` tells what became of it; for more than that have a new plan approved",
        code="begun-before",
    )


def left_over(run: Run) -> tuple[str, ...]:
    """What a run left on its targets, a line per step, the last thing done first: as it was before, to put back by hand."""
    cleared = run.cleared()
    return tuple(
        f"{step.target}: {step.summary}; before it was {_shown(run.statuses[step.id].before)}"
        for step in reversed(run.plan.steps)
        if step.id not in cleared and step.undo is not None
    )


def _held(run: Run) -> ForeignChange:
    steps = [run.step(held.step) for held in run.holds]
    return ForeignChange(
        "somebody else changed what would be put back: " + "; ".join(step.summary for step in steps),
        where=", ".join(dict.fromkeys(step.target for step in steps)),
        state=" / ".join(f"{run.step(held.step).summary}: {'; '.join(changed(held))}" for held in run.holds)
        + _taken_back_after(run),
        remedy=f"find out who changed it; `lbsync rollback {run.run_id} --force` puts back what was before lbsync came",
        code="foreign-change",
    )


def _taken_back_after(run: Run) -> str:
    """What followed a held step is undone: a server may stand drained, and nobody would look for that."""
    held = {held.step for held in run.holds}
    undone = [step.summary for step in run.plan.steps if step.undo is not None and held & set(step.after)]
    return f" / taken back already: {'; '.join(undone)}" if undone else ""


def changed(held: Held) -> tuple[str, ...]:
    """What somebody else changed, value by value; what is as lbsync left it is not told."""
    before, left, now = (dict(_values(state)) for state in (held.before, held.left, held.now))
    names = dict.fromkeys((*left, *now))
    return tuple(
        f"{name}: before {_value(before, name)}, lbsync left {_value(left, name)}, now {_value(now, name)}"
        for name in names
        if left.get(name) != now.get(name)
    )


def _values(value: JsonValue, path: str = "") -> Iterator[tuple[str, JsonValue]]:
    """The single values of a state under their names; a table in a table is joined by a slash."""
    if not isinstance(value, dict):
        yield path, value
        return
    for name in sorted(value):
        yield from _values(value[name], f"{path}/{name}" if path else name)


def _value(values: Mapping[str, JsonValue], name: str) -> str:
    return json.dumps(values[name], sort_keys=True) if name in values else "none"


def _incomplete(run: Run) -> RollbackIncomplete:
    return RollbackIncomplete(
        "the way back could not be finished: " + "; ".join(_said(run, failed) for failed in run.stuck),
        where=", ".join(dict.fromkeys(failed.where for failed in run.stuck)),
        state="left: " + " / ".join(left_over(run)),
        remedy=f"mend the cause and run `lbsync rollback {run.run_id}` again, or put each thing left back by hand in this order",
        code="rollback-incomplete",
    )


def _undone(run: Run) -> LbsyncError:
    gone = removed_for_good(run)
    state = "everything is as it was before"
    if gone:
        done = "; ".join(f"{step.target}: {step.summary}" for step in gone)
        state = f"what has no way back stays done, or may be half done ({done}); everything else is as it was before"
    if not run.failures:
        return LbsyncError(f"it was taken back: {run.turned_back}", where=run.run_id, state=state, code="taken-back")
    first = run.failures[0]
    kind = _KNOWN.get(first.error, LbsyncError)
    return kind(_said(run, first), where=first.where, state=state, remedy=first.remedy, code=first.code)


def _interrupted(run: Run) -> Interrupted:
    counts = run.progress().counts
    shown = ", ".join(f"{number} {look}" for look, number in counts.items())
    going = "on its way back" if run.turned_back else "while it was applied"
    return Interrupted(
        f"the run was stopped {going}",
        where=run.run_id,
        state=f"of {len(run.plan.steps)} steps: {shown}",
        remedy=f"`lbsync resume {run.run_id}` carries it on, `lbsync rollback {run.run_id}` takes it back",
        code="interrupted",
    )


def _said(run: Run, failed: Failed) -> str:
    return f"{run.step(failed.step).summary}: {failed.reason}"


def _shown(state: State | None) -> str:
    return json.dumps(state, sort_keys=True) if state is not None else "unknown"
