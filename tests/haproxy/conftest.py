"""A real HAProxy before recording servers."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from lbsync.changes import Change, InstallCertificate, Publish
from lbsync.kit.handshake import handshake
from lbsync.model import Check, Mode, Step
from lbsync.services import ALL_SERVICES, SERVICES, Service
from lbsync.target import BalancerSpec, Member, Provider
from lbsync.testing.backend import RecordingServer
from lbsync.testing.ca import TestCA
from lbsync.testing.haproxy import RunningHaproxy, haproxy_program
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
    def connected(self) -> Generator[ssl.SSLSocket]:
        """A TLS connection to the listener."""
        context = ssl.create_default_context(cadata=self.ca.root_pem.decode())
        with (
            socket.create_connection((self.haproxy.address, self.haproxy.https_port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=HOSTS[0]) as connection,
        ):
            yield connection

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


@dataclass(frozen=True)
class Answer:
    """One HTTP response; header names in lower case, ``all_headers`` in order."""

    status: int
    all_headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """The last value of each header."""
        return dict(self.all_headers)

    @property
    def scheme(self) -> str:
        """How the request reached the server: http, https, or nothing for an answer of HAProxy's own."""
        try:
            return str(json.loads(self.body)["scheme"])
        except ValueError:
            return ""


def exchange(
    connection: socket.socket, target: str, *, method: str = "GET", headers: str = "", host: str = HOSTS[0]
) -> Answer:
    """One request and its answer on an open connection."""
    connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode("latin-1"))
    data = bytearray()
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("closed before an answer")
        data += part
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in rest))
    length = int(dict(pairs).get("content-length", "0"))
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("closed within an answer")
        body += part
    return Answer(int(first.split()[1]), pairs, body)


def wait_true(provider: Provider, checks: Iterable[Check]) -> None:
    """Ask until every check is true; fails after ten seconds."""
    for check in checks:
        deadline = time.monotonic() + 10
        while not (result := provider.check(check)).passed:
            assert time.monotonic() < deadline, f"{check.summary}: {result.detail}"
            time.sleep(0.05)


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


def build(
    stack: ExitStack,
    authority: TestCA,
    leaves: tuple[Bundle, Bundle],
    *,
    services: tuple[Service, ...] = tuple(SERVICES),
    start: bool = True,
    **haproxy: object,
) -> Bench:
    """A bench that ends with ``stack``; other keyword arguments go to RunningHaproxy."""
    directory = stack.enter_context(short_directory())
    servers = {
        name: stack.enter_context(RecordingServer(name, authority.issue([f"{name.lower()}.contoso.test"], key="ec256")))
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


@pytest.fixture
def make_bench(
    require: Callable[[str], None], authority: TestCA, leaves: tuple[Bundle, Bundle]
) -> Generator[Callable[..., Bench]]:
    """Builds benches that end with the test."""
    require("haproxy")
    with ExitStack() as stack:
        yield partial(build, stack, authority, leaves)


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """One bench, HAProxy running without anything of ours."""
    return make_bench()


@pytest.fixture
def published(bench: Bench) -> Bench:
    """One bench, published with every service bridged."""
    bench.publish()
    return bench


@pytest.fixture(scope="module")
def offloaded_bench(authority: TestCA, leaves: tuple[Bundle, Bundle]) -> Generator[Bench | None]:
    """One bench for a module, published with everything offloaded that may be; ``None`` without HAProxy."""
    if haproxy_program() is None:
        yield None
        return
    with ExitStack() as stack:
        bench = build(stack, authority, leaves)
        bench.publish(
            {service: Mode.OFFLOAD if spec.offloadable else Mode.BRIDGE for service, spec in SERVICES.items()}
        )
        yield bench


@pytest.fixture
def offloaded(require: Callable[[str], None], offloaded_bench: Bench | None) -> Bench:
    """The module's bench, with nothing recorded yet."""
    require("haproxy")
    assert offloaded_bench is not None
    for server in offloaded_bench.servers.values():
        server.arrived.clear()
    return offloaded_bench
