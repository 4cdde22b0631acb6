"""How demands are shown: what is met, what is not and what to do, and what only a person can look at.

Rule of this file: a demand carries its own words; nothing is added to them here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from lbsync.protection import Demand
from lbsync.protection.afterwards import WATCH_FOR, already_on, commands

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lbsync.facts import ServerFacts

_MARKS: Final = {"met": ("✓", "green"), "not met": ("✗", "bold red"), "not known": ("?", "yellow")}


def demands_view(title: str, judged: Sequence[Demand]) -> list[RenderableType]:
    """What lbsync sees, then what is to be looked at by hand."""
    from rich.text import Text

    seen = [demand for demand in judged if demand.seen_by == "lbsync"]
    by_hand = [demand for demand in judged if demand.seen_by == "you"]
    parts: list[RenderableType] = [Text(title, style="bold"), Text(), *_lines(seen)]
    if by_hand:
        parts += [Text(), Text("To look at by hand, before the script is run:", style="bold"), Text(), *_lines(by_hand)]
    return [*parts, Text()]


def next_view(servers: Sequence[ServerFacts]) -> list[RenderableType]:
    """The exact commands to run next, and what to watch for."""
    from rich.text import Text

    on = already_on(servers)
    if len(on) == len(servers):
        return [Text("Ready, and Extended Protection is on already on every server.", style="bold")]
    partly = f" It is on already on {', '.join(on)}." if on else ""
    return [
        Text(
            f"Ready for Extended Protection.{partly} Next, in an elevated Exchange Management Shell [u]:", style="bold"
        ),
        Text(),
        *(Text(f"    {line}") for line in commands(servers)),
        Text(),
        *(Text(f"  - {line}") for line in WATCH_FOR),
        Text(),
        Text("[u]: as Microsoft's page has it; not run by those who wrote lbsync.", style="dim"),
    ]


def _lines(judged: Sequence[Demand]) -> list[RenderableType]:
    from rich.text import Text

    lines: list[RenderableType] = []
    for demand in judged:
        mark, style = _MARKS[demand.state]
        later = (
            ""
            if demand.decides or demand.state == "met" or demand.seen_by == "you"
            else " (not demanded by the script)"
        )
        lines.append(
            Text.assemble("  ", (mark, style), " ", (f"{demand.id:<17}", "bold"), f" {demand.question}{later}")
        )
        if demand.reason:
            lines.append(Text(f"{'':<22}{demand.reason}"))
        if demand.remedy:
            lines.append(Text(f"{'':<22}do: {demand.remedy}"))
    return lines
