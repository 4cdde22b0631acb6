"""The engine: carries plans out, step by step, and takes them back.

Rule of this room: the only place where effects happen, each written down first; what to do is decided elsewhere.
"""

from __future__ import annotations

from lbsync.engine.driver import drive
from lbsync.engine.explain import changed, left_over, problem, unfinished
from lbsync.engine.lifecycle import Engine, confirm, new_run_id
from lbsync.engine.port import (
    Asked,
    Checker,
    Clock,
    Journal,
    Notice,
    Observer,
    Pacing,
    Recorded,
    Retrying,
    Site,
    SystemClock,
    WaitingForConfirmation,
)

__all__ = [
    "Asked",
    "Checker",
    "Clock",
    "Engine",
    "Journal",
    "Notice",
    "Observer",
    "Pacing",
    "Recorded",
    "Retrying",
    "Site",
    "SystemClock",
    "WaitingForConfirmation",
    "changed",
    "confirm",
    "drive",
    "left_over",
    "new_run_id",
    "problem",
    "unfinished",
]
