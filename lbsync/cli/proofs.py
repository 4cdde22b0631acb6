"""How the view from outside is shown: a light per question.

Rule of this file: it turns judgements into renderables and report rows; it prints nothing and judges nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from lbsync.report import Proof
from lbsync.verdict import Evidence, Light

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES: Final = {Light.GREEN: "bold green", Light.YELLOW: "bold yellow", Light.RED: "bold red"}


def proofs_of(seen: Evidence) -> tuple[Proof, ...]:
    """Each judgement as a row of the report."""
    return tuple(
        Proof(light=one.light.value, subject=f"{one.balancer}: {one.subject}", detail=one.reason)
        for one in seen.judgements
    )


def summary_of(seen: Evidence) -> str:
    """How many lights of each colour."""
    counts = Counter(one.light for one in seen.judgements)
    return ", ".join(f"{counts[light]} {light.value}" for light in Light if counts[light]) or "nothing was asked"


def proof_view(seen: Evidence) -> list[RenderableType]:
    """A line per question."""
    from rich.table import Table
    from rich.text import Text

    table = Table("light", "balancer", "asked", "answer", box=None, header_style="bold", pad_edge=False)
    for one in seen.judgements:
        table.add_row(Text(f"● {one.light.value}", style=_STYLES[one.light]), one.balancer, one.subject, one.reason)
    return [table]
