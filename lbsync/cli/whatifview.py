"""How a supposition is shown: the verdicts that would change, then each reason that appears or vanishes, once.

Rule of this file: a finding carries its own words; nothing is added to them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lbsync.advise.compare import Comparison, VerdictChange
from lbsync.cli.adviceview import findings_view

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


def what_if_view(supposed: Mapping[str, str], implied: Mapping[str, str], change: Comparison) -> list[RenderableType]:
    """What was supposed, and the difference it makes."""
    from rich.text import Text

    said = _listed(supposed)
    if implied:
        said += f" (which turns on {_listed(implied)}, as set-up does by itself; give ep=off for set-up without it)"
    if change.empty:
        return [Text(f"With {said} nothing would change.")]
    parts: list[RenderableType] = [Text(f"With {said}:", style="bold")]
    if change.verdicts:
        parts += [Text(), _table(change.verdicts)]
    # What vanishes asks for nothing any more.
    vanishing = tuple(finding.model_copy(update={"remedy": ""}) for finding in change.vanishing)
    for title, findings in (("Reasons that appear:", change.appearing), ("Reasons that vanish:", vanishing)):
        if findings:
            parts += [Text(), Text(title, style="bold"), *findings_view(findings)]
    return parts


def _table(changes: tuple[VerdictChange, ...]) -> RenderableType:
    from rich.table import Table

    table = Table("service", "mode", "verdict", "appears", "vanishes", box=None, header_style="bold", pad_edge=False)
    for change in changes:
        mode = f"{change.mode.value} (wanted)" if change.wanted else change.mode.value
        table.add_row(
            change.service.value,
            mode,
            _verdict(change),
            ", ".join(dict.fromkeys(finding.rule for finding in change.appear)),
            ", ".join(dict.fromkeys(finding.rule for finding in change.vanish)),
        )
    return table


def _verdict(change: VerdictChange) -> Text:
    from rich.text import Text

    words = {True: "possible", False: "refused"}
    if change.before is change.after:
        return Text(f"{words[change.after]} as before")
    style = "green" if change.after else "bold red"
    return Text.assemble(f"{words[change.before]} -> ", (words[change.after], style))


def _listed(pairs: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in pairs.items())
