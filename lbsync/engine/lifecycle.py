"""The life of a run: applied, resumed after a crash or a stop, confirmed, taken back days later.

Rule of this file: one run works at a time (the ledger's lock), and nothing is touched before the ledger was found sound and
the plan's targets are all at hand. Whether a plan is still fresh is judged by whoever made it, before it comes here.
"""

from __future__ import annotations

import secrets
import socket
import threading
from datetime import UTC, datetime

from lbsync.engine.driver import drive
from lbsync.engine.explain import begun_before, unfinished
from lbsync.engine.port import Clock, Journal, Observer, Pacing, Site, SystemClock
from lbsync.errors import ForeignChange, LedgerError, PlanRefused
from lbsync.ledger import PhaseChanged
from lbsync.model import Plan
from lbsync.run import Confirmed, Resumed, Run, RunPhase, RunStarted, TurnedBack, removed_for_good


class Engine:
    """Drives runs on one site, recording them in one journal.

    ``workers``: steps under way at most. ``observer`` is told everything as it happens. Setting ``stop`` ends the run between
    two steps; effects under way end first.
    """

    def __init__(
        self,
        journal: Journal,
        site: Site,
        *,
        workers: int = 4,
        observer: Observer | None = None,
        stop: threading.Event | None = None,
        clock: Clock | None = None,
        pacing: Pacing | None = None,
    ) -> None:
        self._journal = journal
        self._site = site
        self._workers = workers
        self._observer = observer
        self._stop = stop or threading.Event()
        self._clock = clock or SystemClock()
        self._pacing = pacing or Pacing()

    def apply(
        self,
        plan: Plan,
        *,
        actor: str,
        confirm_within_s: float | None = None,
        run_id: str | None = None,
        order: str | None = None,
        again: bool = False,
    ) -> Run:
        """Apply a plan; the run as it came to rest.

        With ``confirm_within_s``, wait that long for ``confirm`` (from another process) once all is applied, else go back.
        ``order`` is the id of what it is begun for, for whoever looks for this run in the ledger; ``again``: this process began
        one for it before. Raises PlanRefused when another run is unfinished, another process began one for this order, or a
        target is missing, LedgerError when the ledger fails.
        """
        self._refuse_missing(plan)
        run_id = run_id or new_run_id(self._clock.now())
        with self._journal.lock(run_id):
            self._refuse_unfinished()
            if order is not None and not again:
                self._refuse_begun(order)
            started = RunStarted(
                run_id=run_id,
                plan=plan,
                actor=actor,
                host=socket.gethostname(),
                started=self._clock.now(),
                confirm_within_s=confirm_within_s,
                order=order,
            )
            run = Run.begin(started)
            self._journal.append(run_id, started)
            return self._drive(run)

    def resume(self, run_id: str, *, actor: str) -> Run:
        """Carry on a run that was killed or stopped, in the direction it went; the run as it came to rest.

        A run that waited for a confirmation waits on, or goes back when its time is over. Raises LedgerError: it came to rest
        before, is unknown, or the ledger fails.
        """
        with self._journal.lock(run_id):
            run = self._sound(run_id)
            if not run.phase.unfinished:
                raise LedgerError(
                    f"run {run_id} is {run.phase.value.replace('_', ' ')}: there is nothing to resume",
                    state="nothing was changed by this command",
                    remedy=f"`lbsync show {run_id}` tells what happened"
                    if run.phase is RunPhase.UNDONE or removed_for_good(run)
                    else f"`lbsync rollback {run_id}` takes it back",
                    code="at-rest",
                )
            resumed = Resumed(actor=actor, host=socket.gethostname())
            after = run.feed(resumed)
            self._journal.append(run_id, resumed)
            return self._drive(after)

    def rollback(
        self, run_id: str, *, actor: str, reason: str = "a rollback was asked for", force: bool = False
    ) -> Run:
        """Take a run back, finished or not; the run as it came to rest. Undone already: nothing happens.

        Stops at a foreign change, unless ``force``. Raises ForeignChange, before anything is touched, when a later run still
        stands on the same targets (unless ``force``); LedgerError when the ledger fails or was tampered with.
        """
        with self._journal.lock(run_id):
            run = self._sound(run_id)
            if run.phase is RunPhase.UNDONE:
                return run
            if not force:
                self._refuse_later(run)
            turned = TurnedBack(reason=reason, actor=actor, forced=force)
            after = run.feed(turned)
            self._journal.append(run_id, turned)
            return self._drive(after)

    def _drive(self, run: Run) -> Run:
        return drive(
            run,
            self._site,
            self._journal,
            workers=self._workers,
            observer=self._observer,
            stop=self._stop,
            clock=self._clock,
            pacing=self._pacing,
        )

    def _sound(self, run_id: str) -> Run:
        self._journal.verify_chain()
        run = self._journal.run(run_id)
        self._refuse_missing(run.plan)
        return run

    def _refuse_missing(self, plan: Plan) -> None:
        missing = self._site.missing(plan)
        if missing:
            raise PlanRefused(
                "the plan names targets that are not configured: " + ", ".join(missing),
                state="nothing was changed",
                remedy="use the configuration the plan was made with, or make a new plan",
                code="missing-target",
            )

    def _refuse_unfinished(self) -> None:
        for found in self._journal.runs():
            if found.phase.unfinished:
                raise unfinished(found.run_id, found.phase)

    def _refuse_begun(self, order: str) -> None:
        # Whoever was asked twice for the same has read the farm before the first one changed it.
        for found in self._journal.runs():
            if found.order == order:
                raise begun_before(found.run_id, found.phase)

    def _refuse_later(self, run: Run) -> None:
        mine = run.touched_targets
        for found in self._journal.runs():
            if found.run_id == run.run_id:
                return
            shared = mine & self._journal.run(found.run_id).touched_targets
            if shared:
                raise ForeignChange(
                    f"run {found.run_id} came later and stands on the same targets: " + ", ".join(sorted(shared)),
                    state="nothing was changed",
                    remedy=f"take that one back first (`lbsync rollback {found.run_id}`), or use --force",
                    code="later-run",
                )


def confirm(journal: Journal, run_id: str, *, actor: str) -> None:
    """Say, from whichever process, that an applied run stays. Raises LedgerError when it does not wait for that."""
    try:
        journal.append(run_id, Confirmed(actor=actor), expect=RunPhase.AWAITING)
    except PhaseChanged as error:
        phase = journal.phase(run_id).value.replace("_", " ")
        raise LedgerError(
            f"run {run_id} is {phase}: it does not wait for a confirmation",
            state="nothing was changed by this command",
            remedy=f"`lbsync show {run_id}` tells what happened",
            code="not-awaiting",
        ) from error


def new_run_id(now: datetime) -> str:
    """A name for a run that sorts by time: ``20261123-143548-3f9c`` (UTC, then four random hex digits)."""
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
