"""Costs as values: medians with their spread, names of keys, and the second leg in proportion."""

from __future__ import annotations

import pytest

from lbsync.costs import AGREE, OPENED, SHARE, VERIFY, Entry, Number, Unknown, core_share, number, speed_name


def test_samples_become_a_median_with_its_spread() -> None:
    """In the unit they came in; how many there were is kept."""
    one = number("handshake_full", "EX01", "ms", [3.0, 1.0, 9.0, 2.0], note="TLSv1.3")
    assert (one.median, one.least, one.most, one.n, one.unit) == (2.5, 1.0, 9.0, 4, "ms")
    assert (one.source, one.note) == ("measured", "TLSv1.3")


@pytest.mark.parametrize(
    ("algorithm", "bits", "name"),
    [
        ("rsa", 2048, "rsa2048"),
        ("rsa", 2050, None),
        ("ec", 256, "ecdsap256"),
        ("ec", 224, None),
        ("ed25519", 256, None),
    ],
)
def test_kinds_of_keys_are_those_openssl_times(algorithm: str, bits: int, name: str | None) -> None:
    """And no others: nothing is guessed from a neighbour."""
    assert speed_name(algorithm, bits) == name


CHECK = number(VERIFY, "rsa2048", "op/s", [20_000.0, 40_000.0, 10_000.0])
SLOW = number(VERIFY, "ecdsap256", "op/s", [10_000.0])
AGREED = number(AGREE, "ecdhp256", "op/s", [20_000.0])
RATE = number(OPENED, "lb1", "1/s", [50.0], source="reported")


def test_the_second_leg_is_set_in_proportion() -> None:
    """Connections per second times one check and one agreement, in per cent of a core; the spread is that of the parts."""
    share = core_share([CHECK, AGREED], RATE, "rsa2048")
    assert isinstance(share, Number)
    assert (share.id, share.unit, share.source, share.n) == (SHARE, "%", "derived", 1)
    assert (share.median, share.least, share.most) == pytest.approx((0.5, 0.375, 0.75))
    slower = core_share([CHECK, SLOW, AGREED], RATE, "rsa2048, ecdsap256")
    assert isinstance(slower, Number)
    assert slower.median == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("cpu", "opened", "why"),
    [
        ([CHECK, AGREED], Unknown(id=OPENED, subject="lb1", why="not told"), "connections it opens per second"),
        ([AGREED], RATE, "rates of the operations"),
        ([CHECK, Unknown(id=AGREE, subject="ecdhp256", why="no openssl")], RATE, "rates of the operations"),
        ([SLOW, AGREED], RATE, "rates of the operations"),
    ],
)
def test_without_all_its_parts_it_is_unknown(cpu: list[Entry], opened: Entry, why: str) -> None:
    """No part is replaced by a guess."""
    share = core_share(cpu, opened, "rsa2048")
    assert isinstance(share, Unknown)
    assert why in share.why
