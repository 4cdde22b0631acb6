"""Clients that keep a listener busy, and count whatever goes wrong: fresh handshakes, keep-alive sessions, long polls.

Rule of this room: a request that was begun and not answered as expected is a failure, whoever closed the connection; only a
close announced by ``Connection: close`` is polite. It knows nothing of Exchange: paths and accepted answers are given.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_STEP_TIMEOUT_S = 30.0
_GOODBYE_S = 2.0


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """Whom to keep busy, and how.

    ``ca_pem`` is the text of the CA certificates the listener must chain to; ``paths`` are asked in turn. ``fresh`` loops
    open a connection with a full handshake per request, ``fresh_pause_s`` apart, ``keep`` clients send request after request
    on one connection ``pause_s`` apart, ``long`` clients send ``long_request`` (a whole HTTP/1.1 request) and wait up to
    ``long_timeout_s``.
    """

    address: str
    port: int
    server_name: str
    ca_pem: str
    paths: tuple[str, ...]
    accepted: frozenset[int] = frozenset({200})
    fresh: int = 8
    keep: int = 20
    pause_s: float = 0.05
    fresh_pause_s: float = 0.0
    long: int = 5
    long_request: bytes = b""
    long_timeout_s: float = 120.0


@dataclass(slots=True)
class LoadResult:
    """What came of it. ``failures`` counts by kind; ``leaves`` counts handshakes by the SHA-256 of the leaf served."""

    handshakes: int = 0
    requests: int = 0
    long_polls: int = 0
    cut_by_us: int = 0
    """Long polls still waiting when the load was stopped: closed by us, no failure."""
    longest_gap_s: float = 0.0
    """The longest time without any answer to anyone."""
    failures: Counter[str] = field(default_factory=Counter[str])
    leaves: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[int] = field(default_factory=Counter[int])

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(self.failures.values())


class _Connection:
    """One TLS connection speaking HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def leaf(self) -> str:
        """SHA-256 of the certificate served, hexadecimal."""
        tls = self._writer.get_extra_info("ssl_object")
        return hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()

    async def exchange(self, request: bytes) -> tuple[int, bool]:
        """Send a request, read its whole answer: status, and whether the server announced a close."""
        self._writer.write(request)
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        headers = dict(line.split(":", 1) for line in head[1:] if ":" in line)
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                await self._reader.readexactly(size + 2)
            await self._reader.readuntil(b"\r\n")
        else:
            await self._reader.readexactly(int(headers.get("content-length", "0")))
        return status, "close" in headers.get("connection", "")

    async def close(self) -> None:
        """Say goodbye as TLS wants it, and do not wait long for the answer."""
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), _GOODBYE_S)
        except OSError:
            self.abort()

    def abort(self) -> None:
        """Hang up."""
        with suppress(AttributeError):  # Python 3.11.2: a TLS transport closed twice has let go of its protocol
            self._writer.transport.abort()


class Load:
    """Runs in a thread of its own while the ``with`` block does; ``result`` is whole once the block has ended."""

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        self._context = ssl.create_default_context(cadata=spec.ca_pem)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)
        self._last_answer = 0.0
        self.result = LoadResult()

    def __enter__(self) -> Self:
        """Start the clients."""
        self._last_answer = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let requests under way finish, then stop."""
        self._stopping.set()
        self._thread.join()

    async def _run(self) -> None:
        spec = self._spec
        short = [self._repeat("fresh", number, self._fresh) for number in range(spec.fresh)]
        short += [self._repeat("keep", number, self._keep) for number in range(spec.keep)]
        long = [asyncio.create_task(self._repeat("long", number, self._long)) for number in range(spec.long)]
        await asyncio.gather(asyncio.to_thread(self._stopping.wait), *short)
        for task in long:
            task.cancel()
        await asyncio.gather(*long, return_exceptions=True)

    async def _repeat(self, kind: str, number: int, client: Callable[[int], Awaitable[None]]) -> None:
        """A client again and again; what it met is counted, and a loop that fails at once does not spin."""
        turn = number
        while not self._stopping.is_set():
            try:
                await client(turn)
            except (OSError, EOFError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
                self.result.failures[f"{kind}: {type(error).__name__} {error}"] += 1
                await asyncio.sleep(0.02)
            turn += 1

    async def _open(self) -> _Connection:
        spec = self._spec
        opening = asyncio.open_connection(
            spec.address,
            spec.port,
            ssl=self._context,
            server_hostname=spec.server_name,
            ssl_handshake_timeout=_STEP_TIMEOUT_S,
        )
        connection = _Connection(*await asyncio.wait_for(opening, _STEP_TIMEOUT_S))
        self.result.handshakes += 1
        self.result.leaves[connection.leaf] += 1
        return connection

    async def _ask(
        self, kind: str, connection: _Connection, request: bytes, timeout_s: float = _STEP_TIMEOUT_S
    ) -> bool:
        """One request; True when the connection may be used again."""
        status, closing = await asyncio.wait_for(connection.exchange(request), timeout_s)
        now = time.monotonic()
        self.result.longest_gap_s = max(self.result.longest_gap_s, now - self._last_answer)
        self._last_answer = now
        self.result.requests += 1
        self.result.statuses[status] += 1
        if status not in self._spec.accepted:
            self.result.failures[f"{kind}: status {status}"] += 1
        return not closing

    def _get(self, turn: int) -> bytes:
        path = self._spec.paths[turn % len(self._spec.paths)]
        return f"GET {path} HTTP/1.1\r\nHost: {self._spec.server_name}\r\nUser-Agent: lbsync-load\r\n\r\n".encode()

    async def _fresh(self, turn: int) -> None:
        connection = await self._open()
        try:
            await self._ask("fresh", connection, self._get(turn))
        finally:
            await connection.close()
        await asyncio.sleep(self._spec.fresh_pause_s)

    async def _keep(self, turn: int) -> None:
        connection = await self._open()
        try:
            while await self._ask("keep", connection, self._get(turn)) and not self._stopping.is_set():
                turn += 1
                await asyncio.sleep(self._spec.pause_s)
        finally:
            await connection.close()

    async def _long(self, _turn: int) -> None:
        connection = await self._open()
        try:
            while await self._ask("long", connection, self._spec.long_request, self._spec.long_timeout_s):
                self.result.long_polls += 1
        except asyncio.CancelledError:
            self.result.cut_by_us += 1
            raise
        finally:
            connection.abort()
