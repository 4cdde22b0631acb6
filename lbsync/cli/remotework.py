"""What ``lbsync remote`` does: it asks a service for something, follows the job there, and ends as that job did.

Rule of this file: a change is proposed, shown, and only then approved; who stops following stops nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import RootModel

from lbsync.cli.command import Session
from lbsync.cli.exits import ExitCode
from lbsync.cli.remoteclient import Remote
from lbsync.cli.remoteview import fresh, namespaces_view, proposal_view, run_view, runs_view, state_view
from lbsync.errors import ConfigError, LbsyncError, PlanRefused, Rejected, Unreachable
from lbsync.run import RunPhase
from lbsync.service.values import JobState, NamespaceState, Proposal, RunDetail, RunState
from lbsync.service.web.models import Summary

if TYPE_CHECKING:
    from lbsync.cli.remote import At


class _Approved(RootModel[JobState | Proposal]):
    """What an approval brings: the job, or the proposal while it needs more of them."""


Action = Literal["rollback", "resume", "confirm"]
_ASK_EVERY_S = 0.5
_LISTED = 20
_OF_LEVEL = {"ok": ExitCode.OK, "warning": ExitCode.ATTENTION, "critical": ExitCode.CRITICAL, "unknown": ExitCode.ERROR}


@contextmanager
def opened(screen: Session, at: At) -> Generator[Desk]:
    """A service's desk for one command. Raises LbsyncError."""
    from lbsync.secrets import resolve

    if at.server is None:
        raise ConfigError(
            "it is not known which service to ask", where="--server", remedy="give --server, or set LBSYNC_SERVER"
        )
    in_file = at.token_file is not None and "LBSYNC_TOKEN" not in os.environ
    reference = f"file:{at.token_file}" if in_file else "env:LBSYNC_TOKEN"
    token = screen.redactor.remember(reference, resolve(reference, base=Path()))
    with Remote(at.server, token, at.ca_file) as remote:
        yield Desk(screen, remote, at.namespace)


class Desk:
    """One service, and the namespace that was asked for."""

    def __init__(self, screen: Session, remote: Remote, namespace: str | None) -> None:
        self._screen, self._remote, self._named = screen, remote, namespace

    def status(self) -> None:
        """Every namespace, or the one named."""
        if self._named is not None:
            self._show(self._state())
            return
        found = self._remote.get(list[Summary], "namespaces")
        self._screen.result(*namespaces_view(found))
        self._screen.document([one.model_dump(mode="json") for one in found])

    def look(self) -> ExitCode:
        """A look, its end waited for, and what was seen."""
        job = self._wait(self._remote.post(JobState, *self._ns, "look"))
        if job.error is not None:
            return self._ended(job)
        state = self._state()
        self._show(state)
        return _OF_LEVEL[state.level.value]

    def propose(self, body: dict[str, object], *, yes: bool) -> ExitCode:
        """A plan made there and shown; carried out where ``yes``."""
        job = self._wait(self._remote.post(JobState, *self._ns, "proposals", body=body))
        if job.error is not None or job.proposal is None:
            if job.error is None:
                self._screen.result(job.lines[-1] if job.lines else "Nothing to do: everything is as wanted.")
            return self._ended(job)
        proposal = self._proposal(job.proposal)
        self._screen.result(*proposal_view(proposal))
        if yes:
            return self._approve(proposal)
        self._screen.document(proposal.model_dump(mode="json"))
        self._screen.result(f"An approver carries it out: lbsync remote approve {proposal.id}")
        return ExitCode.ATTENTION

    def approve(self, proposal_id: str, *, yes: bool) -> ExitCode:
        """A proposal shown, approved, and followed. Raises PlanRefused where it is not approved."""
        proposal = self._proposal(proposal_id)
        self._screen.result(*proposal_view(proposal))
        self._sure("Approve this plan? Only yes will do:", yes=yes)
        return self._approve(proposal)

    def decline(self, proposal_id: str, reason: str) -> None:
        """A proposal thrown away."""
        self._remote.send(*self._ns, "proposals", proposal_id, "decline", body={"reason": reason})
        self._screen.result(f"Declined: proposal {proposal_id} is gone, and nothing was changed.")
        self._screen.document({"declined": proposal_id})

    def runs(self) -> None:
        """The runs."""
        found = self._runs()
        self._screen.result(*(runs_view(found) if found else ["No run has been made yet."]))
        self._screen.document([run.model_dump(mode="json") for run in found])

    def show(self, run: str) -> None:
        """One run."""
        found = self._remote.get(RunDetail, *self._ns, "runs", self._resolved(run))
        self._screen.result(*run_view(found))
        self._screen.document(found.model_dump(mode="json"))

    def act(self, run: str, action: Action, *, yes: bool) -> ExitCode:
        """Something done to a run, and followed. Raises PlanRefused where it is not approved."""
        run_id = self._resolved(run, awaiting=action == "confirm")
        self._sure(f"{action.capitalize()} run {run_id}? Only yes will do:", yes=yes)
        return self._ended(self._wait(self._remote.post(JobState, *self._ns, "runs", run_id, action)))

    def follow(self, job_id: str) -> ExitCode:
        """A job to its end."""
        return self._ended(self._wait(self._remote.get(JobState, "jobs", job_id)))

    def stop(self, job_id: str) -> None:
        """A job asked to stop."""
        job = self._remote.post(JobState, "jobs", job_id, "stop")
        self._screen.result(f"Asked: job {job.id} ({job.kind}) stops between two steps.")
        self._screen.document(job.model_dump(mode="json"))

    @property
    def _ns(self) -> tuple[str, str]:
        """The path of the namespace. Raises ConfigError where there are several and none was named."""
        if self._named is None:
            names = [one.name for one in self._remote.get(list[Summary], "namespaces")]
            if len(names) != 1:
                raise ConfigError(
                    f"the service looks after {len(names)} farms",
                    where="--namespace",
                    state="nothing was begun",
                    remedy=f"name one: {', '.join(names[:_LISTED])}{', …' if len(names) > _LISTED else ''}",
                )
            self._named = names[0]
        return ("namespaces", self._named)

    def _state(self) -> NamespaceState:
        return self._remote.get(NamespaceState, *self._ns)

    def _show(self, state: NamespaceState) -> None:
        self._screen.result(*state_view(state))
        self._screen.document(state.model_dump(mode="json"))

    def _runs(self) -> list[RunState]:
        return self._remote.get(list[RunState], *self._ns, "runs")

    def _resolved(self, run: str, *, awaiting: bool = False) -> str:
        """The id meant by ``latest`` or by the beginning of one. Raises LbsyncError where that is none, or several."""
        found = self._runs()
        if run == "latest":
            waiting = [one.run_id for one in found if one.phase is RunPhase.AWAITING] if awaiting else []
            matching = waiting[:1] or [one.run_id for one in found[:1]]
        else:
            matching = [one.run_id for one in found if one.run_id == run] or [
                one.run_id for one in found if one.run_id.startswith(run)
            ]
        if len(matching) != 1:
            raise LbsyncError(
                f"{len(matching)} runs begin like this" if matching else "there is no such run",
                where=run,
                state="nothing was begun",
                remedy="lbsync remote runs lists them",
            )
        return matching[0]

    def _proposal(self, proposal_id: str) -> Proposal:
        """One that waits. Raises PlanRefused where it does not any more."""
        for proposal in self._state().proposals:
            if proposal.id == proposal_id:
                return proposal
        raise PlanRefused(
            "no such proposal waits there",
            where=proposal_id,
            state="nothing was begun by this command",
            remedy="lbsync remote status shows what waits, lbsync remote runs what was done",
        )

    def _approve(self, proposal: Proposal) -> ExitCode:
        path = (*self._ns, "proposals", proposal.id, "approve")
        answer = self._remote.post(_Approved, *path).root
        if isinstance(answer, Proposal):
            left = answer.needs - len(answer.approvals)
            self._screen.result(f"Approved; it needs {left} more: somebody else approves it too.")
            self._screen.document(answer.model_dump(mode="json"))
            return ExitCode.ATTENTION
        return self._ended(self._wait(answer))

    def _sure(self, question: str, *, yes: bool) -> None:
        if not yes and not self._screen.ask(question, "yes"):
            raise PlanRefused(
                "it was not approved",
                state="nothing was changed",
                remedy="answer yes, or give --yes where nobody can be asked",
            )

    def _wait(self, job: JobState) -> JobState:
        """The job at its end; meanwhile its lines."""
        seen: tuple[str, ...] = ()
        try:
            with self._screen.busy(f"{job.kind} at {self._remote.server}"):
                while True:
                    for line in fresh(seen, job.lines):
                        self._screen.note(line)
                    seen = job.lines
                    if job.ended is not None:
                        return job
                    time.sleep(_ASK_EVERY_S)
                    job = self._again(job)
        except KeyboardInterrupt:
            raise LbsyncError(
                "you stopped following",
                where=f"job {job.id}",
                state=f"the service goes on with it ({job.kind})",
                remedy=f"lbsync remote follow {job.id}, or lbsync remote stop {job.id}",
            ) from None

    def _again(self, job: JobState) -> JobState:
        """The job as it is now. Raises LbsyncError where the service does not know any more: it may have been started anew."""
        try:
            return self._remote.get(JobState, "jobs", job.id)
        except (Unreachable, Rejected) as error:
            raise LbsyncError(
                f"the job cannot be followed any more: {error.message}",
                where=f"{self._remote.server}, job {job.id}",
                state=f"it is not known how far it came ({job.kind}); it stops between two steps or goes on",
                remedy="once the service answers again, look: lbsync remote runs",
            ) from None

    def _ended(self, job: JobState) -> ExitCode:
        """How a job ended: in its own words, and with its own code."""
        self._screen.document(job.model_dump(mode="json"))
        if job.error is not None:
            told: dict[str, Any] = dict(job.error)
            parts = (("Where", "where"), ("State now", "state"), ("What to do", "remedy"))
            message = str(told.get("message") or f"{job.kind} failed")
            self._screen.fail(message, [(title, str(told.get(key) or "")) for title, key in parts])
        elif job.exit_code == ExitCode.OK and job.run_id is not None:
            self._screen.result(f"Done: run {job.run_id}. lbsync remote show {job.run_id}")
        known = {int(code): code for code in ExitCode}
        return known.get(job.exit_code if job.exit_code is not None else -1, ExitCode.ERROR)
