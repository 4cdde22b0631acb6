"""The hub: the running service as its pages, its API, its notices and its metrics know it.

Rule of this file: it keeps the contract of ``port``. Whatever is asked of it is asked for by somebody, and what they decided is
on the disk before it is begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from lbsync.config import ServiceSection
from lbsync.errors import LbsyncError
from lbsync.service import ledgers, proposals
from lbsync.service.beginning import Beginning
from lbsync.service.children import Starter
from lbsync.service.clock import Clock, SystemClock
from lbsync.service.ends import Ends
from lbsync.service.events import Feed
from lbsync.service.farm import Farm
from lbsync.service.jobs import Job, Jobs
from lbsync.service.keeping import Decisions, Store
from lbsync.service.namespaces import Found, Namespace
from lbsync.service.port import Busy, NotFound
from lbsync.service.roster import Roster
from lbsync.service.rounds import Rounds
from lbsync.service.schedule import first
from lbsync.service.values import (
    ChainState,
    Changed,
    JobState,
    Kind,
    NamespaceState,
    Options,
    Proposal,
    Role,
    RunDetail,
    RunState,
    Who,
)

_STILL_S = 60.0
"""A loop that did not come round for so long stands still."""


class ServiceHub:
    """See ``port.Hub``. ``folder`` is where the service keeps its own things. Raises OSError where it cannot be made.

    Made inside the event loop that it is used in; ``start`` begins the rounds, ``close`` ends everything. ``find`` looks for
    the namespaces that are there by now (blocks, raises ConfigError); ``None``: they stay those of the beginning.
    """

    def __init__(
        self,
        namespaces: Sequence[Namespace],
        section: ServiceSection,
        folder: Path,
        starter: Starter,
        *,
        clock: Clock | None = None,
        find: Callable[[], Found] | None = None,
    ) -> None:
        self._section = section
        self._clock = clock or SystemClock()
        self._feed = Feed()
        self._store = Store(folder)
        self._decisions = Decisions(folder / "decisions.jsonl")
        ordered = sorted(namespaces, key=lambda one: one.name)
        self._farms: dict[str, Farm] = {}
        for index, namespace in enumerate(ordered):
            self._farms[namespace.name] = self._farm_of(namespace, index, len(ordered))
        self._at_first = frozenset(self._farms)
        self._ends = Ends(self._farms, section, self._clock)
        self.jobs = Jobs(
            starter, self._tell_job, self._ends.settle, looks=section.looks_at_once, within_s=section.look_within_s
        )
        self._begin = self._ends.begin = Beginning(self.jobs, self._decisions)
        self.rounds = Rounds(
            self._farms, self.jobs, begin=self._begin, ends=self._ends, section=section, clock=self._clock,
            roster=Roster(self._farms, find, self._farm_of, self._clock) if find is not None else None,
        )  # fmt: skip
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin the rounds."""
        self._loop = asyncio.create_task(self.rounds.run())

    async def close(self) -> tuple[JobState, ...]:
        """Begin nothing more, let what is under way stop between two steps, and say what did not in time."""
        self._feed.close()
        left = await self.jobs.close(self._section.stop_within_s)
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait({self._loop})
        return tuple(job.state() for job in left)

    def states(self) -> Mapping[str, NamespaceState]:
        """Every namespace by its name, sorted; from memory."""
        return {name: farm.state for name, farm in sorted(self._farms.items()) if self._is_there(farm)}

    def state(self, ns: str) -> NamespaceState:
        """One namespace. Raises NotFound."""
        return self._farm(ns).state

    async def look(self, ns: str, who: Who) -> JobState:
        """Look now; queued. Raises NotFound, Busy where a look waits already."""
        return self._begin.begin(self._farm(ns), "look", who).state()

    async def advice(self, ns: str, who: Who) -> dict[str, JsonValue]:
        """What ``lbsync advise --json`` says, kept until the next look. Raises NotFound, Busy, and what the command told."""
        farm = self._farm(ns)
        if farm.turn.halted and not who.role.may(Role.OPERATOR):
            raise Busy(
                "the log-on was refused, and each try more might lock the account out",
                where=ns,
                state="nothing was asked of the farm",
                remedy="an operator looks at it again once the password is right",
                code="halted",
            )
        if farm.advice is None:
            waiting = next((job for job in self.jobs.queued(ns) if job.kind == "advise"), None)
            job = waiting or self._begin.begin(farm, "advise", who)
            await job.over.wait()
            document = job.result.document if job.result is not None else None
            if document is None:
                raise _as_error(job, ns)
            return document
        return farm.advice

    async def propose(self, ns: str, kind: Kind, options: Options, who: Who) -> JobState:
        """Make a plan; it appears among the namespace's proposals, unless there is nothing to do. Raises NotFound, Busy."""
        return self._begin.begin(self._farm(ns), "plan", who, options=options, proposed=kind).state()

    async def approve(self, ns: str, proposal: str, who: Who) -> Proposal | JobState:
        """Approve: the proposal while it needs more, the job once it is begun. Raises NotFound, Busy, NotYours, Gone."""
        farm = self._farm(ns)
        async with farm.deciding:
            found = farm.proposal(proposal)
            after = proposals.approved(found, who, self._clock.wall(), four_eyes=self._section.four_eyes)
            if proposals.enough(after):
                self._refuse_busy(ns)
            await self._decide(who, ns, "approved", found)
            await farm.put(after)
            if not proposals.enough(after):
                return after
            try:
                return self._begin.carry_out(farm, after, who).state()
            except Busy:
                await farm.put(found)
                raise

    async def decline(self, ns: str, proposal: str, who: Who, reason: str) -> None:
        """Throw a proposal away, with a reason that is kept. Raises NotFound, Busy where it is carried out already."""
        farm = self._farm(ns)
        async with farm.deciding:
            found = farm.proposal(proposal)
            if any(job.proposal == proposal and job.changes for job in self.jobs.queued(ns)):
                self._refuse_busy(ns)
            await self._decide(who, ns, "declined", found, reason)
            await farm.drop(proposal, declined=found.options.thumbprint if found.kind == "rotate" else None)

    async def act(self, ns: str, run_id: str, action: Literal["rollback", "resume", "confirm"], who: Who) -> JobState:
        """Do it to a run; the command judges whether that may be. Raises NotFound, Busy."""
        farm = self._farm(ns)
        await asyncio.to_thread(ledgers.detail, farm.namespace.ledger, run_id)
        if action != "confirm":
            self._refuse_busy(ns)
        await asyncio.to_thread(self._decisions.add, str(who), ns, action, run_id)
        if action == "resume":  # a way back that cannot begin must not end in going on
            await farm.stopped(run_id, by_person=False)
        return self._begin.begin(farm, action, who, run_id=run_id).state()

    def job(self, job_id: str) -> JobState:
        """A job, for as long as it is remembered. Raises NotFound."""
        return self.jobs.get(job_id).state()

    async def stop(self, job_id: str, who: Who) -> JobState:
        """Stop it: one that waits never begins, one at work stops between two steps. Raises NotFound."""
        job = self.jobs.get(job_id)
        farm, over = self._farms[job.namespace], job.ended is not None
        self.jobs.stop(job_id, str(who))  # first of all: a full disk must not keep anybody from it
        if job.changes and not over:
            await self._hands_off(farm, job)
        await self._begin.decided(who, farm, "stopped", job_id, job.kind)
        return job.state()

    async def runs(self, ns: str, limit: int = 100) -> tuple[RunState, ...]:
        """The newest runs in the ledger. Raises NotFound, LedgerError."""
        return await asyncio.to_thread(ledgers.runs, self._farm(ns).namespace.ledger, limit)

    async def run(self, ns: str, run_id: str) -> RunDetail:
        """A run with its steps. Raises NotFound, LedgerError."""
        return await asyncio.to_thread(ledgers.detail, self._farm(ns).namespace.ledger, run_id)

    async def chain(self, ns: str) -> ChainState:
        """Every hash of the ledger computed again. Raises NotFound."""
        return await asyncio.to_thread(ledgers.chain, self._farm(ns).namespace.ledger)

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Changed]]:
        """What changes from now on; of a reader that is too slow the oldest are dropped."""
        return self._feed.listen()

    def alive(self) -> bool:
        """Whether the schedule is kept: false where its loop ended or stands still."""
        if self._loop is None or self._loop.done():
            return False
        ticked = self.rounds.ticked_at_s
        return ticked is None or self._clock.now_s() - ticked < _STILL_S

    def ready(self) -> tuple[bool, str]:
        """Whether every namespace that was there at the start was read once, or tells why not; and a line for a person."""
        if not self.alive():
            return False, "the schedule stands still"
        states = self.states()
        waiting = [name for name, one in states.items() if not (one.looked_at or one.error) and name in self._at_first]
        if waiting:
            told = f"{len(waiting)} of {len(states)} namespaces were not looked at yet: {', '.join(waiting[:5])}"
            return False, told
        return True, f"{len(states)} namespaces"

    def _is_there(self, farm: Farm) -> bool:
        """One whose configuration was removed is shown while something is under way or half-way there, and a moment longer."""
        return not farm.hidden or bool(self.jobs.queued(farm.name))

    def _farm(self, ns: str) -> Farm:
        if ns not in self._farms or not self._is_there(self._farms[ns]):
            raise NotFound(
                "there is no such namespace", where=ns, remedy="the overview lists them", code="unknown-namespace"
            )
        return self._farms[ns]

    def _farm_of(self, namespace: Namespace, index: int, count: int) -> Farm:
        now_s, wall = self._clock.now_s(), self._clock.wall()
        every_s = self._section.look_every_s or 3600.0
        farm = Farm(namespace, self._store, self._feed, first(index, count, now_s, every_s, None))
        if farm.state.looked_at is not None:
            age_s = (wall - farm.state.looked_at).total_seconds()
            farm.turn = first(index, count, now_s, every_s, age_s)
        farm.show_turn(now_s, wall)
        return farm

    @staticmethod
    async def _hands_off(farm: Farm, job: Job) -> None:
        """What a person stopped does not begin or go on by itself: not in a moment, and not after a restart."""
        if job.run_id is not None:
            await farm.stopped(job.run_id, by_person=True)
        waiting = next((one for one in farm.desk.proposals if one.id == job.proposal), None)
        if job.run_id is None and waiting is not None:
            await farm.put(waiting.model_copy(update={"approvals": ()}))

    def _tell_job(self, job: Job) -> None:
        self._farms[job.namespace].tell_job(job)

    def _refuse_busy(self, ns: str) -> None:
        for job in self.jobs.queued(ns):
            if job.changes:
                raise Busy(
                    f"a {job.kind} is under way here",
                    where=ns,
                    state="nothing was begun",
                    remedy="wait for its end, or stop it",
                    code="busy",
                )

    async def _decide(self, who: Who, ns: str, what: str, proposal: Proposal, reason: str = "") -> None:
        detail = f"{proposal.kind}, basis {proposal.basis}" + (f": {reason}" if reason else "")
        await asyncio.to_thread(self._decisions.add, str(who), ns, what, proposal.id, detail)


def _as_error(job: Job, ns: str) -> LbsyncError:
    """What a command told, as the error it was."""
    parts = {key: str((job.error or {}).get(key) or "") for key in ("message", "where", "state", "remedy", "code")}
    return LbsyncError(
        parts["message"] or "the command said nothing",
        where=parts["where"] or ns,
        state=parts["state"],
        remedy=parts["remedy"],
        code=parts["code"] or "failed",
    )
