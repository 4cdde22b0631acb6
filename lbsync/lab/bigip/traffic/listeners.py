"""Listening sockets, and what happens to a connection that comes in by one.

Rule of this room: a listener belongs to an address and a port, not to a virtual server; each connection meets the one that is
there when it is accepted.
"""

from __future__ import annotations

import asyncio
import socket

from lbsync.lab.bigip.traffic.http import HttpClient, carry_bytes
from lbsync.lab.bigip.traffic.servers import Servers
from lbsync.lab.bigip.traffic.tls import Tunnel
from lbsync.lab.bigip.traffic.virtuals import Virtual
from lbsync.lab.bigip.traffic.wire import Wire

_BACKLOG = 1024
_AT_ONCE = 64
_TOO_MANY_FILES_S = 0.05


def bind(address: str, port: int) -> socket.socket:
    """Listen. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.create_server((address, port), family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening


class Counts:
    """Connections of clients to one virtual server, now and since the start."""

    def __init__(self) -> None:
        self.current = 0
        self.total = 0


class Clients:
    """Every connection of a client, whichever listener it came in by."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._tasks: set[asyncio.Task[None]] = set()
        self._wires: set[Wire] = set()
        self.counts: dict[str, Counts] = {}

    def take(self, connection: socket.socket, peer: str, virtual: Virtual) -> None:
        """Carry one that was just accepted."""
        task = asyncio.ensure_future(self._serve(connection, peer, virtual))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket, peer: str, virtual: Virtual) -> None:
        wire = Wire(virtual.client_idle_s)
        counts = self.counts.setdefault(virtual.path, Counts())
        counts.current += 1
        counts.total += 1
        self._wires.add(wire)
        try:
            await _accept(connection, wire, virtual)
            if virtual.fault:
                wire.reset()
            else:
                await _carry(virtual, self._servers, wire, peer)
        except (OSError, asyncio.CancelledError):
            wire.reset()
        except Exception as mishap:  # noqa: BLE001  a mistake of ours must cut this connection only, and be told
            asyncio.get_running_loop().call_exception_handler({"message": virtual.path, "exception": mishap})
            wire.reset()
        finally:
            counts.current -= 1
            if wire.lost or not wire.connected:
                self._wires.discard(wire)
            else:
                wire.when_lost(lambda: self._wires.discard(wire))

    def reset(self) -> None:
        """Reset every one."""
        for wire in list(self._wires):
            wire.reset()

    async def stop(self) -> None:
        """End every one, and what serves it."""
        self.reset()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.reset()


async def _accept(connection: socket.socket, wire: Wire, virtual: Virtual) -> None:
    loop = asyncio.get_running_loop()
    secure = virtual.client_ssl
    try:
        if secure is None:
            await loop.connect_accepted_socket(lambda: wire, connection)
        else:
            await loop.connect_accepted_socket(
                lambda: wire,
                connection,
                ssl=secure.context(),
                ssl_handshake_timeout=secure.handshake_s,
                ssl_shutdown_timeout=2.0,
            )
    except BaseException:
        connection.close()
        raise


async def _carry(virtual: Virtual, servers: Servers, wire: Wire, peer: str) -> None:
    if virtual.http is None:
        await carry_bytes(virtual, servers, wire, peer)
        return
    sni = wire.tls.asked if isinstance(wire.tls, Tunnel) else ""
    await HttpClient(virtual, virtual.http, servers, wire, peer=peer, sni=sni).run()


class Listener:
    """One address and port; ``virtual`` is who answers there from now on."""

    def __init__(self, listening: socket.socket, virtual: Virtual, clients: Clients) -> None:
        """It takes over the socket. Make it on the loop that serves it."""
        self.virtual = virtual
        self._socket = listening
        self._clients = clients
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    def _listen(self) -> None:
        # A callback, no task: one that is cancelled between an accept and its result would lose the connection.
        self._pause = None
        self._loop.add_reader(self._socket, self._ready)

    def _ready(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, name = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no file left: the rest waits in the kernel
                self._loop.remove_reader(self._socket)
                self._pause = self._loop.call_later(_TOO_MANY_FILES_S, self._listen)
                return
            connection.setblocking(False)
            self._clients.take(connection, str(name[0]), self.virtual)

    def close(self) -> None:
        """Listen no more; connections that came in by it go on."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
