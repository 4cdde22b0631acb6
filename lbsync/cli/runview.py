"""How a run is shown: its plan's lines with what became of each.

Rule of this file: it turns values into renderables and into JSON; it prints nothing and asks nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lbsync.run import PHASES, Run, RunPhase, Shown, removed_for_good

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

__all__ = ["MARKS", "PHASES", "run_document", "run_view", "step_line"]

MARKS: Final[dict[Shown, tuple[str, str]]] = {
    "waiting": ("·", "dim"),
    "running": ("▸", "cyan"),
    "checking": ("▸", "cyan"),
    "done": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "undoing": ("◂", "yellow"),
    "undone": ("↺", "yellow"),
    "skipped": ("-", "dim"),
}


def run_view(run: Run, *, undo: bool = False) -> list[RenderableType]:
    """The run's head, its steps, and what stopped it, for people."""
    from rich.text import Text

    from lbsync.engine import changed

    head = Text.assemble(("Run ", ""), (run.run_id, "bold"), (f"  {run.plan.farm}: ", ""), (_phase(run), "bold"))
    parts: list[RenderableType] = [head, Text(f"Started {run.started.started.astimezone():%Y-%m-%d %H:%M:%S} by "
                                              f"{run.started.actor} on {run.started.host}."), Text()]  # fmt: skip
    looks = run.looks()
    for step in run.plan.steps:
        status = run.statuses[step.id]
        parts.append(step_line(looks[step.id], step.target, step.summary))
        said = status.receipt.summary if status.receipt and looks[step.id] == "done" else ""
        lines = [
            said,
            *(f"{failed.reason} {failed.remedy}".strip() for failed in (status.failed, status.stuck) if failed),
        ]
        if undo and step.undo is not None:
            lines.append(f"way back: {step.undo.verb}")
        parts += [Text(f"      {line}", style="dim") for line in lines if line]
    for held in run.holds:
        step = run.step(held.step)
        parts.append(Text(f"Foreign change at {step.target}: {step.summary}", style="bold red"))
        parts += [Text(f"      {line}", style="red") for line in changed(held)]
    if run.turned_back:
        parts.append(Text(f"Went back because: {run.turned_back}"))
    return parts


def _phase(run: Run) -> str:
    """How far it came, in words; what has no way back is not as before."""
    undone = run.phase is RunPhase.UNDONE and removed_for_good(run)
    return "taken back, but for what was removed for good" if undone else PHASES[run.phase]


def step_line(look: Shown, target: str, summary: str) -> Text:
    """One step in one line; one that is taken back does the reverse of its summary, so it says so."""
    from rich.text import Text

    mark, style = MARKS[look]
    if look in {"undone", "undoing"}:
        summary = f"undo: {summary}"
    return Text.assemble(
        "  ", (mark, style), " ", (f"{target:<10}", "dim"), " ", (summary, style if look == "failed" else "")
    )


def run_document(run: Run) -> dict[str, object]:
    """The run as JSON."""
    looks = run.looks()
    return {
        "run": run.run_id,
        "farm": run.plan.farm,
        "phase": run.phase.value,
        "interrupted": run.interrupted,
        "turned_back": run.turned_back,
        "started": run.started.started.isoformat(),
        "actor": run.started.actor,
        "host": run.started.host,
        "steps": [
            {
                "id": step.id,
                "target": step.target,
                "summary": step.summary,
                "state": looks[step.id],
                "receipt": status.receipt.summary if (status := run.statuses[step.id]).receipt else None,
                "failed": status.failed.model_dump(mode="json") if status.failed else None,
                "stuck": status.stuck.model_dump(mode="json") if status.stuck else None,
                "held": status.held.model_dump(mode="json") if status.held else None,
            }
            for step in run.plan.steps
        ],
    }
