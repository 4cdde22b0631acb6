"""A real HAProxy before recording servers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lbsync.kit.handshake import handshake
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec, Member, Provider
from lbsync.testing.backend import RecordingServer
from lbsync.testing.ca import TestCA
from lbsync.testing.haproxy import RunningHaproxy
from lbsync_certs import Bundle, Fingerprint
from lbsync_haproxy import plugin

HOSTS = ("mail.contoso.test", "autodiscover.contoso.test")
BRIDGED = dict.fromkeys(SERVICES, Mode.BRIDGE)


@dataclass
class Materials:
    """Bundles by fingerprint; counts how often one was opened."""

    bundles: dict[Fingerprint, Bundle]
    opened: int = 0

    def open(self, leaf: Fingerprint) -> Bundle:
        """See MaterialSource."""
        self.opened += 1
        return self.bundles[leaf]


@dataclass
class Bench:
    """Everything a test needs: HAProxy, two servers, two certificates, and a provider's settings."""

    haproxy: RunningHaproxy
    servers: dict[str, RecordingServer]
    ca: TestCA
    first: Bundle
    second: Bundle
    spec: BalancerSpec
    settings: dict[str, object]
    materials: Materials = field(init=False)

    def __post_init__(self) -> None:
        self.materials = Materials({bundle.fingerprint: bundle for bundle in (self.first, self.second)})

    def open(self) -> ExitStackProvider:
        """A provider, closed by the context."""
        return ExitStackProvider(self)

    def served(self) -> Fingerprint:
        """The leaf HAProxy serves now, by a full handshake."""
        return handshake(
            self.haproxy.address, self.haproxy.https_port, HOSTS[0], ca_pem=self.ca.root_pem.decode()
        ).fingerprint

    def files(self) -> dict[str, bytes | str]:
        """Everything in the owned directory, by relative path: contents, and where links point."""
        found: dict[str, bytes | str] = {}
        for path in sorted(self.haproxy.owned.rglob("*")):
            name = str(path.relative_to(self.haproxy.owned))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            else:
                found[name] = path.read_bytes() if path.is_file() else "directory"
        return found


class ExitStackProvider:
    """``with bench.open() as provider``."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._stack = ExitStack()

    def __enter__(self) -> Provider:
        return self._stack.enter_context(plugin.open(self._bench.spec, self._bench.settings))

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


@contextmanager
def short_directory() -> Generator[Path]:
    """A directory with a path short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="lb", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture(scope="session")
def authority() -> TestCA:
    """One CA for all; keys are slow."""
    return TestCA.new()


@pytest.fixture(scope="session")
def leaves(authority: TestCA) -> tuple[Bundle, Bundle]:
    """Two certificates for the published names."""
    return authority.issue(HOSTS, key="ec256"), authority.issue(HOSTS, key="rsa2048")


@pytest.fixture
def make_bench(
    require: Callable[[str], None], authority: TestCA, leaves: tuple[Bundle, Bundle]
) -> Generator[Callable[..., Bench]]:
    """Builds benches; keyword arguments go to RunningHaproxy."""
    require("haproxy")
    with ExitStack() as stack:

        def make(*, services: tuple[Service, ...] = tuple(SERVICES), start: bool = True, **haproxy: object) -> Bench:
            directory = stack.enter_context(short_directory())
            servers = {
                name: stack.enter_context(
                    RecordingServer(name, authority.issue([f"{name.lower()}.contoso.test"], key="ec256"))
                )
                for name in ("EX01", "EX02")
            }
            running = RunningHaproxy(directory, **haproxy)  # type: ignore[arg-type]  # a test's keywords
            stack.callback(running.stop)
            if start:
                running.start()
            members = tuple(
                Member(
                    name=name,
                    address=server.address,
                    http_port=server.http_port,
                    https_port=server.https_port,
                    tls_name=f"{name.lower()}.contoso.test",
                )
                for name, server in servers.items()
            )
            spec = BalancerSpec(
                name="lb1",
                hosts=HOSTS,
                members=members,
                services=services,
                server_ca_pem=authority.root_pem.decode(),
            )
            return Bench(running, servers, authority, *leaves, spec=spec, settings=running.settings)

        yield make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """One bench, HAProxy running without anything of ours."""
    return make_bench()
