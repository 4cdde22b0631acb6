"""The outermost layer: headers of every answer, which names the service has, and what happens when something breaks.

Rule of this file: no answer leaves without these headers, whoever made it, and no traceback leaves at all.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lbsync.service.auth import proxy
from lbsync.service.auth.access import Access, is_loopback
from lbsync.service.web.problems import problem, unexpected

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Under no-referrer browsers send "Origin: null" with forms, and the gate could not tell ours from others'.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""A route may set one of these itself, such as the report its own policy; what it does not set is added."""
HEAD_BYTES: Final = 32 * 1024
"""Of a request's path and headers."""
HSTS: Final = "max-age=31536000"
_HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::\d{1,5})?", re.ASCII)
_LOG = logging.getLogger("lbsync.service.web")
_HEALTH: Final = ("/healthz", "/readyz")


class Security:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        peer = (scope.get("client") or ("", 0))[0]
        secure = proxy.is_secure(self._access, peer, scope["headers"])
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(raw=message["headers"])
                message["headers"] = headers.raw
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if secure:
                    headers.setdefault("Strict-Transport-Security", HSTS)
            await send(message)

        refused = self._refused(scope, peer)
        try:
            await (refused or self._app)(scope, receive, sending)
        except Exception:
            _LOG.exception("a request failed: %s", scope["method"])
            if began:
                raise
            await unexpected()(scope, receive, sending)

    def _refused(self, scope: Scope, peer: str) -> ASGIApp | None:
        """The answer to who asks for another host, or passes the proxy by."""
        access = self._access
        # The server's own limit is for heads that arrive in pieces.
        if (
            sum(len(name) + len(value) + 4 for name, value in scope["headers"]) + len(scope.get("raw_path") or b"")
            > HEAD_BYTES
        ):
            return problem(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's headers are too large", where="the request's headers",
                code="too-large", headers={"Connection": "close"},
            )  # fmt: skip
        if not named(access, proxy.values_of(scope["headers"], "host")):
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST, "this service has another name", where="the Host header",
                remedy="use a name that [service] hosts lists", code="host",
            )  # fmt: skip
        from_outside = not access.loopback and not access.tls and not access.trusts(peer)
        if from_outside and not is_loopback(peer) and scope["path"] not in _HEALTH:
            return problem(
                HTTPStatus.FORBIDDEN,
                "this service is reached through its proxy only",
                where="the connection",
                code="proxy",
            )
        return None


def named(access: Access, hosts: list[str]) -> bool:
    """Whether exactly one Host was sent and it is ours; its port may be any, since tunnels change it.

    Against pages of others whose name was made to point here (DNS rebinding): a browser sends the name it believes in.
    """
    if len(hosts) != 1:
        return False
    found = _HOST.fullmatch(hosts[0].lower())
    return found is not None and (found["v6"] or found["name"]) in access.names
