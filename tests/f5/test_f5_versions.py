"""Each release of TMOS that is supported, as far as its shapes are known: the same story on all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lbsync.changes import InstallCertificate, SwitchCertificate, SwitchMode
from lbsync.model import Mode
from lbsync.services import ALL_SERVICES, Service
from tests.f5.conftest import REQUESTS, F5Bench
from tests.longer import one_now


@pytest.fixture
def make_bench(make_small: Callable[..., F5Bench]) -> Callable[..., F5Bench]:
    """Few services do."""
    return make_small


@pytest.mark.parametrize("version", one_now(["13.0.0", "17.1.1", "13.1.5", "14.1.2.1", "15.1.10", "16.1.4"], 2))
def test_the_same_story_on_each_version(make_bench: Callable[..., F5Bench], version: str) -> None:
    """Publish, switch a mode and the certificate: what is read back is what was wanted, and nothing looks edited."""
    bench = make_bench(REQUESTS, version=version)
    bench.publish()
    with bench.open() as provider:
        bench.apply(provider, SwitchMode(services=(Service.OWA,), before=Mode.BRIDGE, after=Mode.OFFLOAD))
        bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
        bench.apply(provider, SwitchCertificate(before=bench.first.fingerprint, after=bench.second.fingerprint))
        seen = provider.observe(ALL_SERVICES)
    assert seen.kind == "balancer"
    assert (seen.version, seen.published, seen.leaf) == (version, True, bench.second.fingerprint)
    assert seen.structure == seen.wanted_structure
    assert seen.modes[Service.OWA] is Mode.OFFLOAD
    assert (seen.problems, seen.blockers) == ((), ())
    assert bench.served() == bench.second.fingerprint
    assert bench.request("/owa/").status == 200
    assert bench.plain() == ["/owa/"]
