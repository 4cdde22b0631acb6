"""Places: how many children that only read are at work at once, whoever they read for.

Rule of this file: it counts, lets wait in order, and remembers who hung. Those share half of the places: farms that answer do not
wait for dead ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

_HUNG_S = 60.0
"""What failed after so long did not answer."""


class Places:
    """``count`` places for all namespaces together. Used from one event loop only."""

    def __init__(self, count: int) -> None:
        self._all = asyncio.Semaphore(count)
        self._for_hung = asyncio.Semaphore(max(1, count // 2))
        self._waiting: dict[str, asyncio.Task[AsyncExitStack]] = {}
        self._hung: set[str] = set()

    @asynccontextmanager
    async def place(self, namespace: str) -> AsyncGenerator[bool]:
        """Wait for one; inside, whether there is one: not where ``leave`` was called meanwhile."""
        self._waiting[namespace] = waiting = asyncio.ensure_future(self._take(hung=namespace in self._hung))
        await asyncio.wait({waiting})
        del self._waiting[namespace]
        if waiting.cancelled():
            yield False
            return
        async with waiting.result():
            yield True

    def leave(self, namespace: str) -> None:
        """It does not wait any more."""
        if (waiting := self._waiting.get(namespace)) is not None:
            waiting.cancel()

    def ended(self, namespace: str, *, failed: bool, late: bool, after_s: float) -> None:
        """How what read for it ended, and after how many seconds; ``late``: it had to be ended."""
        if late or (failed and after_s >= _HUNG_S):
            self._hung.add(namespace)
        else:
            self._hung.discard(namespace)

    async def _take(self, *, hung: bool) -> AsyncExitStack:
        async with AsyncExitStack() as taken:
            if hung:
                await taken.enter_async_context(self._for_hung)
            await taken.enter_async_context(self._all)
            return taken.pop_all()
