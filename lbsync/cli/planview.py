"""How a plan is shown: Terraform's ``+ ~ -`` lines, with details, warnings and, on request, the way back.

Rule of this file: it turns values into renderables and prints nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

from lbsync.model import Action, Check, Mode, Plan, Step
from lbsync.services import SERVICES

if TYPE_CHECKING:
    from rich.console import RenderableType

Sign = Literal["+", "~", "-", "?"]
_STYLES: Final[dict[Sign, str]] = {"+": "bold green", "~": "bold yellow", "-": "bold red", "?": "dim"}
_WORDS: Final[dict[Sign, str]] = {"+": "to add", "~": "to change", "-": "to remove", "?": "to wait for"}


def plan_view(plan: Plan, *, show_undo: bool = False, show_checks: bool = False) -> list[RenderableType]:
    """The plan for people; ends with warnings, the count and the modes it leads to."""
    from rich.text import Text

    if not plan.steps:
        return [Text("Nothing to do: everything is as wanted.", style="bold"), *_said(plan)]
    parts: list[RenderableType] = [Text(f"Plan for {plan.farm}:", style="bold"), Text()]
    for step in plan.steps:
        parts += _step(step, show_undo=show_undo, show_checks=show_checks)
    return [*parts, Text(), *plan_summary(plan)]


def plan_summary(plan: Plan) -> list[RenderableType]:
    """Warnings, notes, how many steps of which kind, and where they lead."""
    from rich.text import Text

    counts = Counter(step.sign for step in plan.steps)
    told = ", ".join(f"{counts[sign]} {word}" for sign, word in _WORDS.items() if counts[sign])
    return [*_said(plan), Text(f"Plan: {told}. {_modes(plan)}".rstrip(), style="bold")]


def _said(plan: Plan) -> list[RenderableType]:
    from rich.text import Text

    warnings = [Text.assemble(("Warning: ", "bold yellow"), warning) for warning in plan.warnings]
    return [*warnings, *(Text.assemble(("Note: ", "bold"), note) for note in plan.notes)]


def _step(step: Step, *, show_undo: bool, show_checks: bool) -> list[RenderableType]:
    from rich.text import Text

    head = Text.assemble("  ", (step.sign, _STYLES[step.sign]), " ", (f"{step.target:<10}", "cyan"), " ", step.summary)
    below = [(detail, "dim") for detail in step.details]
    if show_checks:
        below += [(f"until {check_words(check)}", "dim") for check in step.until]
    if show_undo:
        below += [(line, "magenta") for line in way_back(step)]
    return [head, *(Text(f"{'':<15} {line}", style=style) for line, style in below)]


def way_back(step: Step) -> list[str]:
    """The undo of a step in words; empty for a step that leaves nothing behind."""
    lines = [f"undo: {action_words(step.undo)}"] if step.undo is not None else []
    return lines + [f"undo until {check_words(check)}" for check in step.undo_until]


def action_words(action: Action) -> str:
    """An action as its verb and its arguments."""
    arguments = ", ".join(
        f"{name}={value}" for name, value in action.args.items() if not isinstance(value, dict | list)
    )
    more = [name for name, value in action.args.items() if isinstance(value, dict | list)]
    listed = ", ".join(part for part in (arguments, *more) if part)
    return f"{action.target}: {action.verb}({listed})"


def check_words(check: Check) -> str:
    """A check as its summary and its patience."""
    return f"{check.summary} (at most {check.deadline_s:.0f} s)"


def _modes(plan: Plan) -> str:
    """Which services end up in which mode."""
    told: list[str] = []
    for mode in Mode:
        services = [service.value for service in SERVICES if plan.modes.get(service) is mode]
        if services:
            told.append(f"{mode.value}: {', '.join(services)}")
    return "; ".join(told) + "." if told else ""
