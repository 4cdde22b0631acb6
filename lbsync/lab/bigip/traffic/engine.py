"""The data plane as the control plane sees it: a configuration goes in, states come out, from any thread.

Rule of this room: everything happens on one loop in one thread; a configuration is taken whole, or not at all.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from errno import EADDRINUSE
from pathlib import Path
from socket import socket

from lbsync.lab.bigip.plane import Config, MemberState
from lbsync.lab.bigip.traffic.listeners import Clients, Counts, Listener, bind
from lbsync.lab.bigip.traffic.monitors import Monitors
from lbsync.lab.bigip.traffic.objects import Misconfigured
from lbsync.lab.bigip.traffic.pools import Pools
from lbsync.lab.bigip.traffic.servers import Servers
from lbsync.lab.bigip.traffic.tls import Contexts
from lbsync.lab.bigip.traffic.virtuals import Virtual, read_virtuals
from lbsync.lab.loops import LoopThread

_Place = tuple[str, int]


class Traffic:
    """Carries traffic by a configuration (``lbsync.lab.bigip.plane.DataPlane``). ``faults``: what in it cannot be carried out."""

    def __init__(self, directory: Path, *, seed: int = 1) -> None:
        """``directory`` takes an encrypted key for the moment in which it is read; ``seed`` spreads the first health checks."""
        self._seed = seed
        self._loop = LoopThread("bigip-traffic")
        self._directory = directory
        self._contexts = Contexts(directory)
        self._applying = threading.Lock()
        self._plane: _Plane | None = None
        self.faults: tuple[str, ...] = ()

    @property
    def mishaps(self) -> tuple[str, ...]:
        """What went wrong where no peer was to blame; the last hundred."""
        return tuple(self._loop.mishaps)

    def start(self) -> None:
        """Begin, with an empty configuration."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._loop.start()
        self._plane = self._loop.run(_begin(self._seed))

    def apply(self, config: Config) -> None:
        """Run this from now on; returns once new connections meet it. Raises OSError when an address cannot be listened on."""
        if self._plane is None:
            raise RuntimeError("the data plane does not run")
        with self._applying:
            self._contexts.begin()
            try:
                virtuals = list(read_virtuals(config, self._contexts))
            except Misconfigured as problem:
                raise OSError(str(problem)) from problem
            faults = self._loop.run(self._plane.apply(config, virtuals))
            self._contexts.end()
            self.faults = (*faults, *(each.fault for each in virtuals if each.fault))

    def members(self) -> Mapping[tuple[str, str], MemberState]:
        """States by full path of the pool and full path of the member."""
        plane = self._plane
        return self._loop.run(plane.members()) if plane is not None else {}

    def virtual_connections(self, virtual: str) -> tuple[int, int]:
        """Connections of clients to a virtual server now, and since the start."""
        plane = self._plane
        return self._loop.run(plane.connections(virtual)) if plane is not None else (0, 0)

    def cut(self, address: str, port: int) -> int:
        """Reset every connection to this server address and port, both sides of it; how many there were."""
        plane = self._plane
        return self._loop.run(plane.cut(address, port)) if plane is not None else 0

    def cut_all(self) -> None:
        """Reset every connection, and listen on nothing until ``apply`` is called; monitors go on."""
        if self._plane is not None:
            self._loop.run(self._plane.cut_all())

    def stop(self) -> None:
        """End everything; twice is once."""
        plane, self._plane = self._plane, None
        if plane is not None:
            self._loop.run(plane.stop())
            self._loop.stop()


async def _begin(seed: int) -> _Plane:
    return _Plane(seed)


class _Plane:
    """What lives on the loop."""

    def __init__(self, seed: int) -> None:
        self._pools = Pools()
        self._monitors = Monitors(seed)
        self._servers = Servers(self._pools, self._monitors.health)
        self._clients = Clients(self._servers)
        self._listeners: dict[_Place, Listener] = {}

    async def apply(self, config: Config, virtuals: list[Virtual]) -> list[str]:
        """Raises OSError, and then has changed nothing. Returns what of the pools cannot be carried out."""
        wanted: dict[_Place, Virtual] = {}
        for virtual in virtuals:
            place = (virtual.address, virtual.port)
            if virtual.enabled and place in wanted:
                raise OSError(EADDRINUSE, f"{virtual.path} and {wanted[place].path} listen on the same address")
            if virtual.enabled:
                wanted[place] = virtual
        fresh = _bind_all([place for place in wanted if place not in self._listeners])
        faults = self._pools.apply(config)
        self._monitors.apply(config, self._pools.members())
        for place in [place for place in self._listeners if place not in wanted]:
            self._listeners.pop(place).close()
        for place, virtual in wanted.items():
            if place in fresh:
                self._listeners[place] = Listener(fresh[place], virtual, self._clients)
            else:
                self._listeners[place].virtual = virtual
        counts = self._clients.counts
        self._clients.counts = {each.path: counts.get(each.path, Counts()) for each in virtuals}
        return faults

    async def members(self) -> dict[tuple[str, str], MemberState]:
        return self._pools.states(self._monitors.health)

    async def connections(self, virtual: str) -> tuple[int, int]:
        counts = self._clients.counts.get(virtual, Counts())
        return counts.current, counts.total

    async def cut(self, address: str, port: int) -> int:
        return self._servers.cut(address, port)

    async def cut_all(self) -> None:
        for place in list(self._listeners):
            self._listeners.pop(place).close()
        self._servers.cut_all()
        self._clients.reset()

    async def stop(self) -> None:
        self._monitors.stop()
        await self.cut_all()
        await self._clients.stop()
        # Aborted transports tell of their end on the loop's next turns.
        await asyncio.sleep(0)


def _bind_all(places: list[_Place]) -> dict[_Place, socket]:
    """Listen on all of them, or on none. Raises OSError, with the address that failed."""
    bound: dict[_Place, socket] = {}
    for place in places:
        try:
            bound[place] = bind(*place)
        except OSError as problem:
            for each in bound.values():
                each.close()
            raise OSError(problem.errno, f"cannot listen on {place[0]}:{place[1]}: {problem.strerror}") from problem
    return bound
