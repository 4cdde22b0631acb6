"""Connections to servers: who is chosen, how one is opened, kept for others, and cut.

Rule of this room: a connection is counted with its member from the first SYN to its very end, idle ones too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable

from lbsync.lab.bigip.traffic.pools import Member, Pools
from lbsync.lab.bigip.traffic.tls import ServerSsl
from lbsync.lab.bigip.traffic.virtuals import OneConnect, Virtual
from lbsync.lab.bigip.traffic.wire import Wire

_CONNECT_S = 10.0
_Key = tuple[str, str, str, int, ServerSsl | None, str]


class Unavailable(Exception):
    """No server can be given this."""


class Server:
    """One connection to a server; ``client`` is whom it is used for now, ``None`` while it waits for the next."""

    def __init__(self, member: Member, secure: ServerSsl | None, wire: Wire) -> None:
        """It is counted with ``member`` from now on."""
        self.member = member
        self.secure = secure
        self.wire = wire
        self.client: Wire | None = None
        self.uses = 0
        self.since = time.monotonic()
        self.cut = False
        self.kept_as: _Key | None = None
        member.current += 1
        member.total += 1


class Servers:
    """Every connection to a server, and how to come by one. Use it on the loop that carries them."""

    def __init__(self, pools: Pools, health: Callable[[Member], str]) -> None:
        self._pools = pools
        self._health = health
        self._open: set[Server] = set()
        self._idle: dict[_Key, list[Server]] = {}

    async def get(self, virtual: Virtual, pool_path: str, client: Wire, peer: str, *, tls: bool) -> Server:
        """A connection to a member of a pool. Raises Unavailable, and OSError where the server does not answer or verify."""
        pool = self._pools.get(pool_path)
        secure = virtual.server_ssl if tls else None
        tried: set[Member] = set()
        while True:
            member = pool.choose(self._health, but=frozenset(tried)) if pool is not None else None
            if pool is None or member is None:
                raise Unavailable(f"{virtual.path}: no member of {pool_path or 'no pool'} is available")
            if virtual.one_connect is not None:
                kept = self._take(virtual, virtual.one_connect, _key(virtual, member, secure, peer))
                if kept is not None:
                    kept.client = client
                    return kept
            try:
                return await self._connect(member, secure, client, virtual.server_idle_s)
            except OSError:
                tried.add(member)
                if len(tried) > pool.tries:
                    raise

    async def _connect(self, member: Member, secure: ServerSsl | None, client: Wire, idle_s: float) -> Server:
        wire = Wire(idle_s)
        server = Server(member, secure, wire)
        server.client = client
        self._open.add(server)
        try:
            await asyncio.wait_for(_dial(wire, member, secure), _CONNECT_S)
            _admit(server)
        except BaseException:
            wire.reset()
            self._forget(server)
            raise
        wire.when_lost(lambda: self._forget(server))
        return server

    def _forget(self, server: Server) -> None:
        if server in self._open:
            self._open.discard(server)
            server.member.current -= 1
        if server.kept_as is not None:
            self._drop(server.kept_as, server)

    def release(self, server: Server) -> None:
        """Nobody needs it any more."""
        server.client = None
        server.wire.close()

    def keep(self, virtual: Virtual, server: Server, peer: str) -> None:
        """Let the next client have it, as one-connect does."""
        server.client = None
        one_connect = virtual.one_connect
        server.uses += 1
        server.wire.park(None if one_connect is None else one_connect.idle_s)
        if one_connect is None or server.wire.eof or server.uses >= one_connect.max_reuse:
            server.wire.close()
            return
        key = _key(virtual, server.member, server.secure, peer)
        waiting = self._idle.setdefault(key, [])
        if len(waiting) >= one_connect.most or time.monotonic() - server.since > one_connect.max_age_s:
            server.wire.close()
            return
        waiting.append(server)
        server.kept_as = key

    def _take(self, virtual: Virtual, one_connect: OneConnect, key: _Key) -> Server | None:
        waiting = self._idle.get(key, [])
        while waiting:
            server = waiting.pop()
            server.kept_as = None
            if server.wire.unpark(virtual.server_idle_s) and time.monotonic() - server.since <= one_connect.max_age_s:
                return server
            server.wire.close()
        return None

    def _drop(self, key: _Key, server: Server) -> None:
        waiting = self._idle.get(key, [])
        if server in waiting:
            waiting.remove(server)
        if not waiting:
            self._idle.pop(key, None)

    def cut(self, address: str, port: int) -> int:
        """Reset both sides of every connection to this address and port; how many."""
        wanted = (_canonical(address), port)
        found = [each for each in self._open if (_canonical(each.member.address), each.member.port) == wanted]
        for server in found:
            _cut(server)
        return len(found)

    def cut_all(self) -> None:
        """Reset both sides of every connection."""
        for server in list(self._open):
            _cut(server)


def _admit(server: Server) -> None:
    """Raises OSError when a connection just made is not to be used."""
    if server.cut:
        raise ConnectionResetError
    if server.secure is not None and server.wire.tls is not None:
        server.secure.verify(server.wire.tls)


def _canonical(address: str) -> str:
    """One spelling of an address; a name stays as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _cut(server: Server) -> None:
    server.cut = True
    if server.client is not None:
        server.client.reset()
    server.wire.reset()


async def _dial(wire: Wire, member: Member, secure: ServerSsl | None) -> None:
    loop = asyncio.get_running_loop()
    if secure is None:
        await loop.create_connection(lambda: wire, member.address, member.port)
        return
    await loop.create_connection(
        lambda: wire,
        member.address,
        member.port,
        ssl=secure.context,
        server_hostname=secure.sni,
        ssl_handshake_timeout=secure.handshake_s,
        ssl_shutdown_timeout=2.0,
    )


def _key(virtual: Virtual, member: Member, secure: ServerSsl | None, peer: str) -> _Key:
    mask = virtual.one_connect.mask if virtual.one_connect is not None else "any"
    return virtual.path, member.pool, member.address, member.port, secure, _shared(peer, mask)


def _shared(peer: str, mask: str) -> str:
    """What clients that share connections have in common."""
    if mask == "any":
        return ""
    address, bits = ipaddress.ip_address(peer), ipaddress.ip_address(mask)
    if address.version != bits.version:
        return peer if int(bits) else ""
    return str(int(address) & int(bits))
