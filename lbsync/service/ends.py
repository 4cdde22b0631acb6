"""What follows from the end of a job: what is shown, what is proposed, what begins next.

Rule of this file: it ties what is decided elsewhere (``overview``, ``schedule``, ``proposals``) to what is kept; nothing that
goes wrong in one namespace reaches another.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta

from lbsync.config import ServiceSection
from lbsync.errors import LbsyncError
from lbsync.run import RunPhase
from lbsync.service import overview, schedule
from lbsync.service.beginning import Beginning, guarded, refresh
from lbsync.service.clock import Clock
from lbsync.service.farm import Farm
from lbsync.service.going_on import begun_for, half_way, wait_s
from lbsync.service.jobs import Job
from lbsync.service.proposals import SCHEDULE, due, made, over
from lbsync.service.values import Options, Proposal, RunState

_ROTATE_AGAIN_S = 300.0
"""A rotation that is due is begun again at the earliest after it, whatever became of the one before."""


class Ends:
    """The ends of jobs. ``begin`` is set once there are jobs to begin."""

    begin: Beginning

    def __init__(self, farms: Mapping[str, Farm], section: ServiceSection, clock: Clock) -> None:
        self._farms, self._section, self._clock = farms, section, clock
        self._chance = random.random

    async def settle(self, job: Job) -> None:
        """What follows from the end of a job."""
        farm = self._farms[job.namespace]
        await guarded(farm, self._settle(farm, job))

    async def _settle(self, farm: Farm, job: Job) -> None:
        match job.kind:
            case "look":
                await self._looked(farm, job)
            case "drift":
                if job.result is not None and job.result.document is not None:
                    farm.show(overview.drifted(farm.state, job.result.document))
                    await farm.keep()
            case "advise":
                farm.advice = job.result.document if job.result is not None else None
            case "plan":
                await self._planned(farm, job)
            case "confirm":
                await refresh(farm)
            case _:
                await self._changed(farm, job)

    async def _looked(self, farm: Farm, job: Job) -> None:
        now_s, wall = self._clock.now_s(), self._clock.wall()
        document = job.result.document if job.result is not None else None
        farm.began = wall
        try:
            watched = overview.read(document) if document is not None else None
        except LbsyncError as error:
            watched = None
            job.error = {"kind": type(error).__name__, "message": error.message, "where": error.where,
                         "state": error.state, "remedy": error.remedy, "code": error.code}  # fmt: skip
        if watched is None:
            error_told = job.error or {"message": "it said nothing"}
            refused = error_told.get("kind") == "Denied"
            farm.turn = schedule.failed(farm.turn, now_s, self._every_s(farm), self._chance(), halt=refused)
            farm.show(overview.failed(farm.state, error_told, farm.turn.failures))
            more = " It is not asked again by itself, so that the account is not locked out." if refused else ""
            farm.fails(look=overview.told(error_told) + more)
        else:
            farm.watched, farm.advice = watched, None
            farm.turn = schedule.looked(
                farm.turn,
                now_s,
                self._every_s(farm),
                jitter_s=watched.watch.jitter_s,
                due=watched.ahead.at if self._section.approve else watched.next.at,
                chance=self._chance(),
            )
            farm.show(overview.looked(farm.state, watched, approve=self._section.approve))
            farm.fails(look="")
            await farm.keep()
            await self.end_proposals(farm)
            self._follow(farm)
        farm.show_turn(now_s, wall)
        await refresh(farm)

    def _follow(self, farm: Farm) -> None:
        """The rotation that is due: proposed, or begun where nobody need approve it."""
        watched, now_s = farm.watched, self._clock.now_s()
        if watched is None or half_way(farm.state.runs) is not None:
            return
        if self._section.approve:
            leaf = due(watched, farm.desk.proposals, farm.desk.declined)
            if leaf is not None:
                self.begin.by_itself(farm, "plan", Options(thumbprint=leaf))
            return
        rested = farm.rotated_at_s is None or now_s - farm.rotated_at_s >= _ROTATE_AGAIN_S
        if watched.watch.rotate and watched.next.due(self._clock.wall()) and rested:
            farm.rotated_at_s = now_s
            self.begin.by_itself(farm, "rotate", None)

    async def _planned(self, farm: Farm, job: Job) -> None:
        document = job.result.document if job.result is not None else None
        if job.error is not None or document is None or job.proposed is None:
            return
        try:
            proposal = made(
                document,
                proposal_id=job.id,
                namespace=farm.name,
                kind=job.proposed,
                options=job.options,
                who=job.who,
                now=self._clock.wall(),
                lasts=timedelta(seconds=self._section.proposal_s),
                four_eyes=self._section.four_eyes,
            )
        except LbsyncError as error:
            job.error = {"kind": type(error).__name__, "message": error.message, "remedy": error.remedy}
            return
        if proposal is None:
            job.lines.append("Nothing to do: everything is as wanted.")
            return
        job.proposal = proposal.id
        await self.begin.decided(job.who, farm, "asked", proposal.id, proposal.summary)
        await farm.put(proposal)

    async def _changed(self, farm: Farm, job: Job) -> None:
        """A change ended: what it approved is over, and the farm is looked at anew."""
        document = (job.result.document if job.result is not None else None) or {}
        run = document.get("run")
        await refresh(farm)
        if isinstance(run, str):
            job.run_id = run
        elif job.run_id is None:
            job.run_id = begun_for(farm.state.runs, job.order)
        if job.proposal is not None and any(one.id == job.proposal for one in farm.desk.proposals):
            await self._carried_out(farm, job, farm.proposal(job.proposal))
        unfinished = half_way(farm.state.runs)
        if unfinished is not None and (job.stopped_by is not None or _not_back(job, unfinished)):
            await farm.stopped(unfinished.run_id, by_person=True)
        if job.kind == "resume":
            farm.resume_failures = farm.resume_failures + 1 if unfinished is not None else 0
            farm.resume_at_s = self._clock.now_s() + wait_s(farm.resume_failures)
        farm.advice = None
        farm.soon(self._clock.now_s())

    async def _carried_out(self, farm: Farm, job: Job, proposal: Proposal) -> None:
        if job.run_id is not None or job.error is None:
            await farm.drop(proposal.id)
        elif job.error.get("kind") in {"StalePlan", "UnsafeChange", "UnsupportedMode"}:
            await self.begin.decided(SCHEDULE, farm, "expired", proposal.id, str(job.error.get("message")))
            await farm.drop(proposal.id)
        else:  # nothing was begun: it may be approved again
            await farm.put(proposal.model_copy(update={"approvals": ()}))

    async def end_proposals(self, farm: Farm) -> None:
        """Those whose time is up, or that the newest look made needless."""
        for proposal_id, why in over(farm.desk.proposals, farm.watched, self._clock.wall()).items():
            await self.begin.decided(SCHEDULE, farm, "expired", proposal_id, why)
            await farm.drop(proposal_id)

    def _every_s(self, farm: Farm) -> float:
        return self._section.look_every_s or farm.every_s


def _not_back(job: Job, run: RunState) -> bool:
    """Whether a person wanted this run taken back, and it did not even begin to be: then it must not go on by itself."""
    return job.kind == "rollback" and job.run_id == run.run_id and run.phase is RunPhase.APPLYING
