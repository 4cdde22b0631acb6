"""The service from its first moment to its last: HTTP in front, rounds behind, signals between.

Rule of this file: it ends in order. A signal lets nothing more begin, lets what is under way stop between two steps, and waits
for it a bounded time; what goes on after that, goes on by itself and is found in the ledger at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from lbsync.errors import LbsyncError, LedgerError
from lbsync.ledger import RunLock
from lbsync.service.certificate import OwnCertificate
from lbsync.service.hub import ServiceHub
from lbsync.service.supervisor import Supervisor

_LOG = logging.getLogger("lbsync.service")
_TICKS_PER_S = 10
"""As uvicorn counts: at each tenth it sets the time that its answers carry."""
_RENEW_S = 10.0
"""Between two looks at the files of the service's own certificate."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Server(uvicorn.Server):
    """uvicorn's own, whose signals are somebody else's business, and which says when it answers.

    It wakes once a second, for the clock in its answers, where uvicorn's wakes ten times: most of what a service costs at rest.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()
        self._leaving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self.answers.set()

    async def main_loop(self) -> None:
        """Until it leaves."""
        tick = 0
        while not await self.on_tick(tick):
            tick += _TICKS_PER_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), 1.0)

    def leave(self) -> None:
        """Answer what is asked, and end."""
        self.should_exit = True
        self._leaving.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextmanager
def alone(folder: Path) -> Generator[None]:
    """Inside, this is the only service of that folder. Raises LbsyncError where another one runs."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = RunLock(folder / "service", "serve")
    try:
        lock.__enter__()
    except LedgerError as error:
        if error.code != "run-locked":
            raise
        raise LbsyncError(
            "a service runs with this state folder already",
            where=str(folder),
            state="nothing was started",
            remedy="stop it first, or name another folder with --state",
            code="already-running",
        ) from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


async def serve(
    hub: ServiceHub,
    config: uvicorn.Config,
    listening: socket.socket,
    supervisor: Supervisor,
    ready: Callable[[], None],
    *,
    own: OwnCertificate | None = None,
) -> None:
    """Until a signal comes, or the HTTP server ends; ``ready`` is called once it answers, ``own`` renewed where it changes."""
    stop = asyncio.Event()
    server = _Server(config)
    with _signals(stop):
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        hub.start()
        watching = asyncio.create_task(_tell(hub, server, supervisor, ready, stop))
        renewing = asyncio.create_task(_renew(own))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        supervisor.tell("STOPPING=1", "STATUS=waiting for what is under way to stop between two steps")
        stopping.cancel()
        server.leave()
        for job in await hub.close():
            _LOG.warning("%s: %s goes on by itself; lbsync runs shows it", job.namespace, job.kind)
        renewing.cancel()
        watching.cancel()  # not before: whoever waits for a step to end is alive
        await serving


async def _tell(
    hub: ServiceHub, server: _Server, supervisor: Supervisor, ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """The service manager, and whoever waits at the terminal."""
    await server.answers.wait()
    supervisor.tell("READY=1")
    ready()
    while supervisor.every_s is not None:
        if hub.alive():
            supervisor.tell("WATCHDOG=1", *(() if stop.is_set() else (f"STATUS={hub.ready()[1]}",)))
        await asyncio.sleep(supervisor.every_s)


async def _renew(own: OwnCertificate | None) -> None:
    """Show a renewed certificate soon after it was put in the place of the old one."""
    while own is not None:
        await asyncio.to_thread(own.look)
        await asyncio.sleep(_RENEW_S)


@contextmanager
def _signals(stop: asyncio.Event) -> Generator[None]:
    """Inside, the first signal ends the service in order; another one changes nothing."""
    loop = asyncio.get_running_loop()

    def asked() -> None:
        _LOG.info("stopping" if not stop.is_set() else "stopping already: what is under way ends its step first")
        stop.set()

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, asked)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(asked))
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)
