"""How what a service says is shown by ``lbsync remote``.

Rule of this file: it turns the service's values into renderables; it prints nothing and asks nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from lbsync.cli.runview import step_line
from lbsync.cli.watchview import watch_view

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lbsync.service.values import NamespaceState, Proposal, RunDetail, RunState
    from lbsync.service.web.models import Summary

_INDENT: Final = "      "


def namespaces_view(found: Sequence[Summary]) -> list[RenderableType]:
    """Every namespace in a line."""
    from rich.table import Table

    table = Table("namespace", "farm", "level", "waiting", "drift", "next", box=None, header_style="bold")
    for one in found:
        drift = "?" if one.drift is None else str(one.drift)
        table.add_row(one.name, one.farm, one.level.value, str(one.waiting), drift, one.error or one.next_text)
    return [table]


def state_view(state: NamespaceState) -> list[RenderableType]:
    """As ``lbsync watch --once`` says it, with what waits for somebody, what is under way and when it was looked at."""
    from rich.text import Text

    parts: list[RenderableType] = []
    if state.error:
        parts.append(Text(f"Not known better: {state.error}", style="bold red"))
    parts += watch_view(state.items, f"Next: {state.next_text}." if state.next_text else "Next: not known yet.")
    if state.drift is not None and state.drift.count:
        parts += [Text(f"Drift: {state.drift.count}"), *(Text(f"  {line}", style="dim") for line in state.drift.lines)]
    parts += [Text(f"Waits for approval: {one.id}  {one.summary}") for one in state.proposals]
    if state.job is not None:
        parts.append(Text(f"Under way: {state.job.kind}, job {state.job.id}, asked for by {state.job.asked_by}"))
    parts.append(Text(f"Looked at {when(state.looked_at)}.", style="dim"))
    return parts


def proposal_view(proposal: Proposal) -> list[RenderableType]:
    """The proposal, its steps, and how to go on."""
    from rich.text import Text

    approvals = f"{len(proposal.approvals)} of {proposal.needs} approvals" if proposal.needs > 1 else ""
    parts: list[RenderableType] = [
        Text.assemble(("Proposal ", ""), (proposal.id, "bold"), (f"  {proposal.namespace}: {proposal.summary}", "")),
        Text(f"Asked for by {proposal.asked_by}; over at {when(proposal.expires_at)}.{f' {approvals}.' if approvals else ''}"),
    ]  # fmt: skip
    steps = proposal.plan.get("steps")
    parts += [
        step_line("waiting", str(step.get("target", "")), str(step.get("summary", "")))
        for step in (steps if isinstance(steps, list) else [])
        if isinstance(step, dict)
    ]
    return parts


def runs_view(runs: Sequence[RunState]) -> list[RenderableType]:
    """The runs, the newest first."""
    from rich.table import Table

    table = Table("run", "started", "by", "state", box=None, header_style="bold")
    for run in runs:
        table.add_row(run.run_id, when(run.started), run.actor, run.words)
    return [table]


def run_view(found: RunDetail) -> list[RenderableType]:
    """One run with its steps."""
    from rich.text import Text

    run = found.run
    parts: list[RenderableType] = [
        Text.assemble(("Run ", ""), (run.run_id, "bold"), (f"  {found.farm}: ", ""), (run.words, "bold")),
        Text(f"Started {when(run.started)} by {run.actor} on {found.host}."),
    ]
    for step in found.steps:
        parts.append(step_line(step.look, step.target, step.summary))
        parts += [Text(f"{_INDENT}{line}", style="dim") for line in step.lines]
    if found.problem:
        parts.append(Text(f"Problem: {found.problem}", style="bold red"))
    return parts


def fresh(before: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """Of a job's last lines those that were not there before: both are windows on one growing text."""
    for overlap in range(min(len(before), len(now)), 0, -1):
        if tuple(before[-overlap:]) == tuple(now[:overlap]):
            return now[overlap:]
    return now


def when(moment: datetime | None) -> str:
    """In the clock of this system."""
    return "never" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
