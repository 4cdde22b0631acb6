"""A real balancer before two recording servers, whichever balancer it is: what the providers' tests share.

Rule of this file: it plays the client, the servers and the certificates; the balancer comes from outside.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lbsync.changes import Change, InstallCertificate, Publish
from lbsync.kit.handshake import handshake
from lbsync.model import Check, Mode, Step
from lbsync.services import ALL_SERVICES, SERVICES, Service
from lbsync.target import BalancerSpec, Member, Plugin, Provider
from lbsync.testing.backend import RecordingServer
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle, Fingerprint

HOSTS = ("mail.contoso.test", "autodiscover.contoso.test")
BRIDGED = dict.fromkeys(SERVICES, Mode.BRIDGE)
OFFLOADED = {service: Mode.OFFLOAD if spec.offloadable else Mode.BRIDGE for service, spec in SERVICES.items()}


class Running(Protocol):
    """A balancer's process."""

    address: str
    https_port: int
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
        return [path for server in self.servers.values() for path in server.paths("http")]


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
        """How the request reached the server: http, https, or nothing for an answer of the balancer's own."""
        return self._told("scheme")

    @property
    def server(self) -> str:
        """The server that answered; empty for an answer that does not tell."""
        return self._told("server")

    def _told(self, key: str) -> str:
        try:
            return str(json.loads(self.body)[key])
        except (ValueError, KeyError):
            return ""


def exchange(
    connection: socket.socket, target: str, *, method: str = "GET", headers: str = "", host: str = HOSTS[0]
) -> Answer:
    """One request and its answer on an open connection. Raises ConnectionError where it is closed before the end."""
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
    if dict(pairs).get("transfer-encoding") == "chunked":
        body = _unchunked(connection, body)
    length = int(dict(pairs).get("content-length", "0"))
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("closed within an answer")
        body += part
    return Answer(int(first.split()[1]), pairs, body)


def _unchunked(connection: socket.socket, data: bytes) -> bytes:
    while not data.endswith(b"0\r\n\r\n"):
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("closed within an answer")
        data += part
    return b"".join(_chunks(data))


def _chunks(data: bytes) -> Iterator[bytes]:
    while True:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return
        yield rest[:length]
        data = rest[length + 2 :]


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
