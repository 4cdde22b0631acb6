"""The two clocks: one that never jumps, and the calendar.

Rule of this file: nothing else of the service reads a clock for a decision, so that a test can turn both as it likes.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Both clocks."""

    def now_s(self) -> float:
        """Seconds of a clock that never jumps."""
        ...

    def wall(self) -> datetime:
        """The calendar (aware)."""
        ...


class SystemClock:
    """This system's."""

    def now_s(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def wall(self) -> datetime:
        """Now, in UTC."""
        return datetime.now(UTC)
