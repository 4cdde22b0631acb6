"""The rounds: whose turn it is to be looked at, whose files changed, and what was cut off.

Rule of this file: it asks the clocks and the files, and begins what ``schedule`` and ``going_on`` say; what follows from the end
of a job stands in ``ends``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from lbsync.config import ServiceSection
from lbsync.ledger import Holder
from lbsync.run import RunPhase
from lbsync.service import ledgers, schedule
from lbsync.service.beginning import Beginning, guarded, refresh
from lbsync.service.clock import Clock
from lbsync.service.ends import Ends
from lbsync.service.farm import Beside, Farm
from lbsync.service.going_on import begun_for, half_way, to_resume
from lbsync.service.jobs import Job, Jobs
from lbsync.service.proposals import SCHEDULE, enough
from lbsync.service.roster import Roster
from lbsync.service.values import RunState

_LOG = logging.getLogger("lbsync.service")
TICK_S = 1.0
_CHECK_EVERY = 5
"""Ticks between two looks at ledgers' and configurations' files."""
_READ_AGAIN_S = 30.0
"""Until a ledger that could not be read is tried again: one that is locked holds up the round for a while each time."""


class Rounds:
    """The loop."""

    def __init__(
        self,
        farms: Mapping[str, Farm],
        jobs: Jobs,
        *,
        begin: Beginning,
        ends: Ends,
        section: ServiceSection,
        clock: Clock,
        roster: Roster | None = None,
    ) -> None:
        self._roster = roster
        self._farms, self._jobs, self._begin, self._ends = farms, jobs, begin, ends
        self._section, self._clock = section, clock
        self._ticks = 0
        self.ticked_at_s: float | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.tick()
            await asyncio.sleep(TICK_S)

    async def tick(self) -> None:
        """Once round all namespaces. While the service ends it comes round as ever, and only follows what is under way."""
        if self._roster is not None and self._ticks % _CHECK_EVERY == 0:
            await self._roster.look()
        closing = self._jobs.closing
        now_s, wall, every_s = self._clock.now_s(), self._clock.wall(), self._section.drift_every_s
        for farm in self._farms.values():
            if closing or farm.missed or self._jobs.queued(farm.name):
                continue
            if schedule.is_due(farm.turn, now_s, wall, farm.began):
                self._begin.begin(farm, "look", SCHEDULE)
            elif every_s is not None and farm.watched is not None and now_s >= farm.drift_at_s and not farm.turn.halted:
                farm.drift_at_s = now_s + every_s
                self._begin.begin(farm, "drift", SCHEDULE)
        for farm in self._farms.values():
            active = next((job for job in self._jobs.queued(farm.name) if job.changes and job.began), None)
            if active is not None or (self._ticks % _CHECK_EVERY == 0 and not closing):
                await guarded(farm, self._check(farm, active))
        self._ticks += 1
        self.ticked_at_s = now_s

    async def _check(self, farm: Farm, active: Job | None) -> None:
        """Whether its files changed, and whether a run was left half-way."""
        stamp, now_s = ledgers.stamp(farm.namespace.ledger), self._clock.now_s()
        if stamp != farm.stamp or (farm.unread and now_s >= farm.read_again_s):
            farm.read_again_s = now_s + _READ_AGAIN_S
            await refresh(farm)
            if active is not None and farm.state.runs:
                active.run_id = active.run_id or begun_for(farm.state.runs, active.order)
                farm.tell_run(farm.state.runs[0].run_id)
        if not farm.missed:
            config = _changed_at(farm.namespace.config)
            if farm.config_stamp not in {0, config}:
                farm.soon(now_s)
            farm.config_stamp = config
        if any(one.expires_at <= self._clock.wall() for one in farm.desk.proposals):
            await self._ends.end_proposals(farm)
        if active is not None:
            farm.is_beside(None)
        # Of a ledger that could not be read nobody knows what was begun, and what stands half-way.
        if not farm.unread and active is None and not any(job.changes for job in self._jobs.queued(farm.name)):
            await self._go_on(farm)

    async def _go_on(self, farm: Farm) -> None:
        """Carry on what was cut off, and begin what was approved before a restart. A farm that is gone is only seen."""
        run = half_way(farm.state.runs)
        if run is None and not any(map(enough, farm.desk.proposals)):
            farm.left_alone = None
            farm.is_nobodys(None)
            farm.is_beside(None)
            return
        at_work = await asyncio.to_thread(ledgers.at_work, farm.namespace.ledger)
        await self._see_beside(farm, run, at_work)
        if run is None:
            if at_work is None and not farm.missed:
                await self._begin_approved(farm)
            return
        left_before, farm.left_alone = farm.left_alone, run.run_id if at_work is None else None
        if farm.left_alone is None or left_before != farm.left_alone:
            farm.is_nobodys(None)
            return  # somebody may just have begun
        run_id = to_resume(farm.state.runs, farm.desk.stopped, at_work=False)
        # Where a log-on was refused nothing is tried by itself, so that no account is locked out.
        if run_id is None or not self._section.resume or farm.turn.halted or farm.gone:
            farm.is_nobodys(run.run_id)
        elif not farm.missed and self._clock.now_s() >= farm.resume_at_s:
            _LOG.warning("%s: carrying on run %s, which stands half-way", farm.name, run_id)
            self._begin.by_itself(farm, "resume", None, run_id)

    @staticmethod
    async def _see_beside(farm: Farm, run: RunState | None, by: Holder | None) -> None:
        """A change goes on without the service that began it, or is somebody's at the command line: it may hang like a job."""
        # What waits for a confirmation does not hang, and has a notice of its own.
        if run is None or by is None or run.phase is RunPhase.AWAITING:
            farm.is_beside(None)
            return
        known = farm.beside
        if known is None or (known.run_id, known.phase, known.by) != (run.run_id, run.phase, by):
            since = await asyncio.to_thread(ledgers.under_way_since, farm.namespace.ledger, run.run_id)
            farm.is_beside(Beside(run.run_id, run.phase, by, since))

    async def _begin_approved(self, farm: Farm) -> None:
        """What was approved and whose job is gone: begun now, unless its run was."""
        if farm.deciding.locked():
            return  # whoever approves it begins it in a moment
        for proposal in farm.desk.proposals:
            if not enough(proposal):
                continue
            begun = begun_for(farm.state.runs, proposal.id) is not None
            late = proposal.expires_at <= self._clock.wall()
            if late and not begun:
                why = "it was approved, and the service could not begin it in time"
                await self._begin.decided(SCHEDULE, farm, "expired", proposal.id, why)
            if begun or late:
                await farm.drop(proposal.id)
            else:
                self._begin.carry_out(farm, proposal, SCHEDULE)
            return


def _changed_at(path: Path) -> int:
    """When a file was changed last; -1 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1
