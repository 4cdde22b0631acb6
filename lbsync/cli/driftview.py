"""How a drift is shown: to people, by target and likely cause, and to machines.

Rule of this file: it turns values into renderables and JSON; it prints nothing and judges nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbsync.drift.baseline import Baseline
from lbsync.drift.cause import Cause
from lbsync.drift.compare import Compared
from lbsync.drift.difference import Difference
from lbsync.drift.offer import Offer, by_hand

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class Told:
    """Everything there is to say. ``offer`` is ``None``, and ``why`` empty, where ``unjudged`` says what kept from judging."""

    baseline: Baseline
    compared: Compared
    causes: dict[Difference, Cause]
    why: dict[Difference, str] = field(default_factory=dict[Difference, str])
    mended: Collection[Difference] = ()
    offer: Offer | None = None
    unjudged: str = ""

    def hand(self, one: Difference) -> str:
        """What only a hand mends of it; what was not judged may matter."""
        return by_hand(one, is_mended=one in self.mended, matters=self.why.get(one) != "")


def drift_view(told: Told) -> list[RenderableType]:
    """Each difference below its server or balancer and its likely cause; then what to do."""
    from rich.text import Text

    found = told.compared.differences
    count = "Nothing differs" if not found else "1 difference" if len(found) == 1 else f"{len(found)} differences"
    parts: list[RenderableType] = [Text(f"{count} since {told.baseline.told}.")]
    groups: dict[tuple[str, str], list[Difference]] = {}
    for one in found:
        groups.setdefault((one.target, told.causes[one].text), []).append(one)
    for (target, cause), members in groups.items():
        parts.append(Text.assemble("\n", (target, "bold"), f", likely {cause}:"))
        for one in members:
            parts += _lines(told, one)
    parts += [Text(f"{name}: does not answer now: {why}") for name, why in told.compared.unseen.items()]
    parts += [Text(f"{name}: no baseline: {why}") for name, why in told.compared.unknown.items()]
    return [*parts, *_offered(told)]


def _lines(told: Told, one: Difference) -> list[RenderableType]:
    from rich.text import Text

    why, hand = told.why.get(one, ""), told.hand(one)
    lines: list[RenderableType] = [Text.assemble((" ! " if why else " - ", "yellow" if why else ""), one.told)]
    if why:
        lines.append(Text(f"     matters: {why.rstrip('.')}"))
    if one in told.mended:
        lines.append(Text("     the plan below mends it", style="dim"))
    elif hand:
        lines.append(Text(f"     by hand: {hand}", style="dim"))
    return lines


def _offered(told: Told) -> list[RenderableType]:
    from rich.text import Text

    if told.offer is None:
        return [Text(f"\nNot judged, so no repair is offered: {told.unjudged}")] if told.unjudged else []
    if told.offer.kind == "nothing":
        return []
    commands = "; ".join(told.offer.commands)
    reasons = [Text(f"  - {reason}") for reason in told.offer.reasons]
    return [Text(f"\n{told.offer.text}"), *reasons, Text(f"Next: {commands}")]


def drift_document(told: Told) -> dict[str, object]:
    """The same as JSON."""
    return {
        "baseline": told.baseline.model_dump(mode="json", exclude={"facts"}),
        "differences": [
            {
                **one.model_dump(mode="json"),
                "cause": told.causes[one].model_dump(mode="json"),
                "matters": told.why.get(one),
                "mended_by_plan": one in told.mended,
                "by_hand": told.hand(one),
            }
            for one in told.compared.differences
        ],
        "unknown": told.compared.unknown,
        "unseen": told.compared.unseen,
        "offer": told.offer.model_dump(mode="json") if told.offer is not None else None,
        "unjudged": told.unjudged,
    }
