"""Notices in the API: how it stands with each target, and a test.

Rule of this file: a target's address is nowhere in it.
"""

from __future__ import annotations

import asyncio
from typing import cast

from fastapi import APIRouter, Request

from lbsync.model import Value
from lbsync.service.notices.post import Post
from lbsync.service.notices.values import NoticeState
from lbsync.service.port import NotFound
from lbsync.service.web.api import LOGINS, PROBLEMS, Id


class Tested(Value):
    """What came of a test: ``error`` is empty where it was sent."""

    sent: bool
    error: str


def states_of(request: Request) -> tuple[NoticeState, ...]:
    """Every target, for pages and the API; none where the service tells nobody."""
    post = _post(request)
    return post.states() if post is not None else ()


async def test_of(request: Request, name: str) -> Tested:
    """Send a test to a target now. Raises NotFound."""
    post = _post(request)
    if post is None:
        raise NotFound("there is no such target of notices", where=name, code="unknown-notice")
    error = await asyncio.to_thread(post.test, name)
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
