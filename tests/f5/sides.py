"""What the tests of a switch of sides share: where it begins, what it changes, and clients that tell whom they met.

Rule of this file: one act or one look each; what must come of it stands in the tests.
"""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from hashlib import sha256
from typing import Self

from lbsync.changes import InstallCertificate, SwitchSides
from lbsync.model import Step
from lbsync.target import Provider
from lbsync_f5 import things
from tests.balancers.acts import drain, step_of
from tests.balancers.bench import Bench
from tests.balancers.client import exchange
from tests.f5.conftest import CONNECTIONS, F5Bench

PROTECTED = CONNECTIONS | {"resumption": False}
"""As under Extended Protection."""
FRESH, OLD = "EX01", "EX02"
PREFIX = "/Common/lbsync_lb1_"


def sides(bench: Bench, timeout_s: float = 10.0) -> SwitchSides:
    """From the first leaf at one server to the second leaf at the other."""
    return SwitchSides(
        before=bench.first.fingerprint, after=bench.second.fingerprint, old=(OLD,), fresh=(FRESH,),
        timeout_s=timeout_s, on_timeout="stop",
    )  # fmt: skip


def ready(bench: Bench, provider: Provider) -> Step:
    """The step itself, with everything done that comes before it."""
    bench.apply(provider, InstallCertificate(leaf=bench.second.fingerprint))
    bench.apply(provider, drain(FRESH))
    return step_of(provider, sides(bench))


def leaf_of(connection: ssl.SSLSocket) -> str:
    """The leaf that a connection was opened with."""
    return sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


def taking(bench: F5Bench) -> dict[str, set[str]]:
    """By pool of ours: the ports of the servers that it gives new connections."""
    device = bench.device
    pools = {path: device.object(things.POOL, path) or {} for path in device.paths(things.POOL)}
    return {
        path.removeprefix(PREFIX): {
            one["name"].rpartition(":")[2] for one in pool["members"] if one["session"] != "user-disabled"
        }
        for path, pool in pools.items()
    }


class Visitors:
    """Clients that open connections and ask over them, some of which they keep over several switches; a context manager.

    ``met`` counts leaf and server of each answer; ``broken`` are connections that ended after their first answer.
    """

    def __init__(self, bench: F5Bench, count: int = 4) -> None:
        self.met: Counter[tuple[str, str]] = Counter()
        self.broken: list[str] = []
        self._bench = bench
        self._over = threading.Event()
        self._turn = threading.Condition()
        self._turns = 0
        self._threads = [threading.Thread(target=self._visit, args=(number % 2 == 0,)) for number in range(count)]

    def turn(self) -> None:
        """A switch is done: whoever kept a connection asks again."""
        with self._turn:
            self._turns += 1
            self._turn.notify_all()

    def await_answers(self, leaf: str, count: int = 5) -> None:
        """Until so many more were given to connections of a leaf."""
        with self._turn:
            wanted = self._given(leaf) + count
            assert self._turn.wait_for(lambda: self._given(leaf) >= wanted, 20), (leaf, self.met)

    def _given(self, leaf: str) -> int:
        return sum(number for (found, _), number in self.met.items() if found == leaf)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.turn()
        for thread in self._threads:
            thread.join(20)

    def _visit(self, keeps: bool) -> None:
        while not self._over.is_set():
            asked = 0
            try:
                with self._bench.connected() as connection:
                    for _ in range(3):
                        server = exchange(connection, "/owa/").server
                        asked += 1
                        self._answered(leaf_of(connection), server, wait=keeps)
            except OSError as error:  # before the first answer: reset, since its side is over
                if asked:
                    self.broken.append(repr(error))

    def _answered(self, leaf: str, server: str, *, wait: bool) -> None:
        with self._turn:
            self.met[leaf, server] += 1
            self._turn.notify_all()
            if wait and not self._over.is_set():
                seen = self._turns
                self._turn.wait_for(lambda: self._turns > seen, 20)
