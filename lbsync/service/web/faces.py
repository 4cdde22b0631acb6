"""Errors with a face: what the API tells as a problem document, a browser is shown as a page.

Rule of this file: it changes the body of an error and nothing else: status and security headers stay those of whoever refused.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lbsync.service.web.asking import KEY, Asking
from lbsync.service.web.problems import MEDIA, Problem
from lbsync.service.web.templating import render

_HEADINGS: Final = {
    HTTPStatus.FORBIDDEN: "You may not do this",
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.CONFLICT: "That cannot be done now",
    HTTPStatus.GONE: "That is over",
    HTTPStatus.BAD_GATEWAY: "The farm did not answer as it should",
    HTTPStatus.SERVICE_UNAVAILABLE: "That cannot be read now",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong",
}


class Faces:
    """ASGI middleware around everything; the API and programs are left alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or not _by_browser(scope):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def sending(message: Message) -> None:
            nonlocal start, body
            if (
                message["type"] == "http.response.start"
                and Headers(raw=message["headers"]).get("content-type") == MEDIA
            ):
                start = message
                return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                await _shown(scope, start, body, send)

        await self._app(scope, receive, sending)


async def _shown(scope: Scope, start: Message, body: bytes, send: Send) -> None:
    problem = Problem.model_validate_json(body)
    asking = scope.get(KEY)
    known = asking.known if isinstance(asking, Asking) else None
    heading = _HEADINGS.get(HTTPStatus(problem.status), "That did not work")
    page = render("error.html", known, problem=problem, heading=heading).encode()
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["content-type"] = "text/html; charset=utf-8"
    headers["content-length"] = str(len(page))
    await send({"type": "http.response.start", "status": start["status"], "headers": headers.raw})
    await send({"type": "http.response.body", "body": page})


def _by_browser(scope: Scope) -> bool:
    accepted = Headers(scope=scope).get("accept", "")
    return "text/html" in accepted and not scope["path"].startswith("/api/")
