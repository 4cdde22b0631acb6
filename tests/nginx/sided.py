"""Clients that remember which leaf their connection was opened with, and which server answered each of its requests.

Rule of this file: it asks and keeps count; which pairs are right stands in the tests.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync.changes import Drain, InstallCertificate, SwitchSides
from lbsync.model import Check, Step
from lbsync.target import Provider
from lbsync_certs import Fingerprint
from tests.balancers.bench import HOSTS, Bench, wait_true
from tests.balancers.client import exchange

_PAUSE_S = 0.02
_PATIENCE_S = 10.0


def switch_of(bench: Bench, provider: Provider, *, on_timeout: str = "stop", timeout_s: float = 10) -> list[Step]:
    """EX01 drained and the second certificate installed; then the steps that switch to both."""
    bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
    bench.apply(provider, Drain(server="EX01", timeout_s=10, on_timeout="stop"))
    change = {"before": bench.first.fingerprint, "after": bench.second.fingerprint, "old": ["EX02"], "fresh": ["EX01"]}
    sides = SwitchSides.model_validate({**change, "timeout_s": timeout_s, "on_timeout": on_timeout})
    return list(provider.lower(sides, provider.observe(frozenset(bench.spec.services))))


def drained(server: str) -> Check:
    """The question whether nothing is left at a server."""
    return Check(target="lb1", verb="drained", args={"server": server}, summary=f"{server} is drained")


def leaf_of(connection: ssl.SSLSocket) -> Fingerprint:
    """The leaf that a connection was opened with."""
    return Fingerprint(hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest())


def accepted(bench: Bench) -> socket.socket:
    """A TCP connection that a worker holds, on which nothing was sent."""
    client = socket.create_connection((bench.running.address, bench.running.https_port), timeout=30)
    address, port = client.getsockname()
    peer = f"{socket.inet_aton(address)[::-1].hex().upper()}:{port:04X}"
    deadline = time.monotonic() + _PATIENCE_S
    while not any(row[2] == peer and row[9] != "0" for row in map(str.split, _table())):
        assert time.monotonic() < deadline, "no worker took the connection"
    return client


def _table() -> list[str]:
    return Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]


def greeted(bench: Bench, client: socket.socket) -> ssl.SSLSocket:
    """TLS on a TCP connection."""
    context = ssl.create_default_context(cadata=bench.ca.root_pem.decode())
    return context.wrap_socket(client, server_hostname=HOSTS[0])


def asked(connection: ssl.SSLSocket) -> tuple[Fingerprint, str]:
    """One request: the connection's leaf, and the server that answered."""
    return leaf_of(connection), exchange(connection, "/owa/").server


def asked_anew(bench: Bench) -> tuple[Fingerprint, str]:
    """Leaf and server of a connection opened now."""
    with bench.connected() as connection:
        return asked(connection)


def sides(bench: Bench) -> set[tuple[Fingerprint, str]]:
    """The pairs of leaf and server that are right."""
    return {(bench.first.fingerprint, "EX02"), (bench.second.fingerprint, "EX01")}


def settle(provider: Provider, *servers: str) -> None:
    """Wait until nothing is left at some servers."""
    wait_true(provider, map(drained, servers))


@dataclass
class Crowd:
    """Clients that ask for as long as the ``with`` block lasts: some on ever new connections, some on ones that they keep.

    ``met`` counts requests by leaf and server; ``lost`` holds what went wrong with a request, those aside that a kept connection
    was closed under (``closed``), which NGINX does to idle clients before 1.27.4.
    """

    bench: Bench
    fresh: int = 2
    keep: int = 4
    met: Counter[tuple[Fingerprint, str]] = field(default_factory=Counter[tuple[Fingerprint, str]])
    lost: list[str] = field(default_factory=list[str])
    closed: list[str] = field(default_factory=list[str])
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def _ask(self, most: int) -> None:
        while not self._stopping.is_set():
            done = 0
            try:
                with self.bench.connected() as connection:
                    while done < most and not self._stopping.wait(_PAUSE_S):
                        self.met[asked(connection)] += 1
                        done += 1
            except OSError as error:
                (self.closed if done else self.lost).append(repr(error))

    def __enter__(self) -> Self:
        kinds = [1] * self.fresh + [1_000_000] * self.keep
        self._threads = [threading.Thread(target=self._ask, args=(most,), daemon=True) for most in kinds]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
