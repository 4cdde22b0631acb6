"""A real NGINX with lbsync's files in one of their forms, before two servers of the bench: what its figures are taken from."""

from __future__ import annotations

import grp
import os
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.child import Child, child
from bench.clients import HOST
from lbsync.changes import Change, InstallCertificate, Publish, SwitchCertificate
from lbsync.model import Check, Mode, Step
from lbsync.services import ALL_SERVICES, SERVICES
from lbsync.target import BalancerSpec, Member, Provider
from lbsync.testing.ca import TestCA
from lbsync.testing.nginx import RunningNginx
from lbsync.testing.ports import free_port
from lbsync_certs import Bundle, Fingerprint
from lbsync_nginx import plugin

_MRS = "mrs.contoso.test"
_HTTP: dict[str, object] = {"proxy": "http", "ntlm": "unused"}
FORMS: dict[str, dict[str, object]] = {
    "http, static": _HTTP,
    "http, variable": _HTTP | {"certificate_form": "variable", "group": grp.getgrgid(os.getgid()).gr_name},
    "stream, static": {"proxy": "stream", "mrsproxy_host": _MRS},
}
"""By name, the settings that make it."""
_OFFLOADED = {service: Mode.OFFLOAD if spec.offloadable else Mode.BRIDGE for service, spec in SERVICES.items()}
_CHECKED_S = 30.0


class NotServed(Exception):
    """A check of lbsync's did not become true: the figures mean nothing."""


@dataclass(frozen=True)
class Front:
    """What is published. Certificates have P-256 keys; both are installed, the first one is served."""

    running: RunningNginx
    servers: Child
    spec: BalancerSpec
    settings: dict[str, object]
    leaves: tuple[Bundle, Bundle]
    ca_file: Path

    @property
    def materials(self) -> Materials:
        """Where the provider gets them."""
        return Materials(self.leaves)

    def open(self, **more: object) -> AbstractContextManager[Provider]:
        """A provider, closed by the context; more settings override."""
        return plugin.open(self.spec, self.settings | more)

    def lower(self, provider: Provider, before: int, after: int) -> Step:
        """The step from one of the two certificates to the other."""
        change = SwitchCertificate(before=self.leaves[before].fingerprint, after=self.leaves[after].fingerprint)
        (step,) = provider.lower(change, provider.observe(ALL_SERVICES))
        return step

    def perform(self, provider: Provider, step: Step) -> None:
        """Carry it out and wait for its checks. Raises NotServed, TargetError."""
        if step.do is not None:
            provider.perform(step.do, self.materials)
        wait_true(provider, step.until)

    def apply(self, provider: Provider, change: Change) -> None:
        """Lower a change by what is seen now and carry it out. Raises NotServed, TargetError."""
        for step in provider.lower(change, provider.observe(ALL_SERVICES)):
            self.perform(provider, step)


@dataclass(frozen=True)
class Materials:
    """Certificates with their keys."""

    leaves: tuple[Bundle, Bundle]

    def open(self, leaf: Fingerprint) -> Bundle:
        """See MaterialSource."""
        return next(bundle for bundle in self.leaves if bundle.fingerprint == leaf)


def wait_true(provider: Provider, checks: Iterable[Check]) -> None:
    """Ask until every check is true. Raises NotServed after half a minute, TargetError."""
    for check in checks:
        deadline = time.monotonic() + _CHECKED_S
        while not (result := provider.check(check)).passed:
            if time.monotonic() > deadline:
                raise NotServed(f"{check.summary}: {result.detail}")
            time.sleep(0.02)


@contextmanager
def front(form: str) -> Generator[Front]:
    """NGINX, published in one of the forms, everything that may be offloaded being so. Raises NotServed, TargetError."""
    authority = TestCA.new("lbsync bench CA")
    hosts = (HOST, "autodiscover.contoso.test")
    leaves = (authority.issue(hosts, key="ec256"), authority.issue(hosts, key="ec256"))
    with tempfile.TemporaryDirectory(prefix="lbb-") as folder:
        ca_file, pem = Path(folder) / "ca.pem", Path(folder) / "server.pem"
        ca_file.write_bytes(authority.root_pem)
        pem.write_bytes(authority.issue([_MRS], key="ec256").pem())
        with child("servers", str(pem)) as servers, RunningNginx(Path(folder) / "nginx") as running:
            spec = BalancerSpec(
                name="lb1", hosts=hosts, services=tuple(SERVICES), server_ca_pem=authority.root_pem.decode(),
                members=tuple(
                    Member(name=f"EX{number:02d}", address="127.0.0.1", http_port=plain, https_port=tls, tls_name=_MRS)
                    for number, (plain, tls) in enumerate(servers.up, 1)
                ),
            )  # fmt: skip
            settings = running.settings | {"inner_port": free_port("127.0.0.1")} | FORMS[form]
            found = Front(running, servers, spec, settings, leaves, ca_file)
            with found.open() as provider:
                for leaf in leaves:
                    found.apply(provider, InstallCertificate(leaf=leaf.fingerprint))
                found.apply(provider, Publish(leaf=leaves[0].fingerprint, modes=dict(_OFFLOADED)))
            yield found
