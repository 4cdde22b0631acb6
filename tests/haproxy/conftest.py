"""A real HAProxy before recording servers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from lbsync.services import SERVICES, Service
from lbsync.testing.ca import TestCA
from lbsync.testing.haproxy import RunningHaproxy, haproxy_program
from lbsync_certs import Bundle
from lbsync_haproxy import plugin
from tests.balancers.authority import authority, leaves
from tests.balancers.bench import OFFLOADED, Bench, short_directory, spec_of, two_servers
from tests.balancers.by_hand import ServerByHand

__all__ = ["authority", "leaves"]

pytest.register_assert_rewrite("tests.balancers.routing", "tests.balancers.streaming")


class HaproxyBench(Bench):
    """A bench whose balancer is an HAProxy."""

    @property
    def haproxy(self) -> RunningHaproxy:
        """The balancer, with what only HAProxy has."""
        assert isinstance(self.running, RunningHaproxy)
        return self.running

    def info(self, name: str) -> str:
        """One value of `show info`; empty while nobody answers."""
        pairs = (line.partition(": ") for line in self.haproxy.ask("show info").splitlines())
        return next((value for key, _, value in pairs if key == name), "")


def build(
    stack: ExitStack,
    authority: TestCA,
    leaves: tuple[Bundle, Bundle],
    *,
    services: tuple[Service, ...] = tuple(SERVICES),
    start: bool = True,
    **haproxy: Any,
) -> HaproxyBench:
    """A bench that ends with ``stack``; other keyword arguments go to RunningHaproxy."""
    directory = stack.enter_context(short_directory())
    servers = two_servers(stack, authority)
    running = RunningHaproxy(directory, **haproxy)
    stack.callback(running.stop)
    if start:
        running.start()
    spec = spec_of(servers, authority, services)
    return HaproxyBench(plugin, running, servers, authority, *leaves, spec=spec, settings=running.settings)


@pytest.fixture
def make_bench(
    require: Callable[[str], None], authority: TestCA, leaves: tuple[Bundle, Bundle]
) -> Generator[Callable[..., HaproxyBench]]:
    """Builds benches that end with the test."""
    require("haproxy")
    with ExitStack() as stack:
        yield partial(build, stack, authority, leaves)


@pytest.fixture
def bench(make_bench: Callable[..., HaproxyBench]) -> HaproxyBench:
    """One bench, HAProxy running without anything of ours."""
    return make_bench()


@pytest.fixture
def published(bench: HaproxyBench) -> HaproxyBench:
    """One bench, published with every service bridged."""
    bench.publish()
    return bench


@pytest.fixture(scope="module")
def offloaded_bench(authority: TestCA, leaves: tuple[Bundle, Bundle]) -> Generator[HaproxyBench | None]:
    """One bench for a module, published with everything offloaded that may be; ``None`` without HAProxy."""
    if haproxy_program() is None:
        yield None
        return
    with ExitStack() as stack:
        bench = build(stack, authority, leaves)
        bench.publish(OFFLOADED)
        yield bench


@pytest.fixture
def offloaded(require: Callable[[str], None], offloaded_bench: HaproxyBench | None) -> HaproxyBench:
    """The module's bench, with nothing recorded yet."""
    require("haproxy")
    assert offloaded_bench is not None
    offloaded_bench.forget()
    return offloaded_bench


@pytest.fixture(scope="module")
def bench_by_hand(
    authority: TestCA, leaves: tuple[Bundle, Bundle]
) -> Generator[tuple[HaproxyBench, ServerByHand] | None]:
    """The same with one server only, which the tests play."""
    if haproxy_program() is None:
        yield None
        return
    with ExitStack() as stack:
        server = stack.enter_context(ServerByHand(authority.issue(["ex01.contoso.test"], key="ec256")))
        bench = build(stack, authority, leaves)
        bench.spec = server.alone(bench)
        bench.publish(OFFLOADED)
        yield bench, server


@pytest.fixture
def by_hand(
    require: Callable[[str], None], bench_by_hand: tuple[HaproxyBench, ServerByHand] | None
) -> tuple[HaproxyBench, ServerByHand]:
    """The module's bench whose only server the test plays."""
    require("haproxy")
    assert bench_by_hand is not None
    return bench_by_hand
