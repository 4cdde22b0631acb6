"""A real balancer before two recording servers, whichever balancer it is: what the providers' tests share.

Rule of this file: it plays the client, the servers and the certificates; the balancer comes from outside.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lbsync.changes import Change, InstallCertificate, Publish
from lbsync.kit.handshake import handshake
from lbsync.model import Check, Mode, Step
from lbsync.services import ALL_SERVICES, SERVICES, Service
from lbsync.target import BalancerSpec, Member, Plugin, Provider
from lbsync.testing.backend import Arrived, RecordingServer
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle, Fingerprint
from tests.balancers.client import HOST, Answer, exchange

HOSTS = (HOST, "autodiscover.contoso.test")
BRIDGED = dict.fromkeys(SERVICES, Mode.BRIDGE)
OFFLOADED = {service: Mode.OFFLOAD if spec.offloadable else Mode.BRIDGE for service, spec in SERVICES.items()}


class Running(Protocol):
    """A balancer's process."""

    address: str
    https_port: int
    http_port: int
    owned: Path

    @property
    def settings(self) -> dict[str, object]:
        """``[balancers.settings]`` for it."""
        ...


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
    """Everything a test needs: a balancer, two servers, two certificates, and a provider's settings."""

    plugin: Plugin[Any]
    running: Running
    servers: dict[str, RecordingServer]
    ca: TestCA
    first: Bundle
    second: Bundle
    spec: BalancerSpec
    settings: dict[str, object]
    materials: Materials = field(init=False)

    def __post_init__(self) -> None:
        self.materials = Materials({bundle.fingerprint: bundle for bundle in (self.first, self.second)})

    def open(self) -> AbstractContextManager[Provider]:
        """A provider, closed by the context."""
        return self.plugin.open(self.spec, self.settings)

    def publish(self, modes: Mapping[Service, Mode] = BRIDGED) -> None:
        """Install the first certificate and publish, waiting for every check."""
        with self.open() as provider:
            changes = (
                InstallCertificate(leaf=self.first.fingerprint),
                Publish(leaf=self.first.fingerprint, modes=dict(modes)),
            )
            for change in changes:
                self.apply(provider, change)

    def apply(self, provider: Provider, change: Change) -> list[Step]:
        """Lower a change by what is seen now, perform it, wait for its checks."""
        steps = list(provider.lower(change, provider.observe(ALL_SERVICES)))
        for step in steps:
            assert step.do is not None
            provider.perform(step.do, self.materials)
            wait_true(provider, step.until)
        return steps

    def request(self, target: str, *, method: str = "GET", headers: str = "", host: str = HOSTS[0]) -> Answer:
        """One request over TLS with this very request target, on a connection of its own."""
        with self.connected() as connection:
            return exchange(connection, target, method=method, headers=headers, host=host)

    @contextmanager
    def connected(self, server_name: str = HOSTS[0]) -> Generator[ssl.SSLSocket]:
        """A TLS connection to the listener."""
        context = ssl.create_default_context(cadata=self.ca.root_pem.decode())
        with (
            socket.create_connection((self.running.address, self.running.https_port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=server_name) as connection,
        ):
            yield connection

    def waiting(self) -> tuple[threading.Thread, list[object], str]:
        """A request that waits at a server: its thread, what came of it (a status or an error), and the server's name.

        It ends when the server's ``hold`` is set.
        """
        for server in self.servers.values():
            server.hold.clear()
        outcome: list[object] = []

        def client() -> None:
            try:
                outcome.append(self.request("/owa/wait").status)
            except OSError as error:
                outcome.append(error)

        thread = threading.Thread(target=client, daemon=True)
        thread.start()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for name, server in self.servers.items():
                if server.waiting.acquire(timeout=0.05):
                    return thread, outcome, name
        raise AssertionError("no request arrived")

    def served(self) -> Fingerprint:
        """The leaf the balancer serves now, by a full handshake."""
        return handshake(
            self.running.address, self.running.https_port, HOSTS[0], ca_pem=self.ca.root_pem.decode()
        ).fingerprint

    def blockers(self) -> str:
        """Every blocker, in one text."""
        with self.open() as provider:
            seen = provider.observe(ALL_SERVICES)
        assert seen.kind == "balancer"
        return "\n".join(seen.blockers)

    def files(self) -> dict[str, bytes | str]:
        """Everything in the owned directory, by relative path: contents, and where links point."""
        return files_below(self.running.owned)

    def plain(self) -> list[str]:
        """Paths that reached port 80 of any server."""
        return [one.path for one in self.arrived if one.scheme == "http"]

    @property
    def arrived(self) -> list[Arrived]:
        """Whatever reached any server, health checks aside."""
        return [one for server in self.servers.values() for one in server.arrived]

    def spooled(self) -> list[str]:
        """Files in which the balancer keeps parts of bodies now, deleted ones among them; none where it has no such thing."""
        return []

    def forget(self) -> None:
        """As if nothing had reached a server yet."""
        for server in self.servers.values():
            server.arrived.clear()

    def answering(self, path: str, *headers: tuple[str, str]) -> None:
        """Have every server send these headers when it is asked for this path."""
        for server in self.servers.values():
            server.answers[path] = list(headers)


def files_below(folder: Path) -> dict[str, bytes | str]:
    """Contents by relative path; where links point, and directories by that word."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = path.read_bytes() if path.is_file() else "directory"
    return found


def wait_true(provider: Provider, checks: Iterable[Check]) -> None:
    """Ask until every check is true; fails after ten seconds."""
    for check in checks:
        deadline = time.monotonic() + 10
        while not (result := provider.check(check)).passed:
            assert time.monotonic() < deadline, f"{check.summary}: {result.detail}"
            time.sleep(0.2)


@contextmanager
def short_directory() -> Generator[Path]:
    """A directory with a path short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="lb", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def two_servers(stack: ExitStack, authority: TestCA, name: str = "") -> dict[str, RecordingServer]:
    """EX01 and EX02, ended with ``stack``; each with a leaf for its own name, or both for ``name``."""
    return {
        server: stack.enter_context(
            RecordingServer(server, authority.issue([name or f"{server.lower()}.contoso.test"], key="ec256"))
        )
        for server in ("EX01", "EX02")
    }


def spec_of(
    servers: Mapping[str, RecordingServer], authority: TestCA, services: tuple[Service, ...], name: str = ""
) -> BalancerSpec:
    """What a provider is told of them; ``name`` is verified on each, or its own name."""
    return BalancerSpec(
        name="lb1",
        hosts=HOSTS,
        members=tuple(
            Member(
                name=server,
                address=running.address,
                http_port=running.http_port,
                https_port=running.https_port,
                tls_name=name or f"{server.lower()}.contoso.test",
            )
            for server, running in servers.items()
        ),
        services=services,
        server_ca_pem=authority.root_pem.decode(),
    )
