"""HTTP/1.1 on asyncio streams: what the front ends and the WinRM listeners of the lab stand on.

Rule of this room: an answer leaves in one write (one TCP segment where it fits: a delayed ACK would otherwise cost 40 ms).
It knows connections, TLS and framing, nothing of IIS.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from weakref import WeakSet

from lbsync.lab.messages import BadRequest, Body, Connection, Request, Response
from lbsync.lab.tls import ServerTls

HEAD_LIMIT = 64 * 1024
DRAIN_LIMIT = 16 * 1024 * 1024
"""Bytes of a body nobody read that are thrown away to keep a connection usable; beyond it the connection is closed."""

_CONNECTIONS = itertools.count(1)


Handler = Callable[[Request], Awaitable[Response | None]]
"""Answers a request; ``None`` drops the connection without a word."""


class HttpServer:
    """One listening socket. Start and stop it on the loop that serves it."""

    def __init__(self, handler: Handler, *, server_header: str, tls: ServerTls | None = None) -> None:
        """``tls`` makes it HTTPS."""
        self._handler = handler
        self._banner = server_header
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._parting: WeakSet[asyncio.WriteTransport] = WeakSet()
        """Over TLS the other side is given half a minute to say goodbye; it may be gone, or we may."""
        self.accepted = 0

    async def start(self, address: str, port: int = 0) -> int:
        """Listen; returns the port (``0`` lets the kernel choose)."""
        self._server = await asyncio.start_server(
            self._connected,
            address,
            port,
            ssl=self._tls.context if self._tls else None,
            ssl_handshake_timeout=10.0 if self._tls else None,
            backlog=512,
            limit=HEAD_LIMIT,
        )
        name: tuple[str, int] = self._server.sockets[0].getsockname()
        return name[1]

    async def stop(self) -> None:
        """Close the listener and cut every connection."""
        if self._server is not None:
            self._server.close()
        for transport in [*(writer.transport for writer in self._writers), *self._parting]:
            transport.abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 2.0)

    @property
    def open_connections(self) -> int:
        """Connections now open."""
        return len(self._tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  a stream callback always runs in a task
        self._tasks.add(task)
        self._writers.add(writer)
        self.accepted += 1
        tunnel: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        identity = self._tls.identity_of(tunnel) if self._tls is not None and tunnel is not None else None
        connection = Connection(next(_CONNECTIONS), reader, writer, identity)
        try:
            await self._serve(connection)
        except (OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError, BadRequest):
            writer.transport.abort()
        except Exception as mishap:  # noqa: BLE001  a mistake of ours must cut this connection only, and be told
            asyncio.get_running_loop().call_exception_handler({"message": "handler", "exception": mishap})
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            if not writer.transport.is_closing():
                self._parting.add(writer.transport)
                writer.close()

    async def _serve(self, connection: Connection) -> None:
        while True:
            request = await self._read_head(connection)
            if request is None:
                return
            answer = await self._handler(request)
            if answer is None:
                connection.writer.transport.abort()
                return
            keep = not answer.close and request.headers.get("connection", "").lower() != "close"
            keep = keep and (request.body.done or (request.body.left or 0) <= DRAIN_LIMIT)
            await self._send(connection, request, answer, keep=keep)
            if not await self._finish_body(request):
                return
            if not keep:
                return

    async def _finish_body(self, request: Request) -> bool:
        """Swallow what the handler left unread, so that the client sees the answer and not a reset."""
        if request.body.done:
            return True
        if "expect" in request.headers:
            return False
        try:
            return await asyncio.wait_for(request.body.drain(DRAIN_LIMIT), 30.0)
        except TimeoutError:
            return False

    async def _read_head(self, connection: Connection) -> Request | None:
        try:
            raw = await connection.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        lines = raw.lstrip(b"\r\n").decode("latin-1").split("\r\n")
        try:
            method, target, _version = lines[0].split(" ")
        except ValueError as problem:
            raise BadRequest from problem
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                continue
            key = name.strip().lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
        return Request(method, target, headers, self._body(connection, headers), connection)

    def _body(self, connection: Connection, headers: dict[str, str]) -> Body:
        length: int | None = None
        if "chunked" not in headers.get("transfer-encoding", "").lower():
            try:
                length = int(headers.get("content-length", "0"))
            except ValueError as problem:
                raise BadRequest from problem
        return Body(connection.reader, length, _invitation(connection, headers))

    async def _send(self, connection: Connection, request: Request, answer: Response, *, keep: bool) -> None:
        writer = connection.writer
        head = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}", f"Server: {self._banner}"]
        if answer.content_type:
            head.append(f"Content-Type: {answer.content_type}")
        head += [f"{name}: {value}" for name, value in answer.headers]
        if answer.stream is None or answer.length is not None:
            head.append(f"Content-Length: {len(answer.body) if answer.stream is None else answer.length}")
        else:
            head.append("Transfer-Encoding: chunked")
        if not keep:
            head.append("Connection: close")
        top = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")
        if answer.stream is None or request.method == "HEAD":
            writer.write(top if request.method == "HEAD" else top + answer.body)
            await writer.drain()
            return
        writer.write(top)
        async for piece in answer.stream:
            writer.write(piece if answer.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        if answer.length is None:
            writer.write(b"0\r\n\r\n")
            await writer.drain()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _invitation(connection: Connection, headers: dict[str, str]) -> Callable[[], None] | None:
    """What sends ``100 Continue`` to a client that waits for it."""
    if headers.get("expect", "").lower() != "100-continue":
        return None

    def invite() -> None:
        headers.pop("expect", None)
        connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    return invite
