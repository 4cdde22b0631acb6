"""How costs are shown: times by server, one core's rates, what the balancer does now, and what is not known.

Rule of this file: a number is shown with its unit and its spread; nothing is rounded to zero, and nothing computed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from lbsync.costs import (
    AGREE,
    BULK,
    CONNECT_HTTP,
    CONNECT_HTTPS,
    HANDSHAKE,
    OPENED,
    RESUMED,
    SHARE,
    SIGN,
    VERIFY,
    BalancerCost,
    Entry,
    Number,
    Unknown,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_STAGES: Final = {
    CONNECT_HTTP: "connect http",
    CONNECT_HTTPS: "connect https",
    HANDSHAKE: "+ full handshake",
    RESUMED: "+ resumed",
}
_WORK: Final = {
    SIGN: ("sign", "per full handshake with a client"),
    VERIFY: ("check", "bridge: per full handshake with a server"),
    AGREE: ("agree", "per handshake, on each leg"),
    BULK: ("encrypt", "every byte; bridge: on both legs"),
}
_NAMES: Final = {
    CONNECT_HTTP: "connecting to the http port",
    CONNECT_HTTPS: "connecting to the https port",
    HANDSHAKE: "full handshake",
    RESUMED: "resumed handshake",
    SIGN: "signing",
    VERIFY: "checking a signature",
    AGREE: "key agreement",
    BULK: "encryption",
    OPENED: "connections opened to servers",
    SHARE: "what the second leg takes of a core",
    "cpu": "operations per second",
    "all": "everything",
}
_UNITS: Final = {"1/s": " per second:", "%": " %"}
"""Of what a balancer reports."""
_LEAST_SHOWN: Final = 0.01


def cost_view(costs: Iterable[BalancerCost]) -> list[RenderableType]:
    """Each balancer's costs, one after the other."""
    from rich.text import Text

    parts: list[RenderableType] = [Text("What the second TLS leg costs", style="bold")]
    for cost in costs:
        head = Text.assemble((cost.balancer, "bold"), f"  measured {cost.at:%Y-%m-%d %H:%M:%S} UTC on {cost.place}")
        parts += [Text(), head, *_legs(cost.legs), *_cpu(cost.cpu), *_load(cost.load)]
        parts += [Text(f"  unknown: {line}") for line in _unknowns([*cost.legs, *cost.cpu, *cost.load])]
    return parts


def amount(value: float) -> str:
    """A number as people read it: three digits or so, and never a zero that is none."""
    if value == 0:
        return "0"
    if value < _LEAST_SHOWN:
        return f"<{_LEAST_SHOWN}"
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004


def spread(number: Number) -> str:
    """The median, and from where to where where there were several."""
    if number.n == 1:
        return amount(number.median)
    return f"{amount(number.median)} ({amount(number.least)}..{amount(number.most)})"


def _table(*columns: str) -> Table:
    from rich.table import Table

    return Table(*columns, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))


def _legs(entries: Sequence[Entry]) -> list[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    numbers = [entry for entry in entries if isinstance(entry, Number)]
    if not numbers:
        return []
    table = _table("server", *_STAGES.values(), "TLS")
    for server in dict.fromkeys(entry.subject for entry in entries):
        found = {one.id: one for one in numbers if one.subject == server}
        version = found[HANDSHAKE].note.removeprefix("TLSv") if HANDSHAKE in found else ""
        table.add_row(server, *(spread(found[stage]) if stage in found else "unknown" for stage in _STAGES), version)
    tries = max(one.n for one in numbers)
    title = Text(
        f"  Time to each server, ms: median (least..most) of {tries}. Bridging adds the handshake to the connection."
    )
    return [title, Padding(table, (0, 0, 0, 4))]


def _cpu(entries: Sequence[Entry]) -> list[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    numbers = [entry for entry in entries if isinstance(entry, Number)]
    if not numbers:
        return []
    table = _table("work", "kind", "on one core", "", "done")
    for one in numbers:
        work, when = _WORK[one.id]
        table.add_row(work, one.subject, spread(one), one.unit, when)
    title = Text(f"  One core of that host by openssl speed: median (least..most) of {numbers[0].n} rounds of 1 s")
    return [title, Padding(table, (0, 0, 0, 4))]


def _load(entries: Sequence[Entry]) -> list[RenderableType]:
    from rich.text import Text

    numbers = [entry for entry in entries if isinstance(entry, Number)]
    reported = [one for one in numbers if one.source == "reported"]
    lines: list[RenderableType] = [Text("  What it said of itself, just before:")] if reported else []
    lines += [Text(f"    {spread(one)}{_UNITS.get(one.unit, f' {one.unit}')} {one.note}") for one in reported]
    for one in numbers:
        if one.id == SHARE:
            lines += [Text(f"  The second leg now: {spread(one)} % of one core", style="bold"), Text(f"    {one.note}")]
    return lines


def _unknowns(entries: Sequence[Entry]) -> list[str]:
    """Each reason once, with all it stands for."""
    reasons: dict[str, list[Unknown]] = {}
    for entry in entries:
        if isinstance(entry, Unknown):
            reasons.setdefault(entry.why, []).append(entry)
    return [f"{_what(ones)}: {why}" for why, ones in reasons.items()]


def _what(ones: Sequence[Unknown]) -> str:
    """Subjects that lack the same are told together."""
    by_subject: dict[str, list[str]] = {}
    for one in ones:
        by_subject.setdefault(one.subject, []).append(_NAMES.get(one.id, one.id.replace("_", " ")))
    by_lack: dict[tuple[str, ...], list[str]] = {}
    for subject, lack in by_subject.items():
        by_lack.setdefault(tuple(lack), []).append(subject)
    return "; ".join(f"{', '.join(lack)} ({', '.join(subjects)})" for lack, subjects in by_lack.items())
