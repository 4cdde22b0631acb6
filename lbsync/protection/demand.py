"""One demand, as a value.

Rule of this file: it carries its own words; whoever prints it adds nothing.
"""

from __future__ import annotations

from typing import Literal

from lbsync.model import Value

LEARN = "Microsoft: Configure Windows Extended Protection in Exchange Server"
SCRIPT = "Microsoft CSS-Exchange: ExchangeExtendedProtectionManagement.ps1"


class Demand(Value):
    """What must hold, and whether it does.

    ``seen_by`` says who can tell: lbsync, or you by hand. ``decides`` is false for what lbsync cannot see, and for what hurts
    later only; such a demand never makes a farm unready. ``lbsync_can`` is true where the plan of ``prepare ep`` meets it.
    """

    id: str
    question: str
    state: Literal["met", "not met", "not known"]
    seen_by: Literal["lbsync", "you"] = "lbsync"
    decides: bool = True
    lbsync_can: bool = False
    reason: str = ""
    remedy: str = ""
    source: str = LEARN
