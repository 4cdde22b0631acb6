"""One namespace while the service runs: what is known of it, when its turn is, and what lies on its desk.

Rule of this file: it holds, tells what changed, and keeps; a disk that says no costs what a restart would have known, and nothing
else, and is told.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import JsonValue

from lbsync.ledger import Holder
from lbsync.run import RunPhase
from lbsync.service.events import Feed
from lbsync.service.jobs import Job
from lbsync.service.keeping import Desk, Store
from lbsync.service.namespaces import Namespace
from lbsync.service.overview import Watched
from lbsync.service.port import NotFound
from lbsync.service.schedule import Turn, shown
from lbsync.service.values import Changed, NamespaceState, Proposal, RunState

_LOG = logging.getLogger("lbsync.service")
SHOWN_RUNS = 20
_REMEMBERED = 50
_GONE = 2


@dataclass(frozen=True, slots=True)
class Beside:
    """A run that a process is at work on which is no job of this service: in this phase, and going this way since then."""

    run_id: str
    phase: RunPhase
    by: Holder
    since: datetime


class Farm:
    """One namespace."""

    def __init__(self, namespace: Namespace, store: Store, feed: Feed, turn: Turn) -> None:
        self.namespace = namespace
        self.name = namespace.name
        self.turn = turn
        self.watched: Watched | None = None
        self.began: datetime | None = None
        """When the last look did, by the calendar."""
        self.drift_at_s = 0.0
        self.rotated_at_s: float | None = None
        self.stamp: tuple[int, ...] = ()
        self.unread = False
        """Whether the ledger could not be read the last time; then it is tried again at ``read_again_s``."""
        self.read_again_s = 0.0
        self.config_stamp = 0
        self.advice: dict[str, JsonValue] | None = None
        self.resume_failures = 0
        self.resume_at_s = 0.0
        self.left_alone: str | None = None
        """The run that stood half-way at the last check, with nobody at work on it."""
        self.nobodys: str | None = None
        """The run that stands half-way and that nobody carries on by itself."""
        self.beside: Beside | None = None
        self.missed = 0
        """Looks at the folder of configurations, in a row, that did not find its file."""
        self.hidden = False
        """Whether it is gone, and nothing was under way or stood half-way there at the last of these looks."""
        self.deciding = asyncio.Lock()
        self._store, self._feed = store, feed
        self.desk = store.desk(self.name)
        self._look_error = self._ledger_error = self._disk_error = ""
        kept = store.state(self.name) or NamespaceState(name=self.name)
        self.state = kept.model_copy(
            update={
                "name": self.name,
                "config": str(namespace.config),
                "proposals": self.desk.proposals,
                "error": "",
                "failures": 0,
                "gone": False,
            }
        )

    @property
    def gone(self) -> bool:
        """Whether its configuration was taken away, and not only for the moment in which a file is written anew."""
        return self.missed >= _GONE

    def tell(self) -> None:
        """That it is there."""
        self._feed.publish(Changed(self.name, "state"))

    def back(self, now_s: float) -> None:
        """Its configuration came back: look soon."""
        if self.gone:
            self.fails(look="")
            self.show(gone=False)
        self.missed, self.hidden = 0, False
        self.soon(now_s)
        self.tell()

    def show(self, state: NamespaceState | None = None, **changes: object) -> None:
        """What is known now; told where it changed."""
        after = (state or self.state).model_copy(update=changes)
        if after != self.state:
            self.state = after
            self._feed.publish(Changed(self.name, "state"))

    def show_turn(self, now_s: float, wall: datetime) -> None:
        """When it is looked at next."""
        self.show(next_look_at=shown(self.turn, now_s, wall))

    def show_runs(self, runs: tuple[RunState, ...]) -> None:
        """The newest runs; each that changed is told."""
        before = {run.run_id: run for run in self.state.runs}
        runs = tuple(self._marked(run) for run in runs[:SHOWN_RUNS])
        self.show(runs=runs)
        for run in runs:
            if before.get(run.run_id) != run:
                self._feed.publish(Changed(self.name, "run", run.run_id))

    def _marked(self, run: RunState) -> RunState:
        """Seen from outside: a process that was killed could not write it down, and one that hangs writes nothing."""
        cut_off = run.run_id == self.nobodys and run.phase.unfinished
        one = self.beside
        since = one.since if one is not None and (one.run_id, one.phase) == (run.run_id, run.phase) else None
        return run.model_copy(update={"interrupted": run.interrupted or cut_off, "at_work_since": since})

    def is_nobodys(self, run_id: str | None) -> None:
        """That nobody carries this run on; ``None``: somebody does, which the ledger shows by itself."""
        if run_id != self.nobodys:
            self.nobodys = run_id
            self.show_runs(self.state.runs)

    def is_beside(self, beside: Beside | None) -> None:
        """That somebody else is at work on a run; ``None``: nobody is, or a job of this service."""
        if beside != self.beside:
            self.beside = beside
            self.show_runs(self.state.runs)

    def tell_run(self, run_id: str) -> None:
        """A run went on."""
        self._feed.publish(Changed(self.name, "run", run_id))

    def tell_job(self, job: Job) -> None:
        """A job went on: the one at work is shown with the namespace."""
        self._feed.publish(Changed(self.name, "job", job.id))
        if job.over.is_set():
            if self.state.job is not None and self.state.job.id == job.id:
                self.show(job=None)
        elif job.began is not None:
            # The change that waits for a confirmation is at work beside it, and is to be seen for as long as it is.
            beside = job.kind == "confirm" and self.state.job is not None and self.state.job.id != job.id
            if not beside:
                self.show(job=job.state())

    def proposal(self, proposal_id: str) -> Proposal:
        """One on the desk. Raises NotFound."""
        found = next((one for one in self.desk.proposals if one.id == proposal_id), None)
        if found is None:
            raise NotFound(
                "there is no such proposal any more",
                where=self.name,
                state="nothing was begun",
                remedy="it was carried out, declined, or is over; the history of runs tells which",
                code="unknown-proposal",
            )
        return found

    async def put(self, proposal: Proposal) -> None:
        """On the desk, in the place of what it was before."""
        others = [one for one in self.desk.proposals if one.id != proposal.id]
        await self._change_desk(proposals=(*others, proposal))
        self._feed.publish(Changed(self.name, "proposal", proposal.id))

    async def drop(self, proposal_id: str, *, declined: str | None = None) -> None:
        """Off the desk; ``declined`` is the thumbprint that nobody proposes by itself again."""
        others = tuple(one for one in self.desk.proposals if one.id != proposal_id)
        more = (*(one for one in self.desk.declined if one != declined), declined) if declined else self.desk.declined
        await self._change_desk(proposals=others, declined=more[-_REMEMBERED:])
        self._feed.publish(Changed(self.name, "proposal", proposal_id))

    async def stopped(self, run_id: str, *, by_person: bool) -> None:
        """Whether a person stopped this run: then it is not carried on by itself."""
        others = tuple(one for one in self.desk.stopped if one != run_id)
        after = (*others, run_id)[-_REMEMBERED:] if by_person else others
        if after != self.desk.stopped:
            await self._change_desk(stopped=after)

    async def _change_desk(self, **changes: object) -> None:
        self.desk = self.desk.model_copy(update=changes)
        self.show(proposals=self.desk.proposals)
        await self._written(self._store.keep_desk, self.name, self.desk)

    async def keep(self) -> None:
        """As it is seen now, for after a restart."""
        await self._written(self._store.keep_state, self.state)

    async def _written(self, write: object, *what: object) -> None:
        try:
            await asyncio.to_thread(write, *what)  # type: ignore[arg-type]  # bound methods of the store
        except OSError as error:
            self._say(disk=f"{error.filename}: {error.strerror}; after a restart less would be known")
        else:
            self._say(disk="")

    def fails(self, *, look: str | None = None, ledger: str | None = None) -> None:
        """Why it is not known better; empty: it is. ``None`` says nothing of that one."""
        self._say(look=look, ledger=ledger)

    def _say(self, *, look: str | None = None, ledger: str | None = None, disk: str | None = None) -> None:
        before = self.state.error
        self._look_error = self._look_error if look is None else look
        self._ledger_error = self._ledger_error if ledger is None else ledger
        self._disk_error = self._disk_error if disk is None else disk
        told = " ".join(dict.fromkeys(filter(None, (self._look_error, self._ledger_error, self._disk_error))))
        if told and told != before:
            _LOG.warning("%s: %s", self.name, told)
        self.show(error=told)

    def soon(self, now_s: float) -> None:
        """Look at the next occasion."""
        self.turn = replace(self.turn, next_s=now_s, halted=False)

    @property
    def every_s(self) -> float:
        """How often it wants to be looked at."""
        return self.watched.watch.every_s if self.watched else 3600.0


__all__ = ["SHOWN_RUNS", "Desk", "Farm"]
