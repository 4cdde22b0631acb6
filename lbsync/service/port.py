"""What pages, API, notices and metrics ask of the service, and what it answers: the seam between them and the hub.

Rule of this file: a contract and its errors. ``hub.Hub`` keeps it; tests of the web keep it with a fake.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from pydantic import JsonValue

from lbsync.errors import LbsyncError, PlanRefused
from lbsync.service.values import (
    ChainState,
    Changed,
    JobState,
    Kind,
    NamespaceState,
    Options,
    Proposal,
    RunDetail,
    RunState,
    Who,
)


class NotFound(LbsyncError):
    """No such namespace, proposal, run or job; ``code`` is unknown-namespace, unknown-proposal, unknown-run or unknown-job."""


class Busy(LbsyncError):
    """Something is under way in that namespace and this cannot wait for it; ``code`` busy."""


class NotYours(PlanRefused):
    """Four eyes: whoever asked cannot approve, nor anybody twice; ``code`` four-eyes."""


class Gone(PlanRefused):
    """The proposal is over: it expired, or what it was made from changed; ``code`` expired."""


class Hub(Protocol):
    """The running service. Who may call what is judged before, by ``auth``; the hub only keeps four eyes."""

    def states(self) -> Mapping[str, NamespaceState]:
        """Every namespace by its name, sorted; from memory."""
        ...

    def state(self, ns: str) -> NamespaceState:
        """One namespace. Raises NotFound."""
        ...

    async def look(self, ns: str, who: Who) -> JobState:
        """Look now; queued. Raises NotFound, Busy where a look waits already."""
        ...

    async def advice(self, ns: str, who: Who) -> dict[str, JsonValue]:
        """What ``lbsync advise --json`` says, kept until the next look. Raises NotFound, Busy, and what the command told."""
        ...

    async def propose(self, ns: str, kind: Kind, options: Options, who: Who) -> JobState:
        """Make a plan; it appears among the namespace's proposals, unless there is nothing to do. Raises NotFound, Busy."""
        ...

    async def approve(self, ns: str, proposal: str, who: Who) -> Proposal | JobState:
        """Approve: the proposal while it needs more, the job once it is begun. Raises NotFound, Busy, NotYours, Gone."""
        ...

    async def decline(self, ns: str, proposal: str, who: Who, reason: str) -> None:
        """Throw a proposal away, with a reason that is kept. Raises NotFound."""
        ...

    async def act(self, ns: str, run_id: str, action: Literal["rollback", "resume", "confirm"], who: Who) -> JobState:
        """Do it to a run; the command judges whether that may be. Raises NotFound, Busy."""
        ...

    def job(self, job_id: str) -> JobState:
        """A job, for as long as it is remembered. Raises NotFound."""
        ...

    async def stop(self, job_id: str, who: Who) -> JobState:
        """Stop it: one that waits never begins, one at work stops between two steps. Raises NotFound."""
        ...

    async def runs(self, ns: str, limit: int = 100) -> tuple[RunState, ...]:
        """The newest runs in the ledger. Raises NotFound, LedgerError."""
        ...

    async def run(self, ns: str, run_id: str) -> RunDetail:
        """A run with its steps. Raises NotFound, LedgerError."""
        ...

    async def chain(self, ns: str) -> ChainState:
        """Every hash of the ledger computed again. Raises NotFound."""
        ...

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Changed]]:
        """What changes from now on; of a reader that is too slow the oldest are dropped."""
        ...

    def alive(self) -> bool:
        """Whether the schedule is kept: false where its loop ended or stands still."""
        ...

    def ready(self) -> tuple[bool, str]:
        """Whether every namespace that was there at the start was read once, or tells why not; and a line for a person."""
        ...
