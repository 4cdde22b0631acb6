"""An asyncio loop in a thread of its own, started and ended cleanly.

Rule of this room: after ``stop`` no task, thread or socket of the loop is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

_T = TypeVar("_T")
_WAIT_S = 60.0


class LoopThread:
    """One loop, one thread; both begin with ``start``."""

    def __init__(self, name: str) -> None:
        """``name`` is the thread's."""
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.mishaps: list[str] = []
        """What no handler caught (a client that broke off a handshake, say); the last hundred."""

    def _quiet(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self.mishaps = [*self.mishaps[-99:], f"{context.get('message')}: {context.get('exception')!r}"]

    def start(self) -> None:
        """Begin to run."""
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._quiet)
        self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[object, object, _T]) -> _T:
        """Run a coroutine on the loop from another thread and wait for its result."""
        if self._loop is None:
            work.close()
            raise RuntimeError(f"{self._name} does not run")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_WAIT_S)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back on the loop after some seconds; from any thread; forgotten when the loop does not run."""
        loop = self._loop
        if loop is None:
            return

        def arrange() -> None:
            loop.call_later(delay_s, callback)

        with contextlib.suppress(RuntimeError):  # the loop has just been closed: nobody is left to call
            loop.call_soon_threadsafe(arrange)

    def stop(self) -> None:
        """End every task, then loop and thread; twice is once."""
        if self._loop is None or self._thread is None:
            return
        self.run(_wind_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_WAIT_S)
        self._loop.close()
        self._loop = self._thread = None


async def _wind_down() -> None:
    loop = asyncio.get_running_loop()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # Transports that were aborted report their end on the next turns of the loop.
    for _ in range(3):
        await asyncio.sleep(0)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
