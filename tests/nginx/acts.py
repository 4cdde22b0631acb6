"""What the tests of a live NGINX do and look at.

Rule of this file: one act or one look each; what must come of it stands in the tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lbsync.changes import Change, Drain, InstallCertificate, SwitchCertificate, SwitchMode, Undrain
from lbsync.facts import BalancerFacts
from lbsync.model import Action, Mode, Receipt, Step
from lbsync.services import ALL_SERVICES, SERVICES, Service
from lbsync.target import Provider
from lbsync_certs import Bundle
from lbsync_nginx.layout import Layout
from lbsync_nginx.settings import NginxSettings
from tests.nginx.conftest import HTTP, STREAM, VARIABLE, NginxBench

ALL = tuple(service for service, spec in SERVICES.items() if spec.offloadable)
WAYS: dict[str, dict[str, object]] = {"http": HTTP, "variable": HTTP | VARIABLE, "stream": STREAM}
every_way = pytest.mark.parametrize("settings", list(WAYS.values()), ids=list(WAYS))
by_reload = pytest.mark.parametrize("settings", [HTTP, STREAM], ids=["http", "stream"])


def seen_by(provider: Provider) -> BalancerFacts:
    """What the provider sees now."""
    seen = provider.observe(ALL_SERVICES)
    assert isinstance(seen, BalancerFacts)
    return seen


def step_of(provider: Provider, change: Change) -> Step:
    """The first step of a change, by what is seen now."""
    return provider.lower(change, provider.observe(ALL_SERVICES))[0]


def perform(bench: NginxBench, provider: Provider, action: Action | None) -> Receipt:
    """One effect, and no waiting for its checks."""
    assert action is not None
    return provider.perform(action, bench.materials)


def rotate(bench: NginxBench, provider: Provider, before: Bundle, after: Bundle) -> None:
    """Install, then switch."""
    bench.apply(provider, InstallCertificate(leaf=after.fingerprint))
    bench.apply(provider, SwitchCertificate(before=before.fingerprint, after=after.fingerprint))


def flip(bench: NginxBench, provider: Provider, mode: Mode) -> None:
    """Switch OWA, or all services that go together."""
    services = (Service.OWA,) if provider.capabilities.per_path_modes else ALL
    other = Mode.BRIDGE if mode is Mode.OFFLOAD else Mode.OFFLOAD
    bench.apply(provider, SwitchMode(services=services, before=other, after=mode))


def drain(server: str = "EX01", timeout_s: float = 10.0) -> Drain:
    """Without cutting."""
    return Drain(server=server, timeout_s=timeout_s, on_timeout="stop")


def undrain(server: str = "EX01") -> Undrain:
    """The mirror image."""
    return Undrain(server=server, timeout_s=10, on_timeout="stop")


def everything(bench: NginxBench) -> dict[str, tuple[object, ...]]:
    """All that is below our directory and where NGINX's http block includes us: contents, modes, owners, by path."""
    found: dict[str, tuple[object, ...]] = {}
    for folder in (bench.nginx.owned, bench.nginx.http_file.parent):
        for path in sorted(folder.rglob("*")):
            about = path.lstat()
            content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path)] = (about.st_mode, about.st_uid, about.st_gid, content)
    return found


def certs_of(bench: NginxBench) -> Path:
    """The folder with the certificates."""
    return Path(Layout.of(NginxSettings.model_validate(bench.settings)).certs)
