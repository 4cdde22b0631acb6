"""A service that looks after many farms, none of which is there: served.py NAMESPACES.

Its looks never end, so that nothing but the service itself costs anything. It listens, says where, and goes on until stdin ends.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn

from bench.child import say, stopping
from lbsync.config import ServiceSection
from lbsync.model import Mode
from lbsync.service.children import Child, Ended
from lbsync.service.front import Front, front
from lbsync.service.hub import ServiceHub
from lbsync.service.keeping import Store
from lbsync.service.namespaces import Namespace
from lbsync.service.values import (
    CertificateState,
    DriftState,
    Item,
    Lamp,
    Level,
    ListenerState,
    ModeState,
    NamespaceState,
    ServerState,
)
from lbsync.service.web.app import make_app
from lbsync.service.web.wire import server_config
from lbsync.services import Service

LISTENERS = 10
"""Of each namespace."""
_SERVERS = 4
_LAMPS = (Lamp.GREEN, Lamp.GREEN, Lamp.YELLOW, Lamp.GREEN, Lamp.RED)
_LEVELS = (Level.OK, Level.OK, Level.OK, Level.WARNING, Level.CRITICAL)


class _Endless:
    def __init__(self) -> None:
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def wait(self, heard: Callable[[str], None]) -> Ended:
        heard("looking")
        await self._stopped.wait()
        return Ended(130)


async def _start(words: Sequence[str], actor: str, deadline_s: float | None, order: str) -> Child:
    del words, actor, deadline_s, order
    return _Endless()


def farm(index: int, now: datetime) -> NamespaceState:
    """A namespace as a look leaves it: two balancers, a mode for each service, and something to say."""
    name, days = f"site{index:03}", 3 + index % 200
    until, leaf = now + timedelta(days=days), f"{index:040X}"
    level = _LEVELS[index % len(_LEVELS)]
    balancers = ("lb1", "lb2")
    return NamespaceState(
        name=name, farm=f"farm of {name}", level=level,
        items=tuple(
            Item(level=level, subject=host, text=f"the certificate ends in {days} days", days=days) for host in balancers
        ),
        listeners=tuple(
            ListenerState(
                balancer=balancers[number % 2], host=f"mail{number}.{name}.example.com", address=f"192.0.2.{number + 1}:443",
                light=_LAMPS[(index + number) % len(_LAMPS)], text="serves the certificate that is wanted", thumbprint=leaf,
                not_after=until, days=days,
            )
            for number in range(LISTENERS)
        ),
        modes=tuple(
            ModeState(balancer=one, service=service, mode=Mode.OFFLOAD, wanted=Mode.OFFLOAD)
            for one in balancers for service in Service
        ),
        servers=tuple(
            ServerState(name=f"EX{number:02}", build="15.2.1748", thumbprint=leaf, days=days) for number in range(_SERVERS)
        ),
        certificates=(
            CertificateState(
                thumbprint=leaf, subject=f"CN=mail.{name}.example.com", not_after=until, days=days, users=balancers
            ),
        ),
        drift=DriftState(count=index % 2, lines=("lb1: owa is bridged, offload is wanted",) * (index % 2)),
        next_text="the next window", next_at=now + timedelta(hours=9), looked_at=now,
    )  # fmt: skip


def service(folder: Path, namespaces: int) -> tuple[ServiceHub, Front]:
    """A hub that knows so many, and the way in. To be called inside a loop."""
    store, now = Store(folder / "serve"), datetime.now(UTC)
    found: list[Namespace] = []
    for index in range(namespaces):
        state = farm(index, now)
        store.keep_state(state)
        found.append(Namespace(state.name, folder / f"{state.name}.toml", folder / state.name))
    section = ServiceSection(listen="127.0.0.1:0")
    return ServiceHub(found, section, folder / "serve", _start), front(section, folder, folder)


async def viewers(folder: Path, namespaces: int) -> None:
    """On a socket until stdin ends."""
    hub, way_in = service(folder, namespaces)
    hub.start()
    http = uvicorn.Server(server_config(make_app(hub, way_in.access), way_in.access))
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        serving = asyncio.create_task(http.serve(sockets=[listening]))
        say({"port": listening.getsockname()[1], "token": str(folder / "serve.token")})
        await asyncio.to_thread(stopping().wait)
        http.should_exit = True
        await hub.close()
        await serving


def main() -> None:
    """As many namespaces as the argument says."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(viewers(folder, int(sys.argv[1])))


if __name__ == "__main__":
    main()
