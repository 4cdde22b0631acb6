"""How it stands with those who are told by notices, in a sign.

Rule of this file: pure; the last outcome decides, and what waits is said before what once was well.
"""

from __future__ import annotations

from typing import Final

from lbsync.service.notices.values import NoticeState
from lbsync.service.web.views.words import Sign

_RETRIED: Final = Sign("bad", "✗", "failed, will be tried again")
_FAILED: Final = Sign("bad", "✗", "failed")
_WAITING: Final = Sign("warn", "…", "waiting")
_SENT: Final = Sign("ok", "✓", "sent")
_NEVER: Final = Sign("unk", "○", "nothing sent yet")


def standing(state: NoticeState) -> Sign:
    """What came of the last notice to a target."""
    if state.error:
        return _RETRIED if state.pending else _FAILED
    if state.pending:
        return _WAITING
    return _SENT if state.sent else _NEVER
