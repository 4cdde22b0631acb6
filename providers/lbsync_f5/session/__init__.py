"""The only room that imports f5-sdk: one logged-in session to one device."""

from __future__ import annotations

from lbsync_f5.session.login import Address
from lbsync_f5.session.session import Session, again
from lbsync_f5.session.threads import Sessions

__all__ = ["Address", "Session", "Sessions", "again"]
