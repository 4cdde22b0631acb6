"""Where a path ends up, asked of a real HAProxy with every offloadable service in clear."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from typing import ClassVar

import pytest

from lbsync.services import SERVICES, Service
from tests.balancers.paths import AMBIGUOUS, MRSPROXY, named
from tests.balancers.routing import Routing
from tests.balancers.streaming import Streaming
from tests.haproxy.conftest import HaproxyBench

_MANY = 10


def is_ambiguous(target: str) -> bool:
    """More steps up than HAProxy's resolving takes, or an encoded slash beside dots: what that leads to is nobody's."""
    lower = target.lower().replace("%2e", ".")
    return target.count("/../") + target.count("%2e%2e") >= _MANY or ("%2f" in lower and ".." in lower)


class TestRouting(Routing):
    """What holds of every balancer that routes by path; the fixture ``offloaded`` is conftest's."""

    refuses: ClassVar[Mapping[str, str]] = {target: "404" for target in MRSPROXY if is_ambiguous(target)}


def test_powershell_is_not_reached_where_dots_are_read_in_another_way(offloaded: HaproxyBench) -> None:
    """What one takes for a step up and another for a name: the path is not OWA's for everybody, so it is nobody's."""
    assert {target: offloaded.request(target).ends for target in AMBIGUOUS} == dict.fromkeys(AMBIGUOUS, "404")


class TestStreaming(Streaming):
    """The same of bodies and answers under way; the fixture ``by_hand`` is conftest's."""


@pytest.mark.parametrize("target", [one for one in MRSPROXY if not is_ambiguous(one)], ids=named)
def test_mrsproxy_is_its_own_pools(offloaded: HaproxyBench, target: str) -> None:
    """However it is spelled, it is not the pool of EWS that gets it."""
    before = chosen(offloaded, "ex_mrsproxy_bridge")
    offloaded.request(target)
    assert chosen(offloaded, "ex_mrsproxy_bridge") == before + 1


def chosen(bench: HaproxyBench, pool: str) -> int:
    """How many requests a pool was given so far."""
    rows = list(csv.DictReader(bench.haproxy.ask("show stat").removeprefix("# ").splitlines()))
    return next(int(row["lbtot"]) for row in rows if (row["pxname"], row["svname"]) == (pool, "BACKEND"))


def test_a_map_set_by_hand_cannot_take_mrsproxy_to_port_80(make_bench: Callable[..., HaproxyBench]) -> None:
    """The plain pools refuse it themselves, whatever the map says."""
    bench = make_bench()
    bench.publish()
    bench.haproxy.ask(f"set map {bench.haproxy.owned}/exchange.map /ews/mrsproxy.svc/ ex_ews_offload")
    assert bench.request("/ews/mrsproxy.svc").status == 404
    assert bench.plain() == []


def test_mrsproxy_that_is_not_published_is_absent(make_bench: Callable[..., HaproxyBench]) -> None:
    """Without its pool its path must not fall to EWS in clear."""
    bench = make_bench(services=tuple(service for service in SERVICES if service is not Service.MRSPROXY))
    bench.publish()
    for target in ("/ews/mrsproxy.svc", "/EWS/%6Drsproxy.svc", "/ews//mrsproxy.svc/x"):
        assert bench.request(target).status == 404
    assert bench.request("/ews/exchange.asmx").status == 200
