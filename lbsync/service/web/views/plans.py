"""A plan that waits, line by line, and a run step by step.

Rule of this file: pure; a step is shown as the command line shows it, the way back included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from pydantic import JsonValue, ValidationError

from lbsync.model import Action, Check, Mode, Plan, Step
from lbsync.run import RunPhase
from lbsync.service.proposals import approved_by
from lbsync.service.values import JobState, Proposal, Role, RunDetail, StepState, Who
from lbsync.service.web.views.words import LOOKS, SERVICES, SIGNS, Sign, text_of
from lbsync.services import SERVICES as ALL

ToRun = Literal["rollback", "resume", "confirm"]
_OPEN: Final = frozenset({"running", "checking", "undoing", "failed"})
_CANARY: Final = (
    ("requests", "requests sent"),
    ("errors", "without an answer as it should be"),
    ("longest_gap_s", "longest silence, seconds"),
    ("announced_closes", "connections closed politely"),
    ("held", "long polls held"),
)


_ACTIONS: Final[Mapping[RunPhase, tuple[ToRun, ...]]] = {
    RunPhase.AWAITING: ("confirm", "rollback"),
    RunPhase.APPLIED: ("rollback",),
    RunPhase.UNDONE: (),
    RunPhase.HELD: ("rollback",),
    RunPhase.INCOMPLETE: ("rollback",),
    RunPhase.APPLYING: ("resume", "rollback"),
    RunPhase.FAILING: ("resume",),
    RunPhase.GOING_BACK: ("resume",),
    RunPhase.HOLDING: ("resume",),
}


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One line of a plan; ``undo`` is empty for a step without a way back."""

    sign: str
    sign_word: str
    css: str
    target: str
    summary: str
    details: tuple[str, ...]
    until: tuple[str, ...]
    undo: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanView:
    """A whole plan."""

    steps: tuple[PlanStep, ...]
    counts: str
    modes: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Say:
    """Whether somebody may approve a proposal now; if not, why not."""

    may: bool
    why: str
    missing: int


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step of a run with its mark; an undone one does the reverse of its summary, so it says so."""

    id: str
    sign: Sign
    target: str
    summary: str
    lines: tuple[str, ...]
    open: bool


def plan_view(document: Mapping[str, JsonValue]) -> PlanView | None:
    """A plan as ``lbsync plan --json`` prints it; None where it is none that this version knows."""
    known = {key: value for key, value in document.items() if key in Plan.model_fields}
    try:
        plan = Plan.model_validate(known)
    except ValidationError:
        return None
    counts = Counter(step.sign for step in plan.steps)
    return PlanView(
        steps=tuple(_plan_step(step) for step in plan.steps),
        counts=", ".join(f"{counts[sign]} {word}" for sign, word in SIGNS.items() if counts[sign]),  # type: ignore[index]
        modes=tuple(
            f"{mode.value}: {', '.join(names)}"
            for mode in Mode
            if (names := [SERVICES[service] for service in ALL if plan.modes.get(service) is mode])
        ),
        warnings=plan.warnings,
        notes=plan.notes,
    )


def _plan_step(step: Step) -> PlanStep:
    undo = [f"{_action(step.undo)}"] if step.undo is not None else []
    return PlanStep(
        sign=step.sign,
        sign_word=SIGNS[step.sign],
        css={"+": "ok", "~": "warn", "-": "bad", "?": "unk"}[step.sign],
        target=step.target,
        summary=step.summary,
        details=step.details,
        until=tuple(_check(check) for check in step.until),
        undo=(*undo, *(f"until {_check(check)}" for check in step.undo_until)),
    )


def _action(action: Action) -> str:
    plain = ", ".join(f"{name}={value}" for name, value in action.args.items() if not isinstance(value, dict | list))
    more = [name for name, value in action.args.items() if isinstance(value, dict | list)]
    return f"{action.target}: {action.verb}({', '.join(part for part in (plain, *more) if part)})"


def _check(check: Check) -> str:
    return f"{check.summary} (at most {check.deadline_s:.0f} s)"


def say(proposal: Proposal, who: Who) -> Say:
    """Whether ``who`` may approve. The hub judges again; with four eyes (more than one needed) whoever asked may not."""
    missing = max(0, proposal.needs - len(proposal.approvals))
    if not who.role.may(Role.APPROVER):
        return Say(may=False, why="Only an approver may approve or decline.", missing=missing)
    if approved_by(proposal, who):
        return Say(may=False, why="You have approved it; somebody else has to as well.", missing=missing)
    return Say(may=True, why="", missing=missing)


def step_lines(steps: tuple[StepState, ...]) -> tuple[StepLine, ...]:
    """Every step; what is under way or failed stands open."""
    return tuple(
        StepLine(
            id=step.id,
            sign=LOOKS[step.look],
            target=step.target,
            summary=f"undo: {step.summary}" if step.look in {"undone", "undoing"} else step.summary,
            lines=step.lines,
            open=step.look in _OPEN,
        )
        for step in steps
    )


def progress(steps: tuple[StepState, ...]) -> str:
    """``7 of 12 steps done``, and what else there is to count."""
    counts = Counter(step.look for step in steps)
    said = [f"{counts['done']} of {len(steps)} steps done"]
    said += [f"{counts[look]} {LOOKS[look].word}" for look in ("failed", "undone") if counts[look]]
    return ", ".join(said)


def now(steps: tuple[StepState, ...]) -> str:
    """What is under way, for who listens; targets of the same summary together."""
    busy = [step for step in steps if step.look in {"running", "checking", "undoing"}]
    return "; ".join(
        f"{summary} at {', '.join(step.target for step in found)}"
        for summary, found in groupby(busy, key=lambda step: step.summary)
    )


def canary(numbers: Mapping[str, JsonValue] | None) -> tuple[tuple[str, str], ...]:
    """What came of the requests sent meanwhile: a word and a number each."""
    return tuple((word, text_of(numbers[key])) for key, word in _CANARY if key in numbers) if numbers else ()


def actions(detail: RunDetail, job: JobState | None, who: Who) -> tuple[ToRun, ...]:
    """What may be done to a run while nothing is being changed: the command judges in the end."""
    working = job is not None and job.ended is None and job.kind not in {"look", "drift", "advise", "plan"}
    if not who.role.may(Role.APPROVER) or working:
        return ()
    return _ACTIONS[detail.run.phase]
