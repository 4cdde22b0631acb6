"""The gate: every request passes here before a route sees it.

Rule of this file: what the matrix does not know does not exist; who may not is told before anything that was sent is read; a
body is read whole, within limits, and no longer than it takes.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lbsync.service.auth import csrf, proxy
from lbsync.service.auth.guard import Guard, Known
from lbsync.service.auth.roles import Need, find
from lbsync.service.web.asking import KEY, Asking
from lbsync.service.web.forms import fields_of
from lbsync.service.web.problems import problem

LARGEST: Final = 1_000_000
"""Bytes of a request's body."""
LARGEST_LOGIN: Final = 16_384
"""Bytes of a body from somebody who is not logged in."""
BODY_S: Final = 30.0
"""Seconds for a whole body to arrive."""


class _Gone(Exception):
    """Who asked hung up."""


def cookie_name(*, secure: bool) -> str:
    """The session's cookie: one that only this host can have set where there is TLS, which browsers ask for with __Host-."""
    return "__Host-lbsync" if secure else "lbsync"


class Gate:
    """ASGI middleware between security and the routes."""

    def __init__(self, app: ASGIApp, guard: Guard, body_s: float = BODY_S) -> None:
        self._app, self._guard, self._body_s = app, guard, body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, access = scope["headers"], self._guard.access
        peer = (scope.get("client") or ("", 0))[0]
        secure = proxy.is_secure(access, peer, headers)
        cookie = cookie_of(headers, cookie_name(secure=secure))
        # A page that is open asks for its live parts by itself: that keeps nobody logged in.
        used = b"part=live" not in scope["query_string"]
        known = self._guard.known(peer=peer, headers=headers, cookie=cookie, used=used)
        refused = self._refused(scope, known, peer) or _foreign(headers, scope["method"], known, secure=secure)
        if refused is not None:
            await refused(scope, receive, send)
            return
        body = b""
        if scope["method"] not in csrf.SAFE:
            try:
                read = await self._read(receive, headers, LARGEST if known else LARGEST_LOGIN)
            except _Gone:
                return
            if isinstance(read, Response):
                await read(scope, receive, send)
                return
            body, receive = read, _again(read, receive)
            if not _meant(scope, known, body):
                await _refusal("the request's token is missing or old", "csrf", "load the page again")(
                    scope, receive, send
                )
                return
        scope[KEY] = Asking(known=known, address=proxy.address_of(access, peer, headers), secure=secure, body=body)
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope, known: Known | None, peer: str) -> Response | None:
        """The answer to who asks for what is not there, or is not theirs."""
        found = find(scope["path"])
        if found is None:
            return problem(HTTPStatus.NOT_FOUND, "there is no such page", code="no-page")
        method = scope["method"]
        need = found.methods.get(method)
        if need is None:
            allowed = {"Allow": ", ".join(sorted(found.methods))}
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, "that cannot be done here", code="method", headers=allowed)
        if need.met_by(known.who.role if known else None, this_host=self._guard.this_host(peer)):
            return None
        if known is None:
            return _unknown(scope, method)
        return _refusal(f"a {known.who.role.value} may not do this", "role", _remedy(need))

    async def _read(self, receive: Receive, headers: proxy.Headers, largest: int) -> bytes | Response:
        """The whole body, or the refusal of one that is too large or too slow. Raises _Gone."""
        too_large = problem(
            HTTPStatus(413),  # its name is another from Python 3.13 on
            f"a request has {largest} bytes at most", where="the request's body", code="too-large",
            headers={"Connection": "close"},
        )  # fmt: skip
        said = proxy.single(headers, "content-length") or "0"
        if not said.isdecimal() or int(said[:12]) > largest:
            return too_large
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_s):
                more = True
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Gone
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size > largest:
                        return too_large
                    parts.append(part)
        except TimeoutError:
            return problem(
                HTTPStatus.REQUEST_TIMEOUT, "the request took too long to arrive", where="the request's body", code="slow",
                headers={"Connection": "close"},
            )  # fmt: skip
        return b"".join(parts)


def cookie_of(headers: proxy.Headers, name: str) -> str | None:
    """A cookie's value; None where there is none, or another than ours is broken."""
    for value in proxy.values_of(headers, "cookie"):
        try:
            found = SimpleCookie(value).get(name)
        except CookieError:
            continue
        if found is not None and found.value:
            return found.value
    return None


def _unknown(scope: Scope, method: str) -> Response:
    """Log in first: pages send there, the API says so."""
    path = scope["path"]
    if method == "GET" and not path.startswith("/api/") and path != "/metrics":
        return RedirectResponse("/login", status_code=HTTPStatus.SEE_OTHER)
    return problem(
        HTTPStatus.UNAUTHORIZED, "you are not logged in", where="login", remedy="log in, or send a token: Authorization: Bearer",
        code="login", headers={"WWW-Authenticate": "Bearer"},
    )  # fmt: skip


def _foreign(headers: proxy.Headers, method: str, known: Known | None, *, secure: bool) -> Response | None:
    """The answer to a change that another origin's page asked for."""
    if method in csrf.SAFE or (known is not None and known.csrf is None):
        return None
    ours = csrf.own_origin(
        host=proxy.single(headers, "host") or "",
        secure=secure,
        origins=proxy.values_of(headers, "origin"),
        sites=proxy.values_of(headers, "sec-fetch-site"),
    )
    return None if ours else _refusal("another site asked for this", "origin", "use the service's own pages")


def _meant(scope: Scope, known: Known | None, body: bytes) -> bool:
    """Whether the session's token was sent, where one is needed: a login, which anyone may ask for, needs none."""
    found = find(scope["path"])
    if known is None or known.csrf is None or (found and found.methods.get(scope["method"]) is Need.ANYONE):
        return True
    sent = proxy.single(scope["headers"], csrf.HEADER)
    return csrf.token_fits(sent if sent is not None else fields_of(scope["headers"], body).get(csrf.FIELD), known.csrf)


def _refusal(message: str, code: str, remedy: str) -> Response:
    return problem(
        HTTPStatus.FORBIDDEN, message, where="the request", state="nothing was done", remedy=remedy, code=code
    )


def _remedy(need: Need) -> str:
    return f"ask one who is {'an' if need in {Need.OPERATOR, Need.APPROVER} else 'a'} {need.value}"


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more for the route, then whatever comes: that who asked hung up."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def once_more() -> Message:
        return waiting.pop() if waiting else await receive()

    return once_more
