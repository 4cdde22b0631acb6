"""Clients bound to the leaf that their connection was opened with, as Extended Protection binds them.

Rule of this file: every request names that leaf in a header, so that what arrives at a server can be judged by it; a request that
was begun and not answered 200 is a failure, and only a close that was announced is polite.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tests.balancers.client import Answer, exchange

if TYPE_CHECKING:
    import ssl

    from tests.balancers.bench import Bench

HEADER = "x-bound-to"
_REQUESTS = 40


def leaf_of(connection: ssl.SSLSocket) -> str:
    """SHA-256 of the leaf that a connection was opened with."""
    return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


def ask(connection: ssl.SSLSocket, path: str = "/owa/bound") -> Answer:
    """One request that names its connection's leaf. Raises ConnectionError where the connection is closed."""
    return exchange(connection, path, headers=f"{HEADER}: {leaf_of(connection)}\r\n")


class BoundClients:
    """Clients that ask again and again while the ``with`` block runs, each at its own pace; one opens connections only."""

    def __init__(self, bench: Bench, paces_s: tuple[float, ...] = (0.02, 0.02, 0.05, 0.1, 0.3)) -> None:
        self._bench = bench
        self._stopping = threading.Event()
        clients = [threading.Thread(target=self._client, args=(pace, _REQUESTS), daemon=True) for pace in paces_s]
        self._clients = [*clients, threading.Thread(target=self._client, args=(0.01, 1), daemon=True)]
        self.failures: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        """Answered requests by leaf."""

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for client in self._clients:
            client.join(30)

    def _client(self, pace_s: float, requests: int) -> None:
        while not self._stopping.is_set():
            try:
                with self._bench.connected() as connection:
                    self._ask_on(connection, pace_s, requests)
            except OSError as error:
                self.failures[f"{type(error).__name__} {error}"] += 1
            self._stopping.wait(pace_s)

    def _ask_on(self, connection: ssl.SSLSocket, pace_s: float, requests: int) -> None:
        leaf = leaf_of(connection)
        for _ in range(requests):
            answer = ask(connection)
            self.asked[leaf] += 1
            if answer.status != 200:
                self.failures[f"status {answer.status}"] += 1
            if answer.headers.get("connection") == "close" or self._stopping.wait(pace_s):
                return


def misled(bench: Bench, holds: dict[str, str]) -> list[tuple[str, str]]:
    """Requests that arrived at a server that holds another leaf than their connection's; ``holds`` is leaf by server."""
    return [
        (name, arrived.headers[HEADER])
        for name, server in bench.servers.items()
        for arrived in server.arrived
        if HEADER in arrived.headers and arrived.headers[HEADER] != holds[name]
    ]
