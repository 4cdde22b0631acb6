"""Transactions: commands queued under a number, judged and run together, or forgotten.

Rule of this room: it knows numbers, states and clocks; what a command does is a function it is given.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lbsync.lab.bigip import errors
from lbsync.lab.bigip.names import HOST, Json
from lbsync.lab.bigip.store import Draft

_LONG_SINCE = 12
Work = Callable[[Draft], object]


@dataclass(slots=True)
class Transaction:
    """One of them; ``began`` is monotonic."""

    number: int
    user: str
    timeout_s: float
    began: float
    state: str = "STARTED"
    reason: str = ""
    commands: list[tuple[Json, Work]] = field(default_factory=list[tuple[Json, Work]])

    def body(self, version: str) -> Json:
        """As transaction_create_200.json."""
        return {
            "transId": self.number,
            "state": self.state,
            "timeoutSeconds": int(self.timeout_s),
            "asyncExecution": False,
            "validateOnly": False,
            "executionTimeout": 300,
            "executionTime": 0,
            "failureReason": self.reason,
            "kind": "tm:transactionstate",
            "selfLink": f"{HOST}/transaction/{self.number}?ver={version}",
        }


class Transactions:
    """Those of one device. ``timeout_s`` is a knob: 120 s since 12.1, 30 s on 11.5."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._open: dict[int, Transaction] = {}
        self._lock = threading.Lock()
        self._last = 0
        self.timeout_s = 30.0 if int(version.partition(".")[0]) < _LONG_SINCE else 120.0

    def create(self, user: str) -> Json:
        """Open one."""
        with self._lock:
            self._last = max(self._last + 1, int(time.time() * 1e6))
            made = Transaction(self._last, user, self.timeout_s, time.monotonic())
            self._open[made.number] = made
        return made.body(self._version)

    def find(self, number: str) -> Transaction:
        """An open one. Raises Refusal, also for one whose time is over."""
        with self._lock:
            for known in list(self._open.values()):
                if time.monotonic() - known.began > known.timeout_s:
                    del self._open[known.number]
            found = self._open.get(int(number)) if number.isdigit() else None
        if found is None:
            raise errors.Refusal(404, f"there is no transaction with id {number}", 1)  # Assumption ``transaction-404``.
        return found

    @property
    def open(self) -> tuple[Transaction, ...]:
        """Those neither committed nor deleted nor over."""
        with self._lock:
            return tuple(one for one in self._open.values() if time.monotonic() - one.began <= one.timeout_s)

    def queue(self, number: str, method: str, path: str, body: Json, work: Work) -> Json:
        """Add a command; the answer of transaction_command_queued_200.json. Raises Refusal."""
        transaction = self.find(number)
        order = len(transaction.commands) + 1
        shown: Json = {
            "method": method,
            "uri": f"{HOST}/{path}",
            "body": body,
            "evalOrder": order,
            "commandId": order,
            "kind": "tm:transaction:commandsstate",
            "selfLink": f"{HOST}/transaction/{transaction.number}/commands/{order}?ver={self._version}",
        }
        transaction.commands.append((shown, work))
        return shown

    def commit(self, number: str, given: Json, run: Callable[[Work, bool], object]) -> Json:
        """``VALIDATING``: run all commands, or none. ``run`` gets the work, and whether only to judge. Raises Refusal."""
        transaction = self.find(number)
        if given.get("state") != "VALIDATING":
            raise errors.nothing_given("state VALIDATING")
        if not transaction.commands:
            # The status is recorded from a device, too: 404, not 400.
            raise errors.Refusal(404, "there is no command to commit in the transaction.", 1)
        works = [work for _, work in transaction.commands]

        def everything(draft: Draft) -> None:
            for work in works:
                work(draft)

        dry = given.get("validateOnly") in (True, "true")
        try:
            run(everything, dry)
        except errors.Refusal as refusal:
            transaction.state, transaction.reason = "FAILED", refusal.message
            raise refusal.in_transaction() from refusal
        with self._lock:
            self._open.pop(transaction.number, None)
        transaction.state = "COMPLETED"  # Assumption ``commit-body``.
        return transaction.body(self._version) | {"validateOnly": dry}

    def delete(self, number: str) -> None:
        """Forget it. Raises Refusal."""
        transaction = self.find(number)
        with self._lock:
            self._open.pop(transaction.number, None)

    def commands(self, number: str) -> list[Json]:
        """What is queued. Raises Refusal."""
        return [shown for shown, _ in self.find(number).commands]
