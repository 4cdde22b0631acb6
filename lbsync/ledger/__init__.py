"""The ledger: what was done, kept so that a killed run can go on and an old one can be taken back.

Rule of this room: it stores and returns events, and holds the lock that lets one run work at a time. It decides nothing.
"""

from __future__ import annotations

from lbsync.ledger.lock import Holder, RunLock, holder, under_way
from lbsync.ledger.store import Ledger, PhaseChanged, SecretRefused, private_key_in
from lbsync.run import Entry, Head, RunSummary

__all__ = [
    "Entry",
    "Head",
    "Holder",
    "Ledger",
    "PhaseChanged",
    "RunLock",
    "RunSummary",
    "SecretRefused",
    "holder",
    "private_key_in",
    "under_way",
]
