"""The real HAProxy keeps every promise of the contract."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from lbsync.testing.contract import ProviderContract, Subject
from lbsync.testing.sshd import RunningSshd
from tests.longer import LONGER


class TestHaproxyHere(ProviderContract):
    """HAProxy on this host."""

    @pytest.fixture
    def subject(self, make_bench: Callable[..., Any]) -> Generator[Subject]:
        """A fresh HAProxy before two servers."""
        bench = make_bench()
        with bench.open() as provider:
            yield Subject(provider, bench.first, bench.second, servers=("EX01", "EX02"))


@LONGER
class TestHaproxyOverSsh(ProviderContract):
    """HAProxy on a host that is reached by SSH."""

    prefix_step = 7

    @pytest.fixture
    def subject(self, require: Callable[[str], None], make_bench: Callable[..., Any]) -> Generator[Subject]:
        """The same, with every file, command and socket through a real OpenSSH server."""
        require("sshd")
        bench = make_bench()
        place = bench.haproxy.directory / "ssh"
        place.mkdir()
        with RunningSshd(place) as sshd:
            bench.settings["ssh"] = sshd.settings
            with bench.open() as provider:
                yield Subject(provider, bench.first, bench.second, servers=("EX01", "EX02"))
