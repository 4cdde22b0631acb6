"""The service from its first moment to its last, as its manager hears of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import Any, cast

import uvicorn

from lbsync.service.certificate import OwnCertificate
from lbsync.service.hub import ServiceHub
from lbsync.service.run import serve
from lbsync.service.supervisor import Supervisor
from tests.service.rig import play


class Heard(Supervisor):
    """What the manager hears."""

    def __init__(self) -> None:
        super().__init__({})
        self.every_s = 0.001
        self.words: list[str] = []
        self.alive_while_stopping = asyncio.Event()

    def tell(self, *words: str) -> None:
        """Noted."""
        self.words += words
        if "WATCHDOG=1" in self.words[self.words.index("STOPPING=1") :] if "STOPPING=1" in self.words else False:
            self.alive_while_stopping.set()


class Slow:
    """A hub that ends when the manager has heard that it is alive still."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def start(self) -> None:
        """Nothing."""

    def alive(self) -> bool:
        """It is."""
        return True

    def ready(self) -> tuple[bool, str]:
        """It is."""
        return True, "well"

    async def close(self) -> tuple[()]:
        """A step takes its time."""
        await self._heard.alive_while_stopping.wait()
        return ()


async def _app(_scope: Any, _receive: Any, _send: Any) -> None:
    """Answers nothing."""


class Renewed(OwnCertificate):
    """One whose files are looked at, which it says."""

    def __init__(self) -> None:
        self.looked = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def look(self) -> bool:
        """As ``OwnCertificate``'s, from a thread."""
        self._loop.call_soon_threadsafe(self.looked.set)
        return False


def test_who_waits_for_a_step_to_end_is_alive() -> None:
    """Else the manager takes the wait for a stand-still, and kills the step that is waited for; its certificate is renewed."""

    async def scene() -> None:
        heard, own = Heard(), Renewed()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            config = uvicorn.Config(_app, log_config=None, lifespan="off")
            await serve(
                cast("ServiceHub", Slow(heard)),
                config,
                listening,
                heard,
                lambda: os.kill(os.getpid(), signal.SIGTERM),
                own=own,
            )
            await own.looked.wait()
        assert heard.words[:3] == ["READY=1", "WATCHDOG=1", "STATUS=well"]

    play(scene)
