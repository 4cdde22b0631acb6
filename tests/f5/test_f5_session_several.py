"""Sessions of several threads, and to several devices: each closed at the end, and the active device worked on."""

from __future__ import annotations

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from lbsync.errors import Denied, Rejected, Unreachable
from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.faults import Fault
from lbsync.testing.ca import TestCA
from lbsync_f5 import things
from lbsync_f5.session import Sessions
from tests.f5.sessions import address_of, make_pool
from tests.lab.bigip.conftest import StandIn


def test_each_thread_has_a_session_of_its_own(device: BigIp) -> None:
    """The same one for all it does; at the end all of them are closed."""
    sessions = Sessions([address_of(device)])
    together = threading.Barrier(4)

    def work(number: int) -> int:
        with sessions.use() as first:
            together.wait(timeout=20)
            first.atomically(lambda: make_pool(first, f"p{number}"))
        with sessions.use() as second:
            assert second is first
        return id(first)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(work, range(4)))) == 4
    assert len(device.paths(things.POOL)) == 4
    assert (device.tokens_of[device.user], device.accepted) == (4, 4)
    sessions.close()
    assert device.tokens_of[device.user] == 0


def test_nothing_is_opened_before_it_is_needed(device: BigIp) -> None:
    """And it can be used again after it was closed."""
    sessions = Sessions([address_of(device)])
    sessions.close()
    assert device.accepted == 0
    with sessions.use():
        pass
    sessions.close()
    with sessions.use() as session:
        assert session.version
    sessions.close()
    assert device.tokens_of[device.user] == 0


def test_a_session_that_broke_is_given_up(device: BigIp) -> None:
    """With its token; the next use opens another. Other errors keep it."""
    sessions = Sessions([address_of(device)])
    with sessions.use() as first, suppress(Rejected):
        first.modify(things.POOL, "/Common/p", {})
    device.fault(*[Fault.DROP_BEFORE] * 3)

    def use() -> None:
        with sessions.use() as same:
            assert same is first
            same.get(things.POOL, "/Common/p")

    with pytest.raises(Unreachable):
        use()
    assert device.tokens_of[device.user] == 0
    with sessions.use() as second:
        assert second is not first
    sessions.close()
    sessions.drop()
    assert device.tokens_of[device.user] == 0


@pytest.fixture
def two(ca: TestCA, tmp_path: Path) -> Generator[list[BigIp]]:
    """Two devices that know nothing of each other."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(BigIp(tmp_path / name, ca=ca, plane=StandIn(), hostname=name)) for name in ("a", "b")
        ]


def live(devices: list[BigIp]) -> list[int]:
    """Live tokens on each."""
    return [device.tokens_of[device.user] for device in devices]


@pytest.mark.parametrize(
    ("states", "chosen"),
    [
        (("active", "standby"), 0),
        (("standby", "active"), 1),
        (("standby", "standby"), 0),
        (("active", "active"), 0),
    ],
)
def test_the_active_device_is_worked_on(two: list[BigIp], states: tuple[Any, Any], chosen: int) -> None:
    """The first that answers where none is: it says so itself. The other one's token is given back at once."""
    for device, state in zip(two, states, strict=True):
        device.failover_state = state
    sessions = Sessions([address_of(device) for device in two])
    with sessions.use() as session:
        assert session.where.endswith(str(two[chosen].management_port))
        assert live(two) == [int(chosen == 0), int(chosen == 1)]
    sessions.close()
    assert live(two) == [0, 0]


def test_of_a_pair_one_may_be_gone(two: list[BigIp]) -> None:
    """The other one is asked; where both are, the first one's reason is told."""
    addresses = [address_of(device) for device in two]
    two[0].stop()
    sessions = Sessions(addresses)
    with sessions.use() as session:
        assert session.where == addresses[1].url
    sessions.close()
    two[1].stop()
    with pytest.raises(Unreachable) as caught, sessions.use():
        pass
    assert caught.value.where == addresses[0].url


def test_of_a_pair_one_may_refuse_us(two: list[BigIp]) -> None:
    """That is told, not passed over, and no token is left on the other."""
    two[0].failover_state = "standby"
    two[1].passwords[two[1].user] = "changed on one of them"
    sessions = Sessions([address_of(two[0]), replace(address_of(two[1]), password=SecretStr("the old one"))])
    with pytest.raises(Denied), sessions.use():
        pass
    assert live(two) == [0, 0]


def test_of_a_pair_one_may_break_while_it_is_asked(two: list[BigIp]) -> None:
    """After its login: its token is given back, and the other one is asked."""
    two[0].fault(None, *[Fault.DROP_BEFORE] * 3)
    sessions = Sessions([address_of(device) for device in two])
    with sessions.use() as session:
        assert session.where.endswith(str(two[1].management_port))
        assert live(two) == [0, 1]
    sessions.close()
