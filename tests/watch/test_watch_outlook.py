"""Whether to rotate now: only where it is allowed, to the only one that fits, in a window, and not again too soon."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from lbsync.testing.farm_facts import NOW, balancer_facts, leaf_info
from lbsync.watch.items import Hindrance, Level, Sight
from lbsync.watch.memory import BackOff, Memory
from lbsync.watch.outlook import outlook
from lbsync.watch.windows import WEEKDAYS, Window, opens
from tests.watch.sights import NEW, balancer, farm, fitting, sight

HALF_WAY = Hindrance(level=Level.CRITICAL, text="run x is half-way", remedy="lbsync resume")
HOUR = timedelta(hours=1)
LATER = Window(days=WEEKDAYS, begins=(NOW + 2 * HOUR).time(), ends=(NOW + 3 * HOUR).time(), zone="UTC")
ALWAYS = Window(days=WEEKDAYS, begins=time(0), ends=time(0), zone="UTC")


@pytest.mark.parametrize(
    ("seen", "allowed", "words"),
    [
        (sight(), True, "no renewed certificate"),
        (sight(fitting(), fitting(leaf_info(4))), True, "nobody guesses"),
        (sight(fitting()), False, "lbsync rotate"),
        (sight(fitting(), hindrance=HALF_WAY), True, "half-way"),
        (sight(fitting(), unseen=(("lb1", "cannot be reached"),)), True, "does not answer"),
        (sight(fitting(), facts=farm(balancer(), balancer_facts("lb2"))), True, "publishes nothing"),
    ],
    ids=["none", "several", "not allowed", "half-way", "unseen", "unpublished"],
)
def test_it_does_nothing(seen: Sight, allowed: bool, words: str) -> None:
    """And says why."""
    ahead = outlook(seen, Memory(), (), NOW, allowed=allowed)
    assert not ahead.due(NOW + 1000 * HOUR)
    assert words in ahead.why


def test_it_rotates_at_once_where_nothing_speaks_against_it() -> None:
    """Also in a window that is open."""
    for windows in ((), (ALWAYS,), (LATER, ALWAYS)):
        ahead = outlook(sight(fitting()), Memory(), windows, NOW, allowed=True)
        assert (ahead.leaf, ahead.at) == (NEW, NOW)
        assert ahead.due(NOW)


def test_it_waits_for_its_window_and_for_a_failure_to_rest() -> None:
    """Whichever is later; a window that opens before the rest is over is let go by."""
    ahead = outlook(sight(fitting()), Memory(), (LATER,), NOW, allowed=True)
    assert ahead.at == opens((LATER,), NOW)
    assert not ahead.due(NOW)
    assert "window" in ahead.why
    memory = Memory().failed(NEW, "no", NOW, BackOff(first_s=3600, most_s=3600), run=None)
    ahead = outlook(sight(fitting()), memory, (), NOW, allowed=True)
    assert ahead.at == NOW + HOUR
    assert "tried again" in ahead.why
    memory = Memory().failed(NEW, "no", NOW, BackOff(first_s=4 * 3600, most_s=4 * 3600), run=None)
    ahead = outlook(sight(fitting()), memory, (LATER,), NOW, allowed=True)
    assert ahead.at == opens((LATER,), NOW) + timedelta(days=1)
    memory = Memory().failed(leaf_info(4), "another one", NOW, BackOff(first_s=3600, most_s=3600), run=None)
    assert outlook(sight(fitting()), memory, (), NOW, allowed=True).due(NOW)


def test_it_never_repeats_what_a_person_took_back() -> None:
    """A rotation that somebody rolled back is somebody's decision; the watch's own failure rests and is tried again."""
    regretted = sight(fitting(), taken_back={NEW.fingerprint: "r1"})
    ahead = outlook(regretted, Memory(), (), NOW, allowed=True)
    assert not ahead.due(NOW + 1000 * HOUR)
    assert "run r1 went to it and was taken back" in ahead.why
    back_off = BackOff(first_s=3600, most_s=3600)
    own = Memory().failed(NEW, "lb1 said no", NOW, back_off, run="r1")
    assert outlook(regretted, own, (), NOW, allowed=True).at == NOW + HOUR
    other = Memory().failed(NEW, "lb1 said no", NOW, back_off, run="r0")
    assert not outlook(regretted, other, (), NOW, allowed=True).due(NOW + 1000 * HOUR)
