"""The HTTPS front of a device: reads requests, lets chance spoil some, writes answers.

Rule of this room: what a request means is ``rest``'s, what of it is remembered ``log``'s.
"""

from __future__ import annotations

import asyncio
import json

from lbsync.lab.bigip.errors import REST, Refusal
from lbsync.lab.bigip.faults import Fault, Faults
from lbsync.lab.bigip.log import Seen, loggable
from lbsync.lab.bigip.names import Json
from lbsync.lab.bigip.rest import LOGIN, Call, Rest
from lbsync.lab.httpd import HttpServer
from lbsync.lab.messages import BadRequest, Request, Response
from lbsync.lab.tls import ServerTls

_BODY_LIMIT = 4 * 1024 * 1024
_JSON = "application/json; charset=UTF-8"
_RESTARTING = (
    b"<!DOCTYPE html>\n<html><head><title>Configuration Utility restarting...</title></head>"
    b"<body><p>Configuration Utility restarting...</p></body></html>\n"
)
_GATEWAY = (
    b'<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n<title>504 Gateway Timeout</title>\n</head><body>\n'
    b"<h1>Gateway Timeout</h1>\n</body></html>\n"
)


class Front:
    """Listens for one device."""

    def __init__(self, rest: Rest, faults: Faults, tls: ServerTls) -> None:
        self._rest = rest
        self.faults = faults
        self.http = HttpServer(self._handle, server_header="Jetty(9.2.22.v20170606)", tls=tls)
        self.log: list[Seen] = []
        self.busy = 0
        self.restarting = 0

    async def _handle(self, request: Request) -> Response | None:
        try:
            body = await request.body.read(_BODY_LIMIT)
        except BadRequest:
            return _answer(413, Refusal(413, "Request body is too large", REST).body(), close=True)
        path, _, query = request.target.partition("?")
        path = path.removeprefix("/mgmt").strip("/")
        call = Call(request.method, path, query, request.headers, body)
        seen = Seen(
            request.method,
            f"/mgmt/{path}",
            query,
            request.connection.number,
            request.headers.get("content-type", ""),
            request.headers.get("x-f5-rest-coordination-id", ""),
            loggable(call),
        )
        self.log.append(seen)
        if not request.target.startswith("/mgmt/"):
            seen.status = 404
            return Response(404, b"", content_type="text/html")
        answer = await self._spoiled(call, seen)
        if answer is not None:
            seen.status = answer.status
        return answer

    async def _spoiled(self, call: Call, seen: Seen) -> Response | None:
        """The answer, unless something goes wrong on the way to it."""
        if self.restarting > 0:
            self.restarting -= 1
            return Response(503, _RESTARTING, content_type="text/html")
        login = call.path == LOGIN
        if not login and self.busy > 0:
            self.busy -= 1
            return _busy()
        fault = seen.fault = None if login else self.faults.met_by(seen)
        match fault:
            case Fault.DROP_BEFORE:
                return None
            case Fault.BUSY | Fault.GATEWAY:
                return _busy() if fault is Fault.BUSY else Response(504, _GATEWAY, content_type="text/html")
            case Fault.SLOW:
                await asyncio.sleep(self.faults.pause_s())
            case _:
                pass
        answer = await asyncio.to_thread(self._answered, call)
        if fault is Fault.ERROR_AFTER:
            return _answer(503, Refusal(503, "AsyncContext timeout", 1).body())  # Assumption ``late-errors``.
        return None if fault is Fault.DROP_AFTER else answer

    def _answered(self, call: Call) -> Response:
        try:
            return _answer(*self._rest.answer(call))
        except Refusal as refusal:
            return _answer(refusal.status, refusal.body())


def _busy() -> Response:
    return _answer(503, Refusal(503, "There is an active asynchronous task executing.", 32964609).body())


def _answer(status: int, body: Json, *, close: bool = False) -> Response:
    # What has nothing to say (a DELETE) is answered 200 with an empty body.
    text = json.dumps(body).encode() if body else b""
    return Response(status, text, content_type=_JSON, close=close)
