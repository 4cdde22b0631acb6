"""Files that pages are made of.

Rule of this file: a table read once from the package; a name that is not in it does not exist, and no path is ever joined.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request, Response

from lbsync.service.web.problems import problem

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class Static:
    """A file as it is sent."""

    content: bytes
    media_type: str
    etag: str


@lru_cache(maxsize=1)
def table() -> dict[str, Static]:
    """Every file by its name."""
    found: dict[str, Static] = {}
    for entry in files("lbsync.service.web").joinpath("static").iterdir():
        kind = _TYPES.get(entry.name.rpartition(".")[2])
        if kind is not None and entry.is_file():
            content = entry.read_bytes()
            found[entry.name] = Static(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found


def router() -> APIRouter:
    """``/static/{file}``."""
    web = APIRouter(include_in_schema=False)
    known = table()

    @web.get("/static/{file}")
    async def static(request: Request, file: str) -> Response:
        found = known.get(file)
        if found is None:
            return problem(HTTPStatus.NOT_FOUND, "there is no such file", code="no-page")
        headers = {"ETag": found.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    return web
