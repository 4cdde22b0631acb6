"""Logging in and out: by JSON for programs and scripts, by a form without them, by an identity provider.

Rule of this file: every login gets a new session, and the one that the browser had before is over. Which of name and password
was wrong is told to nobody.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from lbsync.errors import LbsyncError
from lbsync.service.auth.guard import LoginFailed, TooMany
from lbsync.service.auth.sessions import Session
from lbsync.service.web.api import LOGINS, PREFIX, PROBLEMS
from lbsync.service.web.asking import asking, guard_of, provider_of, who
from lbsync.service.web.forms import fields_of
from lbsync.service.web.gate import cookie_name, cookie_of
from lbsync.service.web.loginpage import arrived, login_page
from lbsync.service.web.models import LoginIn, Me
from lbsync.service.web.problems import status_of

_OIDC_COOKIE: Final = "oidc"
_OIDC_S: Final = 600


def router() -> APIRouter:
    """Logins as an API."""
    api = APIRouter(prefix=PREFIX, responses=PROBLEMS, tags=["login"])

    @api.post("/session")
    async def log_in(request: Request, response: Response, body: LoginIn) -> Me:
        """Log in: sets the session's cookie. Wrong ones wait longer and longer (429, Retry-After)."""
        guard, address = guard_of(request), asking(request).address
        if body.token is not None:
            identity, session = guard.login_by_token(body.token.get_secret_value(), address)
        else:
            password = body.password.get_secret_value() if body.password else ""
            identity, session = await guard.login(body.name or "", password, address)
        _enter(request, response, identity)
        return _me(session)

    @api.delete("/session", status_code=HTTPStatus.NO_CONTENT, dependencies=LOGINS)
    async def log_out(request: Request) -> Response:
        """Log out: the session is over everywhere. A bearer stays what it is."""
        response = Response(status_code=HTTPStatus.NO_CONTENT)
        _leave(request, response)
        return response

    @api.get("/me", dependencies=LOGINS)
    async def me(request: Request) -> Me:
        """Who you are here."""
        known = asking(request).known
        name, csrf = who(request), known.csrf if known else None
        return Me(name=name.name, role=name.role, csrf=csrf)

    return api


def pages() -> APIRouter:
    """Logins as pages."""
    web = APIRouter(include_in_schema=False)
    _form(web)
    _provider(web)
    return web


def _form(web: APIRouter) -> None:
    @web.get("/login")
    async def page(request: Request) -> Response:
        return HTMLResponse(login_page(guard_of(request).access))

    @web.post("/login")
    async def log_in(request: Request) -> Response:
        guard, asked = guard_of(request), asking(request)
        fields = fields_of(request.scope["headers"], asked.body)
        try:
            if fields.get("token"):
                identity, _ = guard.login_by_token(fields["token"].strip(), asked.address)
            else:
                identity, _ = await guard.login(fields.get("name", ""), fields.get("password", ""), asked.address)
        except (LoginFailed, TooMany) as error:
            headers = {"Retry-After": str(error.wait_s)} if isinstance(error, TooMany) else None
            return HTMLResponse(login_page(guard.access, error.message), status_of(error), headers)
        response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        _enter(request, response, identity)
        return response

    @web.post("/logout")
    async def log_out(request: Request) -> Response:
        response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        _leave(request, response)
        return response


def _provider(web: APIRouter) -> None:
    @web.get("/login/oidc")
    async def begin(request: Request) -> Response:
        provider = provider_of(request)
        if provider is None:
            return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        try:
            document = await provider.ask(provider.discover)
            url, browser = provider.begin(document)
        except LbsyncError as error:
            return HTMLResponse(login_page(guard_of(request).access, error.message), status_of(error))
        response = RedirectResponse(url, HTTPStatus.SEE_OTHER)
        # Lax, since the provider's page sends the browser back here.
        secure = asking(request).secure
        response.set_cookie(
            _oidc_cookie(secure=secure),
            browser,
            max_age=_OIDC_S,
            path="/",
            secure=secure,
            httponly=True,
            samesite="lax",
        )
        return response

    @web.get("/login/oidc/callback")
    async def callback(request: Request) -> Response:
        provider, guard, asked = provider_of(request), guard_of(request), asking(request)
        if provider is None:
            return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        name = _oidc_cookie(secure=asked.secure)
        try:
            begun = provider.take(request.query_params.get("state", ""), cookie_of(request.scope["headers"], name))
            if "error" in request.query_params:
                raise LoginFailed("the identity provider did not log you in", where="login", code="login-failed")
            user = await provider.ask(provider.finish, begun, request.query_params.get("code", ""))
        except LbsyncError as error:
            response: Response = HTMLResponse(login_page(guard.access, error.message), status_of(error))
        else:
            identity, _ = guard.login_by_provider(user)
            # A page that goes on by itself: a redirect would still be the provider's, and Strict cookies stay at home then.
            response = HTMLResponse(arrived())
            _enter(request, response, identity)
        response.delete_cookie(name, path="/", secure=asked.secure, httponly=True, samesite="lax")
        return response


def _oidc_cookie(*, secure: bool) -> str:
    return f"{cookie_name(secure=secure)}-{_OIDC_COOKIE}"


def _me(session: Session) -> Me:
    return Me(name=session.who.name, role=session.who.role, csrf=session.csrf)


def _enter(request: Request, response: Response, identity: str) -> None:
    """Give the browser its new session, and end the one it had."""
    asked = asking(request)
    name = cookie_name(secure=asked.secure)
    old = cookie_of(request.scope["headers"], name)
    if old is not None:
        guard_of(request).sessions.end(old)
    response.set_cookie(name, identity, path="/", secure=asked.secure, httponly=True, samesite="strict")


def _leave(request: Request, response: Response) -> None:
    asked = asking(request)
    if asked.known is not None and asked.known.identity:
        guard_of(request).sessions.end(asked.known.identity)
    response.delete_cookie(
        cookie_name(secure=asked.secure), path="/", secure=asked.secure, httponly=True, samesite="strict"
    )
