"""The simulated BIG-IP keeps every promise of the contract, in either way of routing, alone and in a pair."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, ClassVar

import pytest

from lbsync.testing.contract import ProviderContract, Subject
from tests.f5.conftest import CONNECTIONS, REQUESTS
from tests.longer import LONGER


class OnBigIp(ProviderContract):
    """One device per test."""

    settings: ClassVar[dict[str, object]]

    @pytest.fixture
    def subject(self, make_bench: Callable[..., Any]) -> Generator[Subject]:
        """A fresh device before two servers."""
        bench = make_bench(self.settings)
        with bench.open() as provider:
            yield Subject(provider, bench.first, bench.second, servers=("EX01", "EX02"))


@LONGER
class TestRequests(OnBigIp):
    """Each request goes its own way: a mode per service."""

    settings = REQUESTS
    prefix_step = 9


class TestConnections(OnBigIp):
    """Connections to servers belong to clients: one mode for all."""

    settings = CONNECTIONS
    prefix_step = 7


# The class that the others derive from holds no device to its promises itself.
del OnBigIp
