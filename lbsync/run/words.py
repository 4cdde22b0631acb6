"""The phases of a run in the words that people are told, wherever they are told.

Rule of this file: words only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lbsync.run.transitions import RunPhase

PHASES: Final[Mapping[RunPhase, str]] = MappingProxyType(
    {
        RunPhase.APPLYING: "being applied",
        RunPhase.FAILING: "failed, going back",
        RunPhase.AWAITING: "applied, waits for lbsync confirm",
        RunPhase.APPLIED: "applied",
        RunPhase.GOING_BACK: "going back",
        RunPhase.HOLDING: "met a foreign change, stopping",
        RunPhase.HELD: "stopped at a foreign change on the way back",
        RunPhase.INCOMPLETE: "the way back is not finished",
        RunPhase.UNDONE: "taken back, as before",
    }
)
