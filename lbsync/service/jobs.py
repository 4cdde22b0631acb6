"""Jobs: one child at a time in each namespace, and not too many looks at once.

Rule of this file: it queues, starts, remembers and stops; what a job is for, and what its end means, others know. A job ends when
its child has; a child is never left behind by a job that is over. What only reads is ended after a time, a change never is; and a
change does not wait for what waits for a place itself.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pydantic import JsonValue

from lbsync.service.children import Child, Ended, Starter
from lbsync.service.places import Places
from lbsync.service.port import Busy, NotFound
from lbsync.service.values import JobKind, JobState, Kind, Options, Who

CHANGING: frozenset[JobKind] = frozenset({"rotate", "apply", "prune", "rollback", "resume"})
_HURRIED: frozenset[JobKind] = frozenset({"plan", "advise"})
"""Not worth a wait for the end of a change, after which everything is different."""
_LOG = logging.getLogger("lbsync.service")
_LINES = 200
_REMEMBERED = 40
"""Jobs of one namespace that are over."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Job:
    """One job. ``words`` stand behind ``lbsync``, ``actor`` goes into the ledger; ``stopped_by`` is who stopped it."""

    namespace: str
    kind: JobKind
    words: Sequence[str]
    who: Who
    actor: str
    proposal: str | None = None
    proposed: Kind | None = None
    options: Options = field(default_factory=Options)
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    asked_at: datetime = field(default_factory=_now)
    began: datetime | None = None
    ended: datetime | None = None
    result: Ended | None = None
    error: dict[str, JsonValue] | None = None
    run_id: str | None = None
    stopped_by: str | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    child: Child | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def changes(self) -> bool:
        """Whether it may change a farm."""
        return self.kind in CHANGING

    @property
    def order(self) -> str:
        """How its run is known in the ledger: by the proposal that it carries out, which outlives a restart, else by itself."""
        return self.proposal or self.id

    def state(self) -> JobState:
        """As it is shown."""
        return JobState(
            id=self.id,
            namespace=self.namespace,
            kind=self.kind,
            asked_by=self.who.name,
            asked_at=self.asked_at,
            began=self.began,
            ended=self.ended if self.over.is_set() else None,
            exit_code=self.result.code if self.result else None,
            error=self.error,
            lines=tuple(self.lines),
            run_id=self.run_id,
            proposal=self.proposal,
        )


class Jobs:
    """All of them. ``tell`` hears of every change of a job; ``settle`` is awaited at its end, before the next one begins.

    ``looks``: so many children that only read at once, each ended after ``within_s`` seconds.
    """

    def __init__(
        self,
        start: Starter,
        tell: Callable[[Job], None],
        settle: Callable[[Job], Awaitable[None]],
        *,
        looks: int,
        within_s: float,
    ) -> None:
        self._start, self._tell, self._settle = start, tell, settle
        self._places, self._within_s = Places(looks), within_s
        self._queues: dict[str, deque[Job]] = {}
        self._known: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.closing = False
        """Whether nothing more is begun: the service ends."""

    def get(self, job_id: str) -> Job:
        """One by its id. Raises NotFound."""
        if job_id not in self._known:
            raise NotFound(
                "there is no such job, or it is forgotten",
                where=job_id,
                remedy="the runs tell what was done",
                code="unknown-job",
            )
        return self._known[job_id]

    def queued(self, namespace: str) -> tuple[Job, ...]:
        """What is under way there and what waits, in order."""
        return tuple(self._queues.get(namespace, ()))

    def submit(self, job: Job) -> Job:
        """Begin it now, or after what is under way there. Raises Busy."""
        self._admit(job)
        self._known[job.id] = job
        if job.kind == "confirm":  # what waits for it holds the place
            self._spawn(self._run(job))
        else:
            queue = self._queues.setdefault(job.namespace, deque())
            begun = bool(queue) and queue[0].began is not None
            queue.insert(int(begun) if job.changes else len(queue), job)
            if len(queue) == 1:
                self._spawn(self._work(job.namespace, queue))
            elif queue[0] is job:
                self._places.leave(job.namespace)
        self._tell(job)
        return job

    def stop(self, job_id: str, by: str | None = None) -> Job:
        """Never begin it, or ask it to stop between two steps. Raises NotFound."""
        job = self.get(job_id)
        if job.ended is None:
            job.stopped_by = by
            if job.child is not None:
                job.child.stop()
            elif job.began is None:
                self._cancel(job)
        return job

    async def close(self, within_s: float) -> tuple[Job, ...]:
        """Begin nothing more, ask everything to stop, and wait; returns what is at work still."""
        self.closing = True
        for queue in tuple(self._queues.values()):
            for job in tuple(queue):
                if job.began is None:
                    self._cancel(job)
        for job in self._known.values():
            if job.ended is None and job.child is not None:
                job.child.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        return tuple(job for job in self._known.values() if job.began is not None and job.ended is None)

    async def idle(self) -> None:
        """Until nothing is under way: for tests."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _admit(self, job: Job) -> None:
        if self.closing:
            raise _busy(job, "the service is ending", "ask again once it has started anew")
        there = self._queues.get(job.namespace, ())
        if job.changes and (other := next((one for one in there if one.changes), None)):
            raise _busy(job, f"a {other.kind} is under way here", "wait for its end, or stop it")
        if job.kind in _HURRIED and any(one.changes for one in there):
            raise _busy(job, "a change is under way here", "ask again after its end")
        if not job.changes and any(one.kind == job.kind and one.began is None for one in there):
            raise _busy(job, f"a {job.kind} waits here already", "it comes by itself")

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, namespace: str, queue: deque[Job]) -> None:
        while queue:
            job = queue[0]
            if job.changes or job.ended is not None:
                await self._run(job)
            else:
                async with self._places.place(namespace) as there_is_one:
                    if there_is_one and queue[0] is job:
                        await self._read(job)
            if job.ended is not None and queue[0] is job:
                queue.popleft()
        self._queues.pop(namespace, None)

    async def _read(self, job: Job) -> None:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        await self._run(job)
        late = job.result is not None and job.result.late
        self._places.ended(job.namespace, failed=job.error is not None, late=late, after_s=clock() - began_s)

    async def _run(self, job: Job) -> None:
        if job.ended is not None or self.closing:  # stopped while it waited
            self._cancel(job)
            return
        job.began = _now()
        deadline_s = None if job.changes else self._within_s
        try:
            job.child = await self._start(job.words, job.actor, deadline_s, job.order)
            self._tell(job)
            if self.closing or job.stopped_by is not None:
                job.child.stop()

            def heard(line: str) -> None:
                job.lines.append(line)
                self._tell(job)

            job.result = await job.child.wait(heard)
            job.error = _error(job.result)
        except OSError as error:
            job.error = _unstartable(error)
        except Exception as error:  # noqa: BLE001  # any: see below
            # Else the queue would end here, and this namespace would never be looked at again.
            _LOG.exception("%s: %s met something unknown; this is a bug", job.namespace, job.kind)
            if job.child is not None:
                job.child.stop()
            job.error = _unknown(error)
        finally:
            job.child = None
            job.ended = _now()
            try:
                await self._settle(job)
            finally:
                if job.result is not None and job.kind != "advise":
                    # Whatever it is for was taken from it: forty of each of hundreds of farms would fill the memory.
                    job.result = replace(job.result, document=None)
                self._finish(job)

    def _cancel(self, job: Job) -> None:
        queue = self._queues.get(job.namespace, deque())
        if job in queue and queue[0] is not job:
            queue.remove(job)
        elif job in queue:
            self._places.leave(job.namespace)
        if job.ended is None:
            job.ended = _now()
            job.error = {"kind": "Busy", "message": "it was stopped before it began", "where": job.namespace,
                         "state": "nothing was begun", "remedy": "", "code": "stopped"}  # fmt: skip
        self._finish(job)

    def _finish(self, job: Job) -> None:
        job.over.set()
        self._tell(job)
        ended = [one.id for one in self._known.values() if one.namespace == job.namespace and one.over.is_set()]
        for old in ended[:-_REMEMBERED]:
            del self._known[old]


def _error(result: Ended) -> dict[str, JsonValue] | None:
    """What a command told of a failure: by itself, or as the problem of a run that did not end as wanted."""
    problem = (result.document or {}).get("problem")
    if isinstance(problem, dict):
        return problem
    return result.error


def _busy(job: Job, message: str, remedy: str) -> Busy:
    return Busy(message, where=job.namespace, state="nothing was begun", remedy=remedy, code="busy")


def _unknown(error: Exception) -> dict[str, JsonValue]:
    return {
        "kind": type(error).__name__,
        "message": "the service met something that it does not know; this is a bug",
        "where": "",
        "state": "what was done so far stands in the ledger",
        "remedy": "the service's log has it; lbsync runs shows what was done",
        "code": "unexpected",
    }


def _unstartable(error: OSError) -> dict[str, JsonValue]:
    return {
        "kind": "OSError",
        "message": f"the command could not be started: {error.strerror or error}",
        "where": str(error.filename or ""),
        "state": "nothing was begun",
        "remedy": "free memory or processes on this host",
        "code": f"errno-{error.errno}",
    }
