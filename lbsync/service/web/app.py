"""The application: the routers behind the gate, behind the security layer.

Rule of this file: it puts together and decides nothing. Whatever answers, answers through all layers.
"""

from __future__ import annotations

import importlib
from http import HTTPStatus
from importlib.util import find_spec
from typing import cast

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from lbsync.errors import LbsyncError
from lbsync.service.auth.access import Access
from lbsync.service.auth.guard import Guard
from lbsync.service.auth.oidc import Provider
from lbsync.service.port import Hub
from lbsync.service.web import api, signing, statics
from lbsync.service.web.asking import hub_of
from lbsync.service.web.faces import Faces
from lbsync.service.web.gate import Gate
from lbsync.service.web.models import Health
from lbsync.service.web.problems import not_as_asked, problem, told
from lbsync.service.web.security import Security
from lbsync.service.web.sse import BEAT_S, PROXY_S

_OTHERS = ("lbsync.service.web.pages", "lbsync.service.metrics", "lbsync.service.notices.web")
"""Rooms beside this one, each with ``router() -> APIRouter``."""


def make_app(hub: Hub, access: Access) -> FastAPI:
    """The service's ASGI application. Raises ConfigError where it would not be safe to serve (``Access.checked``)."""
    access.checked()
    app = FastAPI(
        title="lbsync",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # its pages come from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.hub = hub
    app.state.guard = guard = Guard(access)
    app.state.provider = Provider(access.oidc) if access.oidc is not None else None
    app.state.beat_s, app.state.proxy_s = BEAT_S, PROXY_S
    for router in (_health(), statics.router(), signing.pages(), signing.router(), api.router(), *_others()):
        app.include_router(router)
    app.add_exception_handler(LbsyncError, _lbsync_error)
    app.add_exception_handler(RequestValidationError, _not_as_asked)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Gate, guard=guard)
    app.add_middleware(Security, access=access)
    app.add_middleware(Faces)  # the last one added is the outermost
    return app


def _health() -> APIRouter:
    web = APIRouter(include_in_schema=False)

    @web.get("/healthz")
    async def healthz(request: Request, response: Response) -> Health:
        return _well(response, ok=hub_of(request).alive())

    @web.get("/readyz")
    async def readyz(request: Request, response: Response) -> Health:
        ready, _ = hub_of(request).ready()
        return _well(response, ok=ready)

    return web


def _well(response: Response, *, ok: bool) -> Health:
    response.status_code = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
    return Health(ok=ok)


def _others() -> list[APIRouter]:
    return [
        cast("APIRouter", importlib.import_module(name).router()) for name in _OTHERS if find_spec(name) is not None
    ]


async def _lbsync_error(_: Request, error: Exception) -> Response:
    return told(cast("LbsyncError", error))


async def _not_as_asked(_: Request, error: Exception) -> Response:
    return not_as_asked(cast("RequestValidationError", error).errors())


async def _http_error(_: Request, error: Exception) -> Response:
    """What a framework refuses: its status, our words."""
    status = HTTPStatus(cast("HTTPException", error).status_code)
    if status is HTTPStatus.BAD_REQUEST:  # a body that the parser gave up on, such as one nested too deeply
        return not_as_asked([{"type": "json_invalid"}])
    return problem(status, status.phrase.lower(), code="http")
