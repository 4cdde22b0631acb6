"""A client that never stops asking while lbsync works, and counts what it was refused.

Rule of this room: it behaves like a patient, correct HTTP client over verified TLS, asks anonymously, and changes nothing.
It knows listeners and paths, never plans or providers.
"""

from __future__ import annotations

from lbsync.canary.driver import Canary
from lbsync.canary.tally import CanaryExample, CanaryReport
from lbsync.verdict import Listener

__all__ = ["Canary", "CanaryExample", "CanaryReport", "Listener"]
