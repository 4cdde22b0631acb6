"""The canary itself: kept connections, fresh handshakes, perhaps a long poll, in one thread of its own.

Rule of this room: a request that was begun and not answered as expected is an error, once; what a correct client repairs by
itself is counted apart. Nothing here stops a rollout: the report does the talking.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from itertools import cycle
from types import TracebackType
from typing import Self

from lbsync.canary.tally import CanaryReport, Tally
from lbsync.canary.wire import Conversation, NoAnswer, Outcome
from lbsync.verdict import Listener
from lbsync_certs.names import ascii_name

ANSWERED = frozenset({200, 302, 401})
"""What a published service answers to an anonymous GET: a page, the way to the sign-in, or the question for credentials."""


_LAST_TURNS_S = 0.01
"""What was aborted is closed by the loop's next turns."""


class Canary:
    """Ask ``paths`` of every listener, as ``host``, from ``start`` to ``stop``; a context manager too.

    Per listener ``keep`` clients hold a connection open and ``fresh`` ones open a new one for every request, each asking once
    in ``interval_s``. ``long_poll`` is a path that answers late: one client per listener waits for it up to
    ``long_poll_timeout_s`` again and again. ``accepted`` are the statuses of a good answer.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        host: str,
        ca_pem: str | None,
        paths: Sequence[str],
        *,
        keep: int = 4,
        fresh: int = 2,
        interval_s: float = 0.2,
        timeout_s: float = 10.0,
        long_poll: str | None = None,
        long_poll_timeout_s: float = 1800.0,
        accepted: frozenset[int] = ANSWERED,
    ) -> None:
        """``ca_pem`` is the text of the CAs clients trust, ``None`` for the system's. Nothing is opened before ``start``.

        Raises CertificateProblem for a ``host`` that is none, and ValueError without ``paths``.
        """
        if not paths:
            raise ValueError("a canary needs a path to ask for")
        self._listeners = tuple(listeners)
        self._host = ascii_name(host)
        self._ca_pem = ca_pem
        self._paths = tuple(paths)
        self._keep = keep
        self._fresh = fresh
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._long_poll = long_poll
        self._long_poll_timeout_s = long_poll_timeout_s
        self._accepted = accepted
        self._tally = Tally()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._running = threading.Event()
        self._armed = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._started = datetime.now(UTC)
        self._report: CanaryReport | None = None

    def start(self) -> None:
        """Begin to ask; returns when the clients are under way. A canary runs once: RuntimeError the second time."""
        if self._thread is not None:
            raise RuntimeError("a canary runs once")
        self._started = datetime.now(UTC)
        self._thread = threading.Thread(target=self._run, name="canary", daemon=True)
        self._thread.start()
        self._running.wait()

    def wait_armed(self, timeout_s: float) -> bool:
        """Wait for the first success of all; false when none came in time."""
        return self._armed.wait(timeout_s)

    def stop(self) -> CanaryReport:
        """End all clients and report; requests on the way are given up without being counted. Repeating is harmless.

        Stop it before a listener is taken away on purpose: what it is refused then would count. RuntimeError where it was
        never started, or failed itself.
        """
        if self._thread is None:
            raise RuntimeError("the canary was never started")
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        if self._failure is not None:
            raise RuntimeError("the canary itself failed") from self._failure
        assert self._report is not None  # noqa: S101  the thread ends with a report or a failure
        return self._report

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; the report is what ``stop`` returns again."""
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  handed to stop(), which raises it in the caller's thread
            self._failure = error
        finally:
            self._running.set()

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        clients = list[Coroutine[None, None, None]]()
        for listener in self._listeners:
            clients += [self._keeping(listener, number) for number in range(self._keep)]
            clients += [self._freshly(listener, number) for number in range(self._fresh)]
            if self._long_poll is not None:
                clients.append(self._polling(listener, self._long_poll))
        tasks = [asyncio.create_task(client) for client in clients]
        self._running.set()
        stop = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        self._report = self._tally.report(started=self._started, stopped=datetime.now(UTC), now_s=time.monotonic())
        for task in (stop, *tasks):
            task.cancel()
        await asyncio.gather(stop, *tasks, return_exceptions=True)
        await asyncio.sleep(_LAST_TURNS_S)
        for task in done - {stop}:
            await task  # a client never ends by itself: it failed, and this says how

    def _turns(self, number: int) -> cycle[str]:
        """The paths in turn; each client begins with another one."""
        shift = number % len(self._paths)
        return cycle(self._paths[shift:] + self._paths[:shift])

    async def _keeping(self, listener: Listener, number: int) -> None:
        """One client that keeps its connection as long as it is let."""
        kept: Conversation | None = None
        try:
            for path in self._turns(number):
                kept = await self._request(listener, path, kept, self._timeout_s)
                await asyncio.sleep(self._interval_s)
        finally:
            if kept is not None:
                kept.abort()

    async def _freshly(self, listener: Listener, number: int) -> None:
        """One client with a full handshake for every request."""
        for path in self._turns(number):
            kept = await self._request(listener, path, None, self._timeout_s)
            await self._drop(kept)
            await asyncio.sleep(self._interval_s)

    async def _polling(self, listener: Listener, path: str) -> None:
        """One client that waits for a late answer."""
        while True:
            self._tally.held += 1
            kept = await self._request(listener, path, None, self._long_poll_timeout_s)
            self._tally.held -= 1
            await self._drop(kept)
            await asyncio.sleep(self._interval_s)

    async def _request(
        self, listener: Listener, path: str, kept: Conversation | None, timeout_s: float
    ) -> Conversation | None:
        """One request, counted; the connection if it can be used again."""
        began = time.monotonic()
        if kept is not None and kept.ended:
            self._tally.idle_closes += 1
            await kept.close()
            kept = None
        talk = kept
        try:
            async with asyncio.timeout(timeout_s):
                talk = talk or await self._open(listener)
                try:
                    outcome = await talk.get(path)
                except NoAnswer:
                    if talk is not kept:
                        raise
                    # A kept connection that ends before the first byte: the request may be sent again (RFC 9110, 9.2.2).
                    await talk.close()
                    self._tally.retried += 1
                    talk = await self._open(listener)
                    outcome = await talk.get(path)
        except OSError as error:  # TimeoutError and SSLError are among them
            self._error(listener, path, _say(error, timeout_s))
            await self._drop(talk)
            return None
        except BaseException:
            if talk is not None:
                talk.abort()
            raise
        return await self._judge(listener, path, talk, outcome, began)

    async def _open(self, listener: Listener) -> Conversation:
        talk = await Conversation.open(listener.address, listener.https_port, self._host, ca_pem=self._ca_pem)
        self._tally.connections += 1
        return talk

    async def _judge(
        self, listener: Listener, path: str, talk: Conversation, outcome: Outcome, began: float
    ) -> Conversation | None:
        now = time.monotonic()
        if outcome.status in self._accepted:
            late = path == self._long_poll
            self._tally.success(listener.balancer, path, now_s=now, took_ms=None if late else (now - began) * 1000)
            self._tally.long_polls += late
            self._armed.set()
        else:
            self._error(listener, path, f"answered {outcome.status}")
        if not outcome.close:
            return talk
        self._tally.announced_closes += 1
        await talk.close()
        return None

    def _error(self, listener: Listener, path: str, text: str) -> None:
        self._tally.error(listener.balancer, path, text, at=datetime.now(UTC))

    @staticmethod
    async def _drop(talk: Conversation | None) -> None:
        if talk is not None:
            await talk.close()


def _say(error: OSError, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return f"{type(error).__name__}: {error}"
