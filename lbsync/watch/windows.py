"""Maintenance windows: whether one is open, and when the next one opens.

Rule of this room: pure, and in the time zone that a window names. A window belongs to the day on which it begins, and may end
on the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from lbsync.model import Value

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_AHEAD_DAYS = 9
"""Any window comes again within a week; the day before may reach into today."""


class Window(Value):
    """On ``days``, from ``begins`` until ``ends`` by the clocks of ``zone`` (an IANA name).

    ``ends`` at or before ``begins`` is on the next day; both the same is a whole day. Where the clocks are put forward over
    ``begins`` it begins as much later; an hour that comes twice is meant the first time.
    """

    days: tuple[Weekday, ...]
    begins: time
    ends: time
    zone: str

    def spans(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Begin and end, in UTC, of every occurrence from the day before ``now`` (aware) to a week after it, in order."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        for offset in range(-1, _AHEAD_DAYS - 1):
            day = today + timedelta(days=offset)
            if WEEKDAYS[day.weekday()] in self.days:
                last = day + timedelta(days=self.ends <= self.begins)
                begins, ends = _instant(day, self.begins, zone), _instant(last, self.ends, zone)
                # An hour that is left out moves the begin, perhaps beyond the end: the window keeps its length then.
                length = datetime.combine(last, self.ends) - datetime.combine(day, self.begins)
                yield begins, ends if ends > begins else begins + length


def is_open(windows: Sequence[Window], now: datetime) -> bool:
    """Whether a change may begin at ``now`` (aware). Without windows it always may."""
    return not windows or any(begins <= now < ends for window in windows for begins, ends in window.spans(now))


def opens(windows: Sequence[Window], now: datetime) -> datetime:
    """When a change may begin: ``now`` itself while a window is open or where there are none, else the next opening (UTC)."""
    if is_open(windows, now):
        return now
    return min(begins for window in windows for begins, _ in window.spans(now) if begins > now)


def _instant(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)
