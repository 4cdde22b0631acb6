"""A simulated BIG-IP before recording servers, or by itself."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lbsync.lab.bigip.device import BigIp
from lbsync.services import SERVICES, Service
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle
from lbsync_f5 import plugin
from lbsync_f5.session import Session
from tests.balancers.authority import authority, leaves
from tests.balancers.bench import HOSTS, OFFLOADED, Bench, short_directory, spec_of, two_servers
from tests.balancers.by_hand import ServerByHand
from tests.balancers.client import Answer
from tests.balancers.simulated import SimulatedBigIp
from tests.f5.sessions import address_of
from tests.lab.bigip.conftest import StandIn

__all__ = ["authority", "leaves"]

pytest.register_assert_rewrite("tests.balancers.routing", "tests.balancers.streaming")

NAME = "ex.contoso.test"
MRS = "mrs.contoso.test"
CONNECTIONS: dict[str, object] = {"ntlm": "used"}
REQUESTS: dict[str, object] = {"ntlm": "unused"}
FEW = (Service.OWA, Service.EWS, Service.MRSPROXY)
"""Enough for whatever does not depend on how many there are."""


class F5Bench(Bench):
    """A bench whose balancer is a BIG-IP."""

    @property
    def bigip(self) -> SimulatedBigIp:
        """The balancer, with what only a BIG-IP has."""
        assert isinstance(self.running, SimulatedBigIp)
        return self.running

    @property
    def device(self) -> BigIp:
        """Its knobs."""
        return self.bigip.device


class PoliteBench(F5Bench):
    """A bench whose balancer answers 404 where a BIG-IP's policy knows no answer and resets the connection."""

    def request(self, target: str, *, method: str = "GET", headers: str = "", host: str = HOSTS[0]) -> Answer:
        """See Bench; a connection that is reset instead of an answer is the device's own 404."""
        try:
            return super().request(target, method=method, headers=headers, host=host)
        except ConnectionError:
            return Answer(404, (), b"")


def build(
    stack: ExitStack,
    authority: TestCA,
    leaves: tuple[Bundle, Bundle],
    settings: dict[str, object] | None = None,
    *,
    services: tuple[Service, ...] = tuple(SERVICES),
    kind: type[F5Bench] = F5Bench,
    **device: Any,
) -> F5Bench:
    """A bench that ends with ``stack``; other keyword arguments go to the device."""
    directory = stack.enter_context(short_directory())
    servers = two_servers(stack, authority, NAME)
    running = SimulatedBigIp(directory, **device)
    stack.enter_context(running.device)
    own = CONNECTIONS if settings is None else settings
    return kind(
        plugin, running, servers, authority, *leaves,
        spec=spec_of(servers, authority, services, NAME), settings=running.settings | own,
    )  # fmt: skip


@pytest.fixture
def make_bench(authority: TestCA, leaves: tuple[Bundle, Bundle]) -> Generator[Callable[..., F5Bench]]:
    """Builds benches that end with the test."""
    with ExitStack() as stack:
        yield partial(build, stack, authority, leaves)


@pytest.fixture
def make_small(authority: TestCA, leaves: tuple[Bundle, Bundle]) -> Generator[Callable[..., F5Bench]]:
    """Builds benches with few services that end with the test."""
    with ExitStack() as stack:
        yield partial(build, stack, authority, leaves, services=FEW)


@pytest.fixture
def bench(make_bench: Callable[..., F5Bench]) -> F5Bench:
    """One bench where connections belong to clients, the device without anything of ours."""
    return make_bench()


@pytest.fixture
def published(bench: F5Bench) -> F5Bench:
    """One bench, published with every service bridged."""
    bench.publish()
    return bench


@pytest.fixture(scope="module")
def offloaded_bench(authority: TestCA, leaves: tuple[Bundle, Bundle]) -> Generator[F5Bench]:
    """One bench for a module where each request goes its own way, published with everything offloaded that may be."""
    with ExitStack() as stack:
        bench = build(stack, authority, leaves, REQUESTS)
        bench.publish(OFFLOADED)
        yield bench


@pytest.fixture
def offloaded(offloaded_bench: F5Bench) -> F5Bench:
    """The module's bench, with nothing recorded yet."""
    offloaded_bench.forget()
    return offloaded_bench


@pytest.fixture(scope="module")
def bench_by_hand(authority: TestCA, leaves: tuple[Bundle, Bundle]) -> Generator[tuple[F5Bench, ServerByHand]]:
    """The same with one server only, which the tests play."""
    with ExitStack() as stack:
        server = stack.enter_context(ServerByHand(authority.issue([NAME], key="ec256")))
        bench = build(stack, authority, leaves, REQUESTS)
        bench.spec = server.alone(bench)
        bench.publish(OFFLOADED)
        yield bench, server


@pytest.fixture
def by_hand(bench_by_hand: tuple[F5Bench, ServerByHand]) -> tuple[F5Bench, ServerByHand]:
    """The module's bench whose only server the test plays."""
    return bench_by_hand


@pytest.fixture(scope="module")
def ca() -> TestCA:
    """One for all devices: keys are slow."""
    return TestCA.new("management")


@pytest.fixture
def device(ca: TestCA, tmp_path: Path) -> Generator[BigIp]:
    """A device that carries no traffic."""
    with BigIp(tmp_path / "bigip", ca=ca, plane=StandIn()) as device:
        yield device
        assert device.mishaps == ()


@pytest.fixture
def session(device: BigIp) -> Generator[Session]:
    """Logged in; when it is closed the device holds no token of ours any more."""
    session = Session(address_of(device))
    yield session
    session.close()
    assert device.tokens_of[device.user] == 0
    assert (device.open_transactions, device.downloads) == (0, ())
