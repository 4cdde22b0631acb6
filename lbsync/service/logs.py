"""The service's log: JSON lines on stderr, and a line for each request.

Rule of this file: a request's line has its method, path, status, time, who asked and a number to find it by; never a query, a
header or a body. All lines pass the redactor.
"""

from __future__ import annotations

import logging
import secrets
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, TextIO

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lbsync.loglines import formatter, through_logging
from lbsync.redact import Redactor
from lbsync.service.auth.roles import find
from lbsync.service.traces import NoTraces, Traces
from lbsync.service.web.asking import KEY, Asking

_LOG = structlog.stdlib.get_logger("lbsync.service.access")
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: in the log only where they fail."""
_LONGEST: Final = 200
_FAILED: Final = 500


@contextmanager
def json_lines(redactor: Redactor, stream: TextIO | None = None) -> Generator[None]:
    """Inside, structlog and the standard library's logging go to ``stream`` (default: stderr)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter(redactor))
    through_logging()
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    quiet = [logging.getLogger(name) for name in ("httpx", "urllib3", "uvicorn.access", "asyncio")]
    levels = [one.level for one in quiet]
    for one in quiet:
        one.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for one, level in zip(quiet, levels, strict=True):
            one.setLevel(level)
        root.setLevel(before)
        root.removeHandler(handler)
        structlog.reset_defaults()


class AccessLog:
    """ASGI middleware around all others: numbers each request, tells of it when it is over, in log and traces."""

    def __init__(self, app: ASGIApp, traces: Traces | None = None) -> None:
        self._app, self._traces = app, traces or NoTraces()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Its number is ours: one that was sent along is not believed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number, status = secrets.token_hex(6), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                headers = MutableHeaders(raw=message["headers"])
                headers["X-Request-ID"] = number
                message["headers"] = headers.raw
            await send(message)

        began, clock = time.time(), time.perf_counter()
        with structlog.contextvars.bound_contextvars(request=number):
            try:
                await self._app(scope, receive, sending)
            finally:
                self._tell(scope, status, began, time.perf_counter() - clock)

    def _tell(self, scope: Scope, status: int, began: float, took: float) -> None:
        path, method = str(scope["path"])[:_LONGEST], scope["method"]
        found = scope.get(KEY)
        known = found.known if isinstance(found, Asking) else None
        if path not in _QUIET or status >= _FAILED:
            _LOG.info(
                "request",
                method=method,
                path=path,
                status=status,
                ms=round(took * 1000, 1),
                actor=str(known.who) if known is not None else None,
                address=found.address if isinstance(found, Asking) else (scope.get("client") or ("",))[0],
            )
        place = find(scope["path"])
        route = place.template if place is not None else "none"
        attributes = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        self._traces.span(f"{method} {route}", began, began + took, attributes, failed=status >= _FAILED or not status)
