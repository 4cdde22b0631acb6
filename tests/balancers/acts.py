"""What the tests of a live balancer do and look at, whichever balancer it is.

Rule of this file: one act or one look each; what must come of it stands in the tests.
"""

from __future__ import annotations

from lbsync.changes import Change, Drain, InstallCertificate, SwitchCertificate, SwitchMode, Undrain
from lbsync.facts import BalancerFacts
from lbsync.model import Action, Mode, Receipt, Step
from lbsync.services import ALL_SERVICES, SERVICES, Service
from lbsync.target import Provider
from lbsync_certs import Bundle
from tests.balancers.bench import Bench

ALL = tuple(service for service, spec in SERVICES.items() if spec.offloadable)
"""Every service that may be in clear."""


def offloadable(bench: Bench) -> tuple[Service, ...]:
    """Those that a bench publishes."""
    return tuple(service for service in bench.spec.services if service in ALL)


def seen_by(provider: Provider) -> BalancerFacts:
    """What the provider sees now."""
    seen = provider.observe(ALL_SERVICES)
    assert isinstance(seen, BalancerFacts)
    return seen


def step_of(provider: Provider, change: Change) -> Step:
    """The first step of a change, by what is seen now."""
    return provider.lower(change, provider.observe(ALL_SERVICES))[0]


def perform(bench: Bench, provider: Provider, action: Action | None) -> Receipt:
    """One effect, and no waiting for its checks."""
    assert action is not None
    return provider.perform(action, bench.materials)


def rotate(bench: Bench, provider: Provider, before: Bundle, after: Bundle) -> None:
    """Install, then switch."""
    bench.apply(provider, InstallCertificate(leaf=after.fingerprint))
    bench.apply(provider, SwitchCertificate(before=before.fingerprint, after=after.fingerprint))


def flip(bench: Bench, provider: Provider, mode: Mode) -> None:
    """Switch OWA, or all services that go together."""
    services = (Service.OWA,) if provider.capabilities.per_path_modes else offloadable(bench)
    other = Mode.BRIDGE if mode is Mode.OFFLOAD else Mode.OFFLOAD
    bench.apply(provider, SwitchMode(services=services, before=other, after=mode))


def drain(server: str = "EX01", timeout_s: float = 10.0) -> Drain:
    """Without cutting."""
    return Drain(server=server, timeout_s=timeout_s, on_timeout="stop")


def undrain(server: str = "EX01") -> Undrain:
    """The mirror image."""
    return Undrain(server=server, timeout_s=10, on_timeout="stop")
