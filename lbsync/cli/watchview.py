"""How a look of a watch is shown: to people, to machines, and to a monitor.

Rule of this file: it turns values into renderables and text; it prints nothing. The monitor's line and codes are those of the
Monitoring Plugins Development Guidelines, which Nagios, Icinga, Checkmk and Zabbix read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from lbsync.cli.exits import ExitCode
from lbsync.watch.items import Item, Level, Thresholds, worst
from lbsync.watch.outlook import Outlook

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lbsync.cli.watchround import Round

_STYLES: Final = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.CRITICAL: "bold red",
    Level.UNKNOWN: "magenta",
}
_ENDS: Final = {
    Level.OK: ExitCode.OK,
    Level.WARNING: ExitCode.ATTENTION,
    Level.CRITICAL: ExitCode.CRITICAL,
    Level.UNKNOWN: ExitCode.ERROR,
}
MONITOR_CODES: Final = {Level.OK: 0, Level.WARNING: 1, Level.CRITICAL: 2, Level.UNKNOWN: 3}


def exit_code(items: tuple[Item, ...]) -> ExitCode:
    """What ``lbsync watch --once`` ends with where it rotated nothing."""
    return _ENDS[worst(items)]


def watch_view(items: Iterable[Item], next_line: str) -> list[RenderableType]:
    """A line for each, with what to do below."""
    from rich.text import Text

    parts: list[RenderableType] = []
    for item in items:
        parts.append(
            Text.assemble((f"{item.level.value.upper():<9}", _STYLES[item.level]), f"{item.subject}: ", item.text)
        )
        if item.remedy:
            parts.append(Text(f"{'':<9}{item.remedy}", style="dim"))
    parts.append(Text(next_line))
    return parts


def next_line(outlook: Outlook, now: datetime) -> str:
    """What comes next, in the clocks of this system."""
    if outlook.leaf is None or outlook.at is None:
        return f"Next: {outlook.why}."
    when = "now" if outlook.at <= now else f"at {outlook.at.astimezone():%Y-%m-%d %H:%M %Z}"
    return f"Next: rotate to {outlook.leaf.thumbprint} {when}: {outlook.why}."


def watch_document(done: Round) -> dict[str, object]:
    """The same as JSON, with everything at a glance, and what a service that asks its approvers needs to know."""
    section = done.section
    return {
        "at": done.now.isoformat(),
        "level": worst(done.items).value,
        "items": [item.model_dump(mode="json") for item in done.items],
        "next": done.outlook.model_dump(mode="json"),
        "ahead": done.ahead.model_dump(mode="json"),
        "watch": {"rotate": section.rotate, "every_s": section.every_s, "jitter_s": section.jitter_s},
        "overview": done.overview.model_dump(mode="json"),
    }


def monitor_text(items: tuple[Item, ...], thresholds: Thresholds, said: str) -> str:
    """A plugin's output: one line with the worst and the fewest days left, then all of it.

    A bar would end the text for a monitor, so none is left in it.
    """
    level = worst(items)
    telling = "; ".join(f"{item.subject}: {item.text}" for item in items if item.level is level) or said
    if level is Level.OK:
        telling = said
    days = [item.days for item in items if item.days is not None]
    numbers = f" | days={min(days)};{thresholds.warn_days}:;{thresholds.critical_days}:" if days else ""
    lines = [f"{item.level.value.upper()} {item.subject}: {item.text}" for item in items]
    return "\n".join((f"LBSYNC {level.value.upper()} - {_plain(telling)}{numbers}", *map(_plain, lines)))


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
