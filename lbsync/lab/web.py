"""The front end of one simulated server: what IIS decides before Exchange is asked.

Rule of this room: HTTP.SYS first (is there a binding, does the pool run), then Require SSL (403), then who asks, then the
service. Every request is counted by service, scheme and status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from lbsync.lab import pages, paths, webauth
from lbsync.lab.httpd import HttpServer
from lbsync.lab.messages import Request, Response
from lbsync.lab.paths import Place
from lbsync.lab.state import FarmState, ServerState
from lbsync.lab.tls import ServerTls
from lbsync.services import FRONT_END_SITE, Service

_FORMS = {Service.OWA.value, Service.ECP.value}
_BANNER = "Microsoft-IIS/10.0"


class FrontEnd:
    """Ports 80 and 443 of one server."""

    def __init__(self, farm: FarmState, server: ServerState, tls: ServerTls) -> None:
        """``tls`` holds what 443 serves."""
        self._farm = farm
        self._server = server
        self.tls = tls
        self.http = HttpServer(self._handle, server_header=_BANNER)
        self.https = HttpServer(self._handle, server_header=_BANNER, tls=tls)
        self._running: dict[str, set[asyncio.WriteTransport]] = {}

    async def _handle(self, request: Request) -> Response | None:
        memory = request.connection.memory
        count = memory.get("requests", 0)
        memory["requests"] = (count if isinstance(count, int) else 0) + 1
        if not request.connection.tls and not self._bound_to_http():
            return None
        path = paths.canonical(request.target)
        if path is None:
            return self._count(request, "unknown", Response(400, close=True))
        place = paths.place(path)
        if place.service == Service.MRSPROXY.value and not request.connection.tls:
            self._server.web.mrsproxy_plain_requests += 1
        transport = request.connection.writer.transport
        running = self._running.setdefault(place.pool, set())
        running.add(transport)
        try:
            answer = await self._in_pool(request, path, place)
        except BaseException:
            running.discard(transport)
            raise
        if answer.stream is None:
            running.discard(transport)
        else:
            answer.stream = _until_sent(answer.stream, lambda: running.discard(transport))
        answer.headers.append(("X-FEServer", self._server.name))
        return self._count(request, place.service, answer)

    def _count(self, request: Request, service: str, answer: Response) -> Response:
        self._server.web.requests[service, pages.scheme_of(request), answer.status] += 1
        return answer

    def _bound_to_http(self) -> bool:
        return any(
            b.site == FRONT_END_SITE and b.protocol == "http" and b.information.startswith(("*:80:", ":80:"))
            for b in self._server.iis.bindings
        )

    async def _in_pool(self, request: Request, path: str, place: Place) -> Response:
        pool = self._server.iis.pools[place.pool.lower()]
        if pool.state != "Started" or (pool.gap_until and time.monotonic() < pool.gap_until):
            return Response(
                503, b"<h2>Service Unavailable</h2>", content_type="text/html; charset=us-ascii", close=True
            )
        if pool.cold:
            pool.cold = False
            await asyncio.sleep(self._farm.spec.warm_up_s)
        health = path == f"/{path.split('/')[1]}/healthcheck.htm" and bool(place.component)
        checked = not health or self._farm.spec.health_obeys_ssl
        if checked and not request.connection.tls and self._server.iis.requires_ssl(place.location):
            return Response(403, content_type="text/html")
        if health:
            return pages.healthcheck(self._server, place)
        return await self._serve(request, path, place)

    async def _serve(self, request: Request, path: str, place: Place) -> Response:
        farm, server = self._farm, self._server
        open_to_all = await self._anonymous(request, path, place)
        if open_to_all is not None:
            return open_to_all
        user = webauth.authenticate(farm, server, request, place)
        if isinstance(user, Response):
            return user
        if place.service == Service.MRSPROXY.value:
            return await pages.mrsproxy(farm, server, request, user)
        return await pages.answer(farm, server, request, place, user)

    async def _anonymous(self, request: Request, path: str, place: Place) -> Response | None:
        """What is answered without asking who it is; ``None`` when somebody has to log on."""
        farm, server = self._farm, self._server
        if place.service == "root":
            return pages.redirect(f"{pages.scheme_of(request)}://{request.headers.get('host', server.fqdn)}/owa/")
        if place.service == "unknown":
            return Response(404)
        if place.service == Service.MRSPROXY.value and not request.connection.tls:
            # Its endpoint is bound to https only: WCF finds no base address that matches.
            return Response(500, content_type="text/html")
        if "authorization" in request.headers:
            return None
        if path.endswith(pages.ECHO):
            wait_s = farm.spec.ping_s if "cmd" in pages.query_of(request) else 0.0
            return await pages.echo(server, request, place, webauth.known(request), wait_s)
        return await pages.forms(farm, server, request, place, path) if place.service in _FORMS else None

    def running(self, pool: str) -> int:
        """Requests that a pool is working on."""
        return len(self._running.get(pool, ()))

    def cut(self, pool: str) -> None:
        """Kill what a recycled pool was still working on; on the loop that serves."""
        for transport in list(self._running.get(pool, ())):
            self._server.web.cut += 1
            transport.abort()


async def _until_sent(stream: AsyncIterator[bytes], done: Callable[[], None]) -> AsyncIterator[bytes]:
    """A stream whose request counts as running until its last byte is out."""
    try:
        async for piece in stream:
            yield piece
    finally:
        done()
