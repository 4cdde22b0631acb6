"""Maintenance windows: open or not, and when the next one opens, by the clocks of their zone."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from lbsync.watch.windows import WEEKDAYS, Weekday, Window, is_open, opens


def window(begins: str, ends: str, *days: Weekday, zone: str = "Europe/Berlin") -> Window:
    """On every day unless days are named."""
    return Window(days=days or WEEKDAYS, begins=time.fromisoformat(begins), ends=time.fromisoformat(ends), zone=zone)


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NIGHTS = window("22:00", "04:00", "sat")


@pytest.mark.parametrize(
    ("windows", "now", "expected"),
    [
        ((), "2026-11-27T15:00", "2026-11-27T15:00"),
        ((NIGHTS,), "2026-11-27T15:00", "2026-11-28T21:00"),  # Friday
        ((NIGHTS,), "2026-11-28T20:59", "2026-11-28T21:00"),
        ((NIGHTS,), "2026-11-28T21:00", "2026-11-28T21:00"),
        ((NIGHTS,), "2026-11-29T02:59", "2026-11-29T02:59"),  # Sunday, of Saturday's window
        ((NIGHTS,), "2026-11-29T03:00", "2026-12-05T21:00"),
        ((NIGHTS, window("12:00", "13:00", "wed")), "2026-11-29T03:00", "2026-12-02T11:00"),
        ((window("00:00", "00:00", "sun"),), "2026-11-29T22:30", "2026-11-29T22:30"),  # a whole day
        ((window("00:00", "00:00", "sun"),), "2026-11-29T23:00", "2026-12-05T23:00"),
        ((window("09:00", "10:00", zone="Asia/Kolkata"),), "2026-11-27T03:29", "2026-11-27T03:30"),
        ((window("09:00", "10:00", zone="UTC"),), "2026-11-27T10:00", "2026-11-28T09:00"),
    ],
)
def test_when_a_change_may_begin(windows: tuple[Window, ...], now: str, expected: str) -> None:
    """Now while one is open, else at the next opening."""
    assert opens(windows, at(now)) == at(expected)
    assert is_open(windows, at(now)) is (now == expected)


def test_clocks_that_are_put_forward_and_back() -> None:
    """An hour that is left out moves the begin; an hour that comes twice is meant the first time."""
    spring = window("02:30", "04:00", "sun")
    assert opens((spring,), at("2026-03-29T00:00")) == at("2026-03-29T01:30")  # 02:30 is 03:30 summer time
    short = window("02:00", "03:00", "sun")  # all of it is left out: it is open for an hour, an hour later
    assert opens((short,), at("2026-03-29T00:00")) == at("2026-03-29T01:00")
    assert is_open((short,), at("2026-03-29T01:59"))
    assert not is_open((short,), at("2026-03-29T02:00"))
    autumn = window("01:00", "02:30", "sun")
    assert is_open((autumn,), at("2026-10-25T00:29"))  # 02:29 summer time
    assert not is_open((autumn,), at("2026-10-25T00:30"))
    assert not is_open((autumn,), at("2026-10-25T01:15"))  # 02:15 again
