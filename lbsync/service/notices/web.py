"""Notices in the API: how it stands with each target, and a test.

Rule of this file: a target's address is nowhere in it; whoever tests, by a page or the API, takes few of the service's threads.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from fastapi import APIRouter, Request

from lbsync.model import Value
from lbsync.service.notices.post import Post
from lbsync.service.notices.values import NoticeState
from lbsync.service.port import Busy, NotFound
from lbsync.service.web.api import LOGINS, PROBLEMS, Id

_AT_ONCE: Final = 2
"""Each test holds a thread for as long as the other side takes, and the schedule needs some for itself."""


class Tested(Value):
    """What came of a test: ``error`` is empty where it was sent."""

    sent: bool
    error: str


def states_of(request: Request) -> tuple[NoticeState, ...]:
    """Every target, for pages and the API; none where the service tells nobody."""
    post = _post(request)
    return post.states() if post is not None else ()


async def test_of(request: Request, name: str) -> Tested:
    """Send a test to a target now. Raises NotFound, Busy where one is on its way there, or two elsewhere."""
    post = _post(request)
    if post is None:
        raise NotFound("there is no such target of notices", where=name, code="unknown-notice")
    if name in post.testing or len(post.testing) >= _AT_ONCE:
        raise Busy(
            "a test is on its way there already" if name in post.testing else "other tests are on their way",
            where=name, state="no other one was sent", remedy="wait for what comes of it, a minute at most", code="busy",
        )  # fmt: skip
    post.testing.add(name)
    try:
        error = await asyncio.to_thread(post.test, name)
    finally:
        post.testing.discard(name)
    return Tested(sent=not error, error=error)


def _post(request: Request) -> Post | None:
    outlets = getattr(request.app.state, "outlets", None)
    return cast("Post", outlets.post) if outlets is not None else None


def router() -> APIRouter:
    """``/api/v1/notices``."""
    web = APIRouter(prefix="/api/v1/notices", responses=PROBLEMS, dependencies=LOGINS, tags=["notices"])

    @web.get("")
    async def notices(request: Request) -> list[NoticeState]:
        """Who is told, and how it stands with them."""
        return list(states_of(request))

    @web.post("/{notice}/test")
    async def test(request: Request, notice: Id) -> Tested:
        """Send a test notice now."""
        return await test_of(request, notice)

    return web
