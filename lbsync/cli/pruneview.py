"""How certificates are shown that may be retired, or not: each with where it is and every reason.

Rule of this file: it turns values into renderables and into JSON, and prints nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lbsync.rotation.retiring import Retiring
    from lbsync_certs import CertificateInfo


def candidates_view(current: CertificateInfo, found: Sequence[Retiring]) -> list[RenderableType]:
    """What is served, then each candidate with its places and reasons, for people."""
    from rich.text import Text

    from lbsync.rotation.retiring import told

    parts: list[RenderableType] = [
        Text(f"Clients are served {current.thumbprint} (until {current.not_after:%Y-%m-%d}); it stays.")
    ]
    if not found:
        return [*parts, Text("No other certificate of the published names is left on servers or balancers.")]
    for one in found:
        mark, style = ("may go", "bold green") if one.fits else ("stays", "bold yellow")
        parts.append(Text.assemble((f"  {mark:<7}", style), told(one.found)))
        lines = [_places(one), *one.refused, one.since]
        parts += [Text(f"{'':<9}{line}", style="dim") for line in lines]
    return [*parts, Text()]


def candidates_document(found: Sequence[Retiring]) -> list[dict[str, object]]:
    """The same as JSON."""
    return [
        {
            "thumbprint": one.found.thumbprint,
            "fingerprint": one.found.fingerprint,
            "subject": one.found.info.subject if one.found.info else None,
            "not_after": one.found.info.not_after.isoformat() if one.found.info else None,
            "servers": list(one.found.servers),
            "balancers": list(one.found.balancers),
            "key_files": list(one.found.files),
            "may_go": one.fits,
            "not_before": one.due.isoformat() if one.due else None,
            "counted": one.since,
            "refused": list(one.refused),
        }
        for one in found
    ]


def _places(one: Retiring) -> str:
    found = one.found
    places = [*(f"in the store of {name}" for name in found.servers), *(f"on {name}" for name in found.balancers)]
    return f"is {', '.join(places)}"
