"""What changed, told to whoever listens: browsers, notices, metrics.

Rule of this file: nobody who listens can hold anything up or fill the memory: a reader that is too slow loses the oldest, and the
same news twice is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from lbsync.service.values import Changed

LONGEST = 512
"""So many changes wait for one reader: more than namespaces that change at once, and each is a few bytes."""


class Feed:
    """Who listens. Used from one event loop only."""

    def __init__(self) -> None:
        self._readers: list[_Reader] = []
        self._closed = False

    def publish(self, changed: Changed) -> None:
        """Tell everybody."""
        for reader in self._readers:
            reader.put(changed)

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[AsyncIterator[Changed]]:
        """What is told from now on, until the feed closes."""
        reader = _Reader()
        if self._closed:
            reader.close()
        self._readers.append(reader)
        try:
            yield reader
        finally:
            self._readers.remove(reader)

    def close(self) -> None:
        """Nothing more will be told: readers come to their end once they have read what waits for them."""
        self._closed = True
        for reader in self._readers:
            reader.close()


class _Reader:
    def __init__(self) -> None:
        self._waiting: dict[Changed, None] = {}
        self._news = asyncio.Event()
        self._closed = False

    def put(self, changed: Changed) -> None:
        self._waiting.pop(changed, None)
        self._waiting[changed] = None
        if len(self._waiting) > LONGEST:
            del self._waiting[next(iter(self._waiting))]
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    def __aiter__(self) -> AsyncIterator[Changed]:
        return self

    async def __anext__(self) -> Changed:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        oldest = next(iter(self._waiting))
        del self._waiting[oldest]
        return oldest
