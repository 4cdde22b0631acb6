"""A real NGINX before recording servers."""

from __future__ import annotations

import grp
import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lbsync.model import Step
from lbsync.services import SERVICES, Service
from lbsync.target import Provider
from lbsync.testing.ca import TestCA
from lbsync.testing.nginx import RunningNginx, nginx_ready
from lbsync.testing.ports import free_port
from lbsync_certs import Bundle
from lbsync_nginx import plugin
from tests.balancers.authority import authority, leaves
from tests.balancers.bench import OFFLOADED, Bench, short_directory, spec_of, two_servers
from tests.balancers.by_hand import ServerByHand
from tests.nginx.sided import switch_of

__all__ = ["authority", "leaves"]

pytest.register_assert_rewrite("tests.balancers.routing", "tests.balancers.streaming")

MRS = "mrs.contoso.test"
HTTP: dict[str, object] = {"proxy": "http", "ntlm": "unused"}
VARIABLE: dict[str, object] = {"certificate_form": "variable", "group": grp.getgrgid(os.getgid()).gr_name}
STREAM: dict[str, object] = {"proxy": "stream", "mrsproxy_host": MRS}


class NginxBench(Bench):
    """A bench whose balancer is an NGINX."""

    @property
    def nginx(self) -> RunningNginx:
        """The balancer, with what only NGINX has."""
        assert isinstance(self.running, RunningNginx)
        return self.running

    def spooled(self) -> list[str]:
        """Files of the workers' in NGINX's directories for what it does not keep in memory."""
        links = [link for pid in self.nginx.workers for link in Path(f"/proc/{pid}/fd").iterdir()]
        return [target for link in links if "/temp/" in (target := str(link.readlink()))]


Switching = Callable[..., tuple[NginxBench, Provider, list[Step]]]


def build(
    stack: ExitStack,
    authority: TestCA,
    leaves: tuple[Bundle, Bundle],
    settings: dict[str, object] | None = None,
    *,
    services: tuple[Service, ...] = tuple(SERVICES),
    start: bool = True,
    **nginx: Any,
) -> NginxBench:
    """A bench that ends with ``stack``; other keyword arguments go to RunningNginx."""
    directory = stack.enter_context(short_directory())
    servers = two_servers(stack, authority, MRS)
    running = RunningNginx(directory, **nginx)
    stack.callback(running.stop)
    if start:
        running.start()
    own: dict[str, object] = {"inner_port": free_port("127.0.0.1"), "health_timeout_s": 2.0, "proof_s": 0.1}
    wanted = running.settings | own | (HTTP if settings is None else settings)
    return NginxBench(
        plugin, running, servers, authority, *leaves, spec=spec_of(servers, authority, services, MRS), settings=wanted
    )


@pytest.fixture
def make_bench(
    require: Callable[[str], None], authority: TestCA, leaves: tuple[Bundle, Bundle]
) -> Generator[Callable[..., NginxBench]]:
    """Builds benches that end with the test."""
    require("nginx")
    with ExitStack() as stack:
        yield partial(build, stack, authority, leaves)


@pytest.fixture
def switching(make_bench: Callable[..., NginxBench]) -> Generator[Switching]:
    """Builds benches that are published, with EX01 drained and the second certificate there, and the steps that switch."""
    with ExitStack() as stack:

        def make(settings: dict[str, object], **how: Any) -> tuple[NginxBench, Provider, list[Step]]:
            bench = make_bench(settings)
            bench.publish()
            provider = stack.enter_context(bench.open())
            return bench, provider, switch_of(bench, provider, **how)

        yield make


@pytest.fixture
def bench(make_bench: Callable[..., NginxBench]) -> NginxBench:
    """One bench in http, NGINX running without anything of ours."""
    return make_bench()


@pytest.fixture
def published(bench: NginxBench) -> NginxBench:
    """One bench in http, published with every service bridged."""
    bench.publish()
    return bench


@pytest.fixture
def streaming(make_bench: Callable[..., NginxBench]) -> NginxBench:
    """One bench in stream, published with every service bridged."""
    bench = make_bench(STREAM)
    bench.publish()
    return bench


@pytest.fixture(scope="module")
def offloaded_bench(authority: TestCA, leaves: tuple[Bundle, Bundle]) -> Generator[NginxBench | None]:
    """One bench in http for a module, published with everything offloaded that may be; ``None`` without NGINX."""
    if not nginx_ready():
        yield None
        return
    with ExitStack() as stack:
        bench = build(stack, authority, leaves)
        bench.publish(OFFLOADED)
        yield bench


@pytest.fixture
def offloaded(require: Callable[[str], None], offloaded_bench: NginxBench | None) -> NginxBench:
    """The module's bench, with nothing recorded yet."""
    require("nginx")
    assert offloaded_bench is not None
    offloaded_bench.forget()
    return offloaded_bench


@pytest.fixture(scope="module")
def bench_by_hand(
    authority: TestCA, leaves: tuple[Bundle, Bundle]
) -> Generator[tuple[NginxBench, ServerByHand] | None]:
    """The same with one server only, which the tests play."""
    if not nginx_ready():
        yield None
        return
    with ExitStack() as stack:
        server = stack.enter_context(ServerByHand(authority.issue([MRS], key="ec256")))
        bench = build(stack, authority, leaves)
        bench.spec = server.alone(bench)
        bench.publish(OFFLOADED)
        yield bench, server


@pytest.fixture
def by_hand(
    require: Callable[[str], None], bench_by_hand: tuple[NginxBench, ServerByHand] | None
) -> tuple[NginxBench, ServerByHand]:
    """The module's bench whose only server the test plays."""
    require("nginx")
    assert bench_by_hand is not None
    return bench_by_hand
