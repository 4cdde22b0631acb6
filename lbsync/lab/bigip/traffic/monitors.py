"""Health monitors: who is asked, how often, and what the answers make of a member.

Rule of this room: one instance for each monitor and server address, shared by the pools that use both. A first failure is
believed at once, a later one only when no success came for ``timeout`` seconds. Instances start spread over an interval.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from lbsync.lab.bigip.plane import Body, Config
from lbsync.lab.bigip.traffic.objects import flag, seconds, text
from lbsync.lab.bigip.traffic.pools import Member
from lbsync.lab.bigip.traffic.wire import Wire

_LOOKED_AT = 5120
"""Bytes of an answer that are searched for the receive string."""
_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0"}
_LATE_S = 0.25
"""A loop that comes to its timers so much too late was busy or had no processor."""
_KINDS = ("http", "https", "tcp", "tcp-half-open")

Key = tuple[str, str, int]
"""A monitor's full path, a server's address and port."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One monitor. ``found``: what an answer must hold; ``None``: any answer will do."""

    kind: str
    send: bytes
    found: re.Pattern[str] | None
    reverse: bool
    interval_s: float
    timeout_s: float

    @classmethod
    def of(cls, kind: str, body: Body) -> Settings:
        """A monitor as REST shows it."""
        recv = text(body, "recv")
        try:
            found = re.compile(recv) if recv else None
        except re.error:
            found = re.compile(re.escape(recv))
        return cls(
            kind,
            unescape(text(body, "send")).encode("latin-1", "replace") if kind in {"http", "https"} else b"",
            found,
            flag(body, "reverse"),
            max(0.05, seconds(body, "interval", 5)),
            seconds(body, "timeout", 16),
        )

    def satisfied(self, answer: bytes) -> bool:
        """True when this much of an answer holds what it must."""
        if self.found is None:
            return bool(answer)
        return self.found.search(answer.decode("latin-1")) is not None


def unescape(written: str) -> str:
    r"""A send string as it goes over the wire: ``\r`` and ``\n`` are written out as two characters each."""
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), written)


def rule(written: str) -> tuple[int, tuple[str, ...]]:
    """How many of which monitors: ``/Common/a and /Common/b``, or ``min 1 of { /Common/a /Common/b }``."""
    paths = tuple(word for word in written.split() if word.startswith("/"))
    least = re.match(r"min (\d+) of", written)
    return int(least[1]) if least else len(paths), paths


class Monitors:
    """Every instance that runs. Use it on the loop that runs them."""

    def __init__(self, seed: int = 1) -> None:
        """``seed`` decides how long after it began each instance checks for the first time."""
        self._running: dict[Key, _Instance] = {}
        self._random = random.Random(f"{seed}/monitors")
        # Nobody is verified by a monitor, as on a device whose monitor has no server-ssl profile.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def health(self, member: Member) -> str:
        """up, down, checking or unchecked."""
        needed, paths = rule(member.monitor)
        if not paths:
            return "unchecked"
        states = [each.state for path in paths if (each := self._running.get((path, member.address, member.port)))]
        if states.count("up") >= needed:
            return "up"
        return "checking" if "checking" in states else "down"

    def apply(self, config: Config, members: Iterable[Member]) -> None:
        """Check these members from now on; those checked already keep their state."""
        settings = {
            path: Settings.of(kind, body) for kind in _KINDS for path, body in config.of(f"ltm/monitor/{kind}").items()
        }
        wanted = {
            (path, member.address, member.port): settings[path]
            for member in members
            for path in rule(member.monitor)[1]
            if path in settings
        }
        for key in [key for key in self._running if key not in wanted]:
            self._running.pop(key).stop()
        for key, each in wanted.items():
            running = self._running.get(key)
            if running is not None and running.settings == each:
                continue
            before = running.state if running is not None else "checking"
            if running is not None:
                running.stop()
            first_s = self._random.uniform(0, each.interval_s)
            self._running[key] = _Instance(each, key[1:], self._tls, before, first_s)

    def stop(self) -> None:
        """Check nobody any more."""
        for each in self._running.values():
            each.stop()
        self._running = {}


class _Instance:
    """One monitor of one server address."""

    def __init__(
        self, settings: Settings, to: tuple[str, int], tls: ssl.SSLContext, state: str, first_s: float
    ) -> None:
        self.settings = settings
        self.state = state
        self._to = to
        self._tls = tls if settings.kind == "https" else None
        self._loop = asyncio.get_running_loop()
        self._success = self._loop.time()
        self._overdue: asyncio.TimerHandle | None = None
        self._checks: set[asyncio.Task[None]] = set()
        if state == "up":
            self._await_next()
        self._clock = asyncio.ensure_future(self._run(first_s))

    def stop(self) -> None:
        """End every check."""
        if self._overdue is not None:
            self._overdue.cancel()
        for task in (self._clock, *self._checks):
            task.cancel()

    async def _run(self, first_s: float) -> None:
        await asyncio.sleep(first_s)
        while True:
            task = asyncio.ensure_future(self._check())
            self._checks.add(task)
            task.add_done_callback(self._checks.discard)
            await asyncio.sleep(self.settings.interval_s)

    async def _check(self) -> None:
        good = False
        with suppress(OSError, TimeoutError, EOFError):
            good = await asyncio.wait_for(self._ask(), self.settings.timeout_s)
        if good:
            self.state = "up"
            self._success = self._loop.time()
            self._await_next()
        elif self.state == "checking":
            self.state = "down"

    def _await_next(self) -> None:
        self._await(self.settings.timeout_s)

    def _await(self, seconds: float) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
        self._overdue = self._loop.call_at(self._loop.time() + seconds, self._give_up, self._loop.time() + seconds)

    def _give_up(self, due: float) -> None:
        if self._loop.time() - due > _LATE_S:
            # This machine had no time for us: answers may wait to be read, and a server is not down for that.
            self._await(self.settings.interval_s)
        else:
            self.state = "down"

    async def _ask(self) -> bool:
        wire = Wire(math.inf)
        try:
            await self._loop.create_connection(
                lambda: wire, *self._to, ssl=self._tls, server_hostname="" if self._tls else None
            )
            if self.settings.kind.startswith("tcp"):
                return True
            wire.write(self.settings.send)
            more = True
            while more and len(wire.buffer) < _LOOKED_AT:
                more = await wire.more()
                if self.settings.satisfied(bytes(wire.buffer[:_LOOKED_AT])):
                    return not self.settings.reverse
            return self.settings.reverse and bool(wire.buffer)
        finally:
            wire.abandon()  # whatever came of it: one that was cancelled as its handshake ended was made, too
