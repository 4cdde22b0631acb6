"""What the service is set to, as far as a page shows it: who is told by notices, what came of it, and a test.

Rule of this file: it shows and tries; what is set stands in the configuration, and is changed there. No address is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from lbsync.service.notices.web import states_of, test_of
from lbsync.service.web.asking import who
from lbsync.service.web.templating import page
from lbsync.service.web.views.telling import standing

_NOTICES: Final = "/settings/notices"


@dataclass(frozen=True, slots=True)
class Tried:
    """A test that somebody sent from the page; ``error`` is empty where it was taken."""

    at: datetime
    by: str
    error: str


def add(web: APIRouter) -> None:
    """The routes. What came of tests is remembered until the service ends."""
    tried: dict[str, Tried] = {}

    @web.get(_NOTICES)
    async def notices(request: Request) -> Response:
        targets = [(state, standing(state), tried.get(state.name)) for state in states_of(request)]
        return page(request, "notices.html", targets=targets)

    @web.post(f"{_NOTICES}/{{notice}}/test")
    async def test(request: Request, notice: str) -> Response:
        came = await test_of(request, notice)
        tried[notice] = Tried(datetime.now(UTC), who(request).name, came.error)
        return RedirectResponse(_NOTICES, HTTPStatus.SEE_OTHER)
