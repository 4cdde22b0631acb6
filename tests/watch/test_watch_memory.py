"""What a watch remembers of failures, and for how long it lets them rest."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lbsync.testing.farm_facts import NOW, leaf_info
from lbsync.watch.memory import BackOff, Memory

BACK_OFF = BackOff(first_s=900, most_s=7200)
NEW = leaf_info(2, days_left=380)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 900), (2, 1800), (3, 3600), (4, 7200), (5, 7200), (10_000, 7200)]
)
def test_each_wait_is_twice_as_long_up_to_a_limit(failures: int, seconds: int) -> None:
    """However often it failed."""
    assert BACK_OFF.delay(failures) == timedelta(seconds=seconds)


def test_a_failure_is_counted_and_kept() -> None:
    """With its first and last time, the reason and run of the last, and the next try; other certificates stay apart."""
    later = NOW + timedelta(hours=1)
    memory = Memory().failed(NEW, "one", NOW, BACK_OFF, run="r1").failed(NEW, "two", later, BACK_OFF, run=None)
    memory = memory.failed(leaf_info(3), "three", NOW, BACK_OFF, run=None)
    failure = memory.of(NEW.fingerprint)
    assert failure is not None
    assert (failure.count, failure.first, failure.last, failure.reason, failure.run) == (2, NOW, later, "two", "r1")
    assert failure.next_try == later + timedelta(seconds=1800)
    assert len(memory.failures) == 2
    assert Memory.model_validate_json(memory.model_dump_json()) == memory


def test_it_is_forgotten_only_once_it_is_over() -> None:
    """That certificate is served, or one that ends later; serving an older one forgets nothing."""
    memory = Memory().failed(NEW, "one", NOW, BACK_OFF, run=None)
    assert memory.served(leaf_info(1, days_left=20)) == memory
    assert memory.served(NEW) == Memory()
    assert memory.served(leaf_info(4, days_left=500)) == Memory()
