"""Reports: one page and one JSON per run, fit for a change ticket.

Rule of this room: what was wanted, found, done and proven, and how to go back; no secret, and nothing that is not in the
ledger or was not seen from outside. It asks no target and prints nothing.
"""

from __future__ import annotations

from lbsync.report.build import Context, build
from lbsync.report.files import load, save
from lbsync.report.model import Canary, Evidence, Found, Light, Proof, Report, Row, StepReport, Wanted
from lbsync.report.page import page

__all__ = [
    "Canary",
    "Context",
    "Evidence",
    "Found",
    "Light",
    "Proof",
    "Report",
    "Row",
    "StepReport",
    "Wanted",
    "build",
    "load",
    "page",
    "save",
]
