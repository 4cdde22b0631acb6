"""What the service tells by itself: notices, metrics, traces. One reader of the hub's changes for all of them.

Rule of this file: it hands on what changed and never keeps the hub waiting; a fault in one outlet is logged, and stops neither
the others nor the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import ASGIApp

from lbsync.config import ServiceSection
from lbsync.service.counting import Counting
from lbsync.service.logs import AccessLog
from lbsync.service.notices.post import Post
from lbsync.service.notices.sending import Sender, send
from lbsync.service.port import Hub, NotFound
from lbsync.service.traces import job_span, traces
from lbsync.service.values import Changed, JobState, NamespaceState

_AGAIN_S = 600.0
_LOG = structlog.stdlib.get_logger("lbsync.service.outlets")


class Outlets:
    """Of one hub. ``folder`` is the service's own, ``base`` where relative paths start; ``secret`` resolves a reference.

    Raises ConfigError where traces are asked for and cannot be had.
    """

    def __init__(
        self,
        hub: Hub,
        section: ServiceSection,
        *,
        folder: Path,
        base: Path,
        secret: Callable[[str], SecretStr],
        sender: Sender = send,
    ) -> None:
        self._hub = hub
        self.counting = Counting()
        self.traces = traces(asked=section.otel)
        templates = section.notice_templates
        self.post = Post(
            section.notices,
            folder,
            secret,
            expiry_days=section.expiry_days,
            sender=sender,
            templates=(base / templates).expanduser() if templates is not None else None,
        )
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._telling = asyncio.Lock()
        self.listening = asyncio.Event()
        """Set once every farm was seen, and no change is missed any more."""

    def around(self, app: FastAPI) -> ASGIApp:
        """The application with its log; its routes find these outlets."""
        app.state.outlets = self
        return AccessLog(app, self.traces)

    def start(self) -> None:
        """Begin to listen and to send."""
        self.post.start()
        self._tasks = (asyncio.create_task(self._run()), asyncio.create_task(self._again()))

    async def close(self) -> None:
        """End; what is not sent yet is on the disk."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.to_thread(self.post.close)
        await asyncio.to_thread(self.traces.close)

    async def _run(self) -> None:
        async with self._hub.events() as changes:
            await self._all()
            self.listening.set()
            async for change in changes:
                await self.changed(change)

    async def _again(self) -> None:
        """What time alone brings: days go by, and a change that hangs says nothing."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            await self._all()

    async def _all(self) -> None:
        for name in tuple(self._hub.states()):
            await self.changed(Changed(name, "state"))

    async def changed(self, change: Changed) -> None:
        """One change of the hub, for all outlets."""
        # One after the other, each as it is by then: what were told of an older state after a newer one would be told twice.
        async with self._telling:
            await self._changed(change)

    async def _changed(self, change: Changed) -> None:
        try:
            job = self._hub.job(change.id) if change.what == "job" else None
            state = self._hub.state(change.ns)
        except NotFound:
            return  # over and forgotten before it was read
        if job is not None and job.ended is not None:
            # A state shows what is at work; what ended before there was a run is told of here or nowhere.
            self._job(job)
            state = state.model_copy(update={"job": job})
        elif state.job is not None:
            self._job(state.job)
        await self._state(state)

    def _job(self, job: JobState) -> None:
        try:
            if self.counting.job(job):
                job_span(self.traces, job)
        except Exception:  # noqa: BLE001  # see the rule of this file
            _LOG.exception("a command was not counted, or not traced", namespace=job.namespace)

    async def _state(self, state: NamespaceState) -> None:
        try:
            self.counting.state(state)
        except Exception:  # noqa: BLE001  # see the rule of this file
            _LOG.exception("runs were not counted", namespace=state.name)
        try:
            await asyncio.to_thread(self.post.tell, state)  # it writes to the disk
        except Exception:  # noqa: BLE001  # see the rule of this file
            _LOG.exception("notices were not decided", namespace=state.name)
