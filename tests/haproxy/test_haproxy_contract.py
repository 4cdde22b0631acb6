"""The real HAProxy keeps every promise of the contract."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from lbsync.testing.contract import ProviderContract, Subject


class TestHaproxyHere(ProviderContract):
    """HAProxy on this host."""

    @pytest.fixture
    def subject(self, make_bench: Callable[..., Any]) -> Generator[Subject]:
        """A fresh HAProxy before two servers."""
        bench = make_bench()
        with bench.open() as provider:
            yield Subject(provider, bench.first, bench.second, servers=("EX01", "EX02"))
