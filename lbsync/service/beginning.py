"""How a job begins, and how a decision is written down: what the rounds, the ends of jobs and people's requests have in common.

Rule of this file: whoever asks, the words come from ``commands`` and the place in the queue from ``jobs``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from lbsync.errors import LbsyncError
from lbsync.service import ledgers
from lbsync.service.commands import command
from lbsync.service.farm import SHOWN_RUNS, Farm
from lbsync.service.jobs import Job, Jobs
from lbsync.service.keeping import Decisions
from lbsync.service.port import Busy
from lbsync.service.proposals import SCHEDULE, asked
from lbsync.service.values import JobKind, Kind, Level, Options, Proposal, Who

_LOG = logging.getLogger("lbsync.service")


class Beginning:
    """Begins jobs in ``jobs``, and writes to ``decisions``."""

    def __init__(self, jobs: Jobs, decisions: Decisions) -> None:
        self._jobs, self._decisions = jobs, decisions

    def begin(
        self,
        farm: Farm,
        kind: JobKind,
        who: Who,
        *,
        actor: str | None = None,
        options: Options | None = None,
        proposed: Kind | None = None,
        proposal: Proposal | None = None,
        run_id: str | None = None,
    ) -> Job:
        """Queue a job there. Raises Busy, LbsyncError for a value of another shape."""
        if farm.gone and kind != "confirm":  # which is what something under way may wait for
            raise Busy(
                "its configuration was removed", where=farm.name, state="nothing was begun",
                remedy=f"put {farm.namespace.config} back", code="busy",
            )  # fmt: skip
        chosen = options or Options()
        words = command(
            kind,
            farm.namespace.config,
            farm.namespace.folder,
            options=chosen,
            proposed=proposed,
            basis=proposal.basis if proposal else None,
            run_id=run_id,
        )
        return self._jobs.submit(
            Job(
                namespace=farm.name,
                kind=kind,
                words=words,
                who=who,
                actor=actor or (who.name if who.via == "service" else str(who)),
                proposal=proposal.id if proposal else None,
                proposed=proposed,
                options=chosen,
                run_id=run_id,
            )
        )

    def carry_out(self, farm: Farm, proposal: Proposal, who: Who) -> Job:
        """Begin what was approved, and nothing else. Raises Busy."""
        return self.begin(farm, proposal.kind, who, actor=asked(proposal), options=proposal.options, proposal=proposal)

    def by_itself(self, farm: Farm, kind: JobKind, options: Options | None, run_id: str | None = None) -> None:
        """By itself; where something is under way it comes with the next look."""
        proposed: Kind | None = "rotate" if kind == "plan" else None
        try:
            self.begin(farm, kind, SCHEDULE, options=options, proposed=proposed, run_id=run_id)
        except Busy:
            _LOG.info("%s: %s waits for the next look", farm.name, kind)

    async def decided(self, who: Who, farm: Farm, what: str, about: str, detail: str) -> None:
        """Written down for those who ask later; what is no approval is done though the disk be full."""
        try:
            await asyncio.to_thread(self._decisions.add, str(who), farm.name, what, about, detail)
        except LbsyncError as error:
            _LOG.warning("%s: %s", farm.name, error)


async def guarded(farm: Farm, work: Awaitable[None]) -> None:
    """Whatever it raises is this namespace's affair, and is told there."""
    try:
        await work
    except LbsyncError as error:
        farm.fails(look=str(error))
    except OSError as error:
        farm.fails(look=f"{error.filename}: {error.strerror}")
    except Exception:  # noqa: BLE001  one namespace must not stop the others
        _LOG.exception("%s: the service met something it does not know; this is a bug", farm.name)


async def refresh(farm: Farm) -> None:
    """Read the newest runs from its ledger; one that cannot be read is told, and ``unread``."""
    path = farm.namespace.ledger
    farm.stamp = ledgers.stamp(path)
    try:
        runs = await asyncio.to_thread(ledgers.runs, path, SHOWN_RUNS)
    except LbsyncError as error:
        farm.unread = True
        farm.show(level=Level.UNKNOWN)
        farm.fails(ledger=str(error))
    else:
        farm.unread = False
        farm.show_runs(runs)
        farm.fails(ledger="")
