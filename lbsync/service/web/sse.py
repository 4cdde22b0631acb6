"""What changes, told to browsers at once: server-sent events.

Rule of this file: a stream ends with its reader, its login or the service, and where nobody can say whether the login holds,
after a while; it keeps nothing for who comes back, since a page
that reconnects loads its state anew (Last-Event-ID is ignored).
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lbsync.service.auth.guard import Known
from lbsync.service.values import Changed
from lbsync.service.web.asking import guard_of, hub_of, known

BEAT_S: Final = 15.0
"""Seconds between signs of life, which proxies want to see; at each the login is looked at again."""
PROXY_S: Final = 300.0
"""Seconds that a stream of somebody lasts whom a proxy named: it has no session, and only the proxy knows whether it would name
him still. Browsers come back by themselves, and then it is asked."""
_HELLO: Final = b"retry: 3000\n: hello\n\n"
_BEAT: Final = b": beat\n\n"
_END: Final = b"event: end\ndata: {}\n\n"
_AGAIN: Final = b"event: again\ndata: {}\n\n"


class EventStream(Response):
    """A stream of ``Changed`` for as long as the login holds."""

    media_type = "text/event-stream"

    def __init__(self, request: Request, status_code: int = 200, background: BackgroundTask | None = None) -> None:
        super().__init__(None, status_code, {"X-Accel-Buffering": "no"}, background=background)
        del self.headers["content-length"]
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """The whole stream."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": _HELLO, "more_body": True})
        async with hub_of(self._request).events() as changes:
            last = await self._tell(aiter(changes), receive, send)
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _tell(self, changes: AsyncIterator[Changed], receive: Receive, send: Send) -> bytes:
        """Tell until the login or the service ends, its time is up, or nobody listens any more; returns what is said last."""
        asker, clock = known(self._request), asyncio.get_running_loop().time
        by_proxy = asker is not None and asker.kind == "proxy"
        until_s = clock() + float(self._request.app.state.proxy_s) if by_proxy else math.inf
        following = asyncio.ensure_future(_next(changes))
        gone = asyncio.ensure_future(_hung_up(receive))
        over = asyncio.ensure_future(_over(asker))
        try:
            while True:
                beat_s = min(float(self._request.app.state.beat_s), max(0.0, until_s - clock()))
                await asyncio.wait({following, gone, over}, timeout=beat_s, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    return b""
                if over.done() or (asker is not None and not guard_of(self._request).still(asker)):
                    return _END
                if clock() >= until_s:
                    return _AGAIN
                if not following.done():
                    await send({"type": "http.response.body", "body": _BEAT, "more_body": True})
                    continue
                change = following.result()
                if change is None:
                    return _END
                following = asyncio.ensure_future(_next(changes))
                await send({"type": "http.response.body", "body": _line(change), "more_body": True})
        finally:
            tasks = (following, gone, over)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _next(changes: AsyncIterator[Changed]) -> Changed | None:
    return await anext(changes, None)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _over(asker: Known | None) -> None:
    if asker is None or asker.session is None:
        await asyncio.Event().wait()  # a bearer is looked at with each sign of life
    else:
        await asker.session.over.wait()


def _line(change: Changed) -> bytes:
    data = json.dumps({"ns": change.ns, "what": change.what, "id": change.id})
    return f"event: {change.what}\ndata: {data}\n\n".encode()
