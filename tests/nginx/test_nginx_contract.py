"""The real NGINX keeps every promise of the contract, by either way of proxying, here and over SSH."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, ClassVar

import pytest

from lbsync.testing.contract import ProviderContract, Subject
from lbsync.testing.sshd import RunningSshd
from tests.longer import IS_LONGER, LONGER
from tests.nginx.conftest import HTTP, STREAM, VARIABLE


class OnNginx(ProviderContract):
    """One NGINX per test."""

    settings: ClassVar[dict[str, object]]

    @pytest.fixture
    def subject(self, make_bench: Callable[..., Any]) -> Generator[Subject]:
        """A fresh NGINX before two servers."""
        bench = make_bench(self.settings)
        with bench.open() as provider:
            yield Subject(provider, bench.first, bench.second, servers=("EX01", "EX02"))


class TestHttp(OnNginx):
    """Requests routed by path, certificates loaded by a reload."""

    settings = HTTP
    prefix_step = 1 if IS_LONGER else 5


@LONGER
class TestHttpVariable(OnNginx):
    """Requests routed by path, certificates read at each handshake."""

    settings = HTTP | VARIABLE
    prefix_step = 6


class TestStream(OnNginx):
    """Connections passed on whole, MRSProxy by a host name of its own."""

    settings = STREAM
    prefix_step = 3


@LONGER
class TestStreamOverSsh(ProviderContract):
    """The same on a host that is reached by SSH, every file, command and health check through a real OpenSSH server."""

    prefix_step = 8

    @pytest.fixture
    def subject(self, require: Callable[[str], None], make_bench: Callable[..., Any]) -> Generator[Subject]:
        """A fresh NGINX before two servers."""
        require("sshd")
        bench = make_bench(STREAM)
        place = bench.running.directory / "ssh"
        place.mkdir()
        with RunningSshd(place) as sshd:
            bench.settings["ssh"] = sshd.settings
            with bench.open() as provider:
                yield Subject(provider, bench.first, bench.second, servers=("EX01", "EX02"))


# The class that the others derive from holds no NGINX to its promises itself.
del OnNginx
