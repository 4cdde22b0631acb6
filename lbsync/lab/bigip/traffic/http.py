"""One client connection to a virtual server with an http profile: request after request, each to where it belongs.

Rule of this room: without one-connect the connection chosen for the first request carries all later ones, whatever a policy
says about them; resets and redirects are for each request alone. Nothing is kept: bodies pass as they come, both ways at once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from lbsync.lab.bigip.traffic.edits import answer, redirected, to_client, to_server
from lbsync.lab.bigip.traffic.messages import BadMessage, Body, Request, Response, read_request, read_response
from lbsync.lab.bigip.traffic.policy import Verdict
from lbsync.lab.bigip.traffic.servers import Server, Servers, Unavailable
from lbsync.lab.bigip.traffic.virtuals import Http, Virtual
from lbsync.lab.bigip.traffic.wire import Wire, relay

_SWITCHING = 101
_FIRST_FINAL = 200


class HttpClient:
    """One client: ``peer`` is its address, ``sni`` the name its TLS hello asked for."""

    def __init__(self, virtual: Virtual, http: Http, servers: Servers, wire: Wire, *, peer: str, sni: str) -> None:
        """``http`` is the virtual server's http profile."""
        self._virtual = virtual
        self._http = http
        self._servers = servers
        self._wire = wire
        self._peer = peer
        self._sni = sni
        self._server: Server | None = None
        self._pool = ""
        # An action that turns server-ssl off or on holds for the client's connection, not for its request alone.
        self._server_ssl = True
        self._bound = False
        # A server need not work for somebody who has gone.
        wire.when_lost(self._gone)

    async def run(self) -> None:
        """Serve it to its end; a mistake of either side, or of the configuration, ends it with a reset."""
        try:
            while await self._one():
                pass
            self._wire.close()
        except (OSError, BadMessage, Unavailable):
            self._wire.reset()
        finally:
            self._leave()

    def _gone(self) -> None:
        if self._server is not None:
            self._server.wire.reset()

    def _leave(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self._servers.release(server)

    async def _one(self) -> bool:
        """One request; false when it was the last."""
        request = await read_request(self._wire, self._http.limits)
        if request is None:
            return False
        body = request.body(self._wire)
        # What was asked, before anybody edits a header.
        host, keep = request.host, request.keep
        verdict = self._virtual.judge(request, self._sni)
        if verdict.server_ssl is not None:
            self._server_ssl = verdict.server_ssl
        if verdict.reset:
            self._wire.reset()
            return False
        if verdict.redirect is not None:
            keep = keep and body.done
            self._wire.write(redirected(verdict.redirect, self._http.agent, keep=keep))
            await self._wire.drain()
            return keep
        server = await self._choose(verdict)
        to_server(request, self._virtual, self._http, self._peer)
        return await self._exchange(server, request, body, host) and keep

    async def _choose(self, verdict: Verdict) -> Server:
        """The server's connection that carries this request."""
        server = self._server
        if server is not None:
            rides = self._virtual.one_connect is None or self._bound or self._same(server, verdict)
            if server.wire.unpark() and rides:
                return server
            self._leave()
        self._server = await self._servers.get(
            self._virtual, verdict.pool, self._wire, self._peer, tls=self._server_ssl
        )
        self._pool = verdict.pool
        if self._wire.lost:
            raise ConnectionResetError
        return self._server

    def _same(self, server: Server, verdict: Verdict) -> bool:
        secure = self._virtual.server_ssl if self._server_ssl else None
        return self._pool == verdict.pool and server.secure is secure

    async def _exchange(self, server: Server, request: Request, body: Body, host: str) -> bool:
        server.wire.write(request.wire() + body.ready())
        upload: asyncio.Future[None] | None = None
        if not body.done:
            upload = asyncio.ensure_future(self._upload(body, server.wire))
        try:
            response = await self._answer_head(server, request, host)
            if response is None:  # the connection speaks something else now
                return False
            content = response.body(server.wire, request.method)
            stays = response.keep and not content.until_close
            framed = not content.until_close
            lasting = to_client(response, self._virtual, self._http, stays=stays, framed=framed)
            await self._download(response, content)
            if upload is not None and stays and lasting:
                await upload
            done = body.done
        finally:
            if upload is not None:
                upload.cancel()
                await asyncio.gather(upload, return_exceptions=True)
        if not stays or not done:
            self._leave()
            return lasting and done
        self._settle(server, request, response.status)
        return lasting

    async def _answer_head(self, server: Server, request: Request, host: str) -> Response | None:
        """The final answer's head; ``None`` after a switch of protocols, which is carried to its end."""
        while True:
            response = await read_response(server.wire, self._http.limits)
            if response.status >= _FIRST_FINAL:
                answer(response, self._virtual, self._http, request, host)
                return response
            self._wire.write(response.wire())
            if response.status == _SWITCHING:
                await relay(self._wire, server.wire)
                self._leave()
                return None
            await self._wire.drain()

    async def _download(self, response: Response, content: Body) -> None:
        self._wire.write(response.wire() + content.ready())
        await self._wire.drain()
        while piece := await content.next():
            self._wire.write(piece)
            await self._wire.drain()

    async def _upload(self, body: Body, sink: Wire) -> None:
        try:
            while piece := await body.next():
                try:
                    sink.write(piece)
                    await sink.drain()
                except OSError:
                    return  # its answer, or its end, is seen by whoever reads from it
        except (BadMessage, OSError):
            self._wire.reset()

    def _settle(self, server: Server, request: Request, status: int) -> None:
        """After a whole exchange: the connection waits for this client, or for anybody."""
        one_connect = self._virtual.one_connect
        if self._virtual.ntlm and _negotiates(request):
            self._bound = True
        if one_connect is None or self._bound or status not in self._http.reuse:
            server.wire.park()
            return
        self._server = None
        self._servers.keep(self._virtual, server, self._peer)


def _negotiates(request: Request) -> bool:
    scheme = (request.get("authorization") or "").partition(" ")[0].lower()
    return scheme in {"ntlm", "negotiate"}


async def carry_bytes(virtual: Virtual, servers: Servers, wire: Wire, peer: str) -> None:
    """One client connection to a virtual server without an http profile."""
    server: Server | None = None
    try:
        server = await servers.get(virtual, virtual.pool, wire, peer, tls=True)
        wire.when_lost(server.wire.reset)
        await relay(wire, server.wire)
        wire.close()
    except (OSError, Unavailable):
        wire.reset()
    finally:
        if server is not None:
            with suppress(OSError):
                servers.release(server)
