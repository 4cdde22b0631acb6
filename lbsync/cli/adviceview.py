"""How advice is shown: a verdict per service, and the reasons behind one on request.

Rule of this file: a finding carries its own words; nothing is added to them here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from lbsync.advice import Advice, Finding, Verdict

if TYPE_CHECKING:
    from rich.console import RenderableType

STYLES: Final = {"refuse": "bold red", "warn": "yellow", "info": "dim"}


def advice_view(advice: Advice) -> list[RenderableType]:
    """The farm's findings, a table of verdicts, then each distinct reason once."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "service", "wanted", "verdict", "possible", "recommended", "why", box=None, header_style="bold", pad_edge=False
    )
    for verdict in advice.services:
        style = "bold red" if verdict.refused else "green"
        table.add_row(
            verdict.service.value,
            verdict.wanted.value,
            Text("refused" if verdict.refused else "yes", style=style),
            ", ".join(mode.value for mode in verdict.possible) or "none",
            verdict.recommended.value,
            ", ".join(dict.fromkeys(finding.rule for finding in verdict.findings)),
        )
    parts: list[RenderableType] = [table] if advice.services else []
    seen = dict.fromkeys([*advice.farm, *(f for verdict in advice.services for f in verdict.findings)])
    return [*parts, *([Text()] if seen and parts else []), *findings_view(seen)]


def verdict_view(verdict: Verdict, farm: Iterable[Finding]) -> list[RenderableType]:
    """One service with every reason, remedy and source."""
    from rich.text import Text

    outcome = ("refused", "bold red") if verdict.refused else ("possible", "green")
    head = Text.assemble(
        (verdict.service.value, "bold"), f": {verdict.wanted.value} is wanted, which is ", outcome, "."
    )
    possible = ", ".join(mode.value for mode in verdict.possible) or "neither mode"
    return [
        head,
        Text(f"Possible now: {possible}. Recommended: {verdict.recommended.value}."),
        Text(),
        *findings_view([*verdict.findings, *farm], sources=True),
    ]


def findings_view(findings: Iterable[Finding], *, sources: bool = False) -> list[RenderableType]:
    """Each finding in one to three lines."""
    from rich.text import Text

    lines: list[RenderableType] = []
    for finding in findings:
        place = f"{', '.join(finding.where)}: " if finding.where else ""
        lines.append(
            Text.assemble(
                (f"{finding.severity:<7}", STYLES[finding.severity]),
                (finding.rule, "bold"),
                f"  {place}{finding.reason}",
            )
        )
        if finding.remedy:
            lines.append(Text(f"         do: {finding.remedy}"))
        if sources and finding.source:
            lines.append(Text(f"         source: {finding.source}", style="dim"))
    return lines
