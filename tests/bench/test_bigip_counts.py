"""The bench of a rotation counts what reached its device, and takes nothing for a rotation that is none."""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest

from bench.bigip_rotation import Rotation
from bench.bigip_runs import MOST_REQUESTS, NotRotated, Runs, judge_ours, left_out, runs
from bench.measure import Cost, run


@pytest.fixture(scope="module")
def device() -> Generator[Runs]:
    """One for all: each question brings it back to the beginning."""
    with runs() as found:
        yield found


def _by_hand(how: str, rotation: Rotation) -> Cost:
    return run([sys.executable, "-m", "bench.bigip_hand", *rotation.arguments, how])


@pytest.mark.parametrize(
    ("how", "requests", "left"), [("floor", 7, ["no chain", "not saved", "2 uploads left behind"]), ("whole", 11, [])]
)
def test_requests_and_connections_are_the_clients(device: Runs, how: str, requests: int, left: list[str]) -> None:
    """What is told is what one client did, and what it left out."""
    for _ in range(2):
        found = device.measure(lambda rotation: _by_hand(how, rotation))
        assert (found.requests, found.connections, left_out(found.told)) == (requests, 1, left)


def test_a_rotation_that_is_none_is_told(device: Runs) -> None:
    """A client that ends well without a new certificate in the profile is no contender."""
    with pytest.raises(NotRotated, match="certificate"):
        device.measure(lambda _: Cost(0.0, 0.0, 0.0))


def test_another_certificate_is_told(device: Runs) -> None:
    """Nor is one that installs the certificate of somebody else's rotation."""
    given: list[Rotation] = []

    def contender(rotation: Rotation) -> Cost:
        given.append(rotation)
        return _by_hand("whole", given[0])

    device.measure(contender)
    with pytest.raises(NotRotated, match="new certificate"):
        device.measure(contender)


@pytest.mark.parametrize(("requests", "connections"), [(MOST_REQUESTS + 1, 1), (MOST_REQUESTS, 2)])
def test_lbsync_is_held_to_its_counts(device: Runs, requests: int, connections: int) -> None:
    """One request too many, or a second connection, ends the bench."""
    told = device.measure(lambda rotation: _by_hand("whole", rotation)).told
    judge_ours({**told, "requests": ["GET /mgmt/tm/sys"] * MOST_REQUESTS})
    with pytest.raises(NotRotated, match=f"{requests} requests on {connections} connections"):
        judge_ours({**told, "requests": ["GET /mgmt/tm/sys"] * requests, "connections": connections})
