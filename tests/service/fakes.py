"""A hub that does nothing but remember: for tests of what stands in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import JsonValue

from lbsync.model import Mode
from lbsync.run import RunPhase
from lbsync.service.port import Gone, NotFound, NotYours
from lbsync.service.values import (
    CertificateState,
    ChainState,
    Changed,
    DriftState,
    Item,
    JobKind,
    JobState,
    Kind,
    Lamp,
    Level,
    ListenerState,
    ModeState,
    NamespaceState,
    Options,
    Proposal,
    RunDetail,
    RunState,
    ServerState,
    StepState,
    Who,
)
from lbsync.services import Service

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
OLD, NEW = "A" * 40, "B" * 40
RUN = "20260601-090000-3f9c"
PROPOSAL = "p-1"
JOB = "j-1"


def run_state(run_id: str = RUN, phase: RunPhase = RunPhase.APPLIED, words: str = "done") -> RunState:
    """A run."""
    return RunState(
        run_id=run_id, phase=phase, words=words, actor="anna (approver, web)",
        started=NOW - timedelta(hours=3), last=NOW - timedelta(hours=2),
    )  # fmt: skip


def proposal(ns: str = "mail", *, asked_by: str = "otto (operator, web)", needs: int = 1) -> Proposal:
    """A rotation that waits for its approval."""
    plan: dict[str, JsonValue] = {
        "basis": "b" * 64,
        "steps": [{
            "id": "s1", "target": "lb1", "summary": "put the new certificate onto lb1",
            "do": {"target": "lb1", "verb": "upload", "args": {"thumbprint": NEW}},
            "undo": {"target": "lb1", "verb": "remove", "args": {"thumbprint": NEW}},
        }],
    }  # fmt: skip
    return Proposal(
        id=PROPOSAL, namespace=ns, kind="rotate", basis="b" * 64, summary="rotate mail.example.com to a new certificate",
        steps=1, plan=plan, asked_by=asked_by, asked_at=NOW, expires_at=NOW + timedelta(days=1), needs=needs,
    )  # fmt: skip


def namespace(name: str = "mail", *, listeners: int = 2, days: int = 12) -> NamespaceState:
    """A farm with two servers and as many listeners as are asked for; one of them is yellow, the last red."""
    lamps = [Lamp.GREEN, Lamp.YELLOW, Lamp.GREEN, Lamp.RED]
    return NamespaceState(
        name=name,
        farm=f"farm {name}",
        config=f"{name}.toml",
        level=Level.WARNING,
        items=(Item(level=Level.WARNING, subject="lb1", text=f"the certificate ends in {days} days", days=days),),
        listeners=tuple(
            ListenerState(
                balancer=f"lb{number % 2 + 1}", host=f"{name}.example.com", address=f"192.0.2.{number % 250 + 1}:443",
                light=lamps[number % len(lamps)], text="serves a certificate", thumbprint=OLD,
                not_after=NOW + timedelta(days=days), days=days,
            )
            for number in range(listeners)
        ),
        modes=tuple(
            ModeState(balancer="lb1", service=service, mode=Mode.BRIDGE, wanted=Mode.OFFLOAD) for service in Service
        ),
        servers=(
            ServerState(name="ex1", build="15.2.1544", thumbprint=OLD, days=days, prepared=(Service.OWA,)),
            ServerState(name="ex2", build="15.2.1544", thumbprint=OLD, days=days),
        ),
        certificates=(
            CertificateState(
                thumbprint=OLD, subject=f"CN={name}.example.com", not_after=NOW + timedelta(days=days), days=days, users=("lb1",)
            ),
        ),
        drift=DriftState(count=1, lines=("lb1: owa is bridged, offload is wanted",)),
        next_text="rotate in the next window",
        next_at=NOW + timedelta(hours=9),
        looked_at=NOW,
        next_look_at=NOW + timedelta(hours=1),
        runs=(run_state(),),
        proposals=(proposal(name),),
    )  # fmt: skip


class FakeHub:
    """Keeps ``lbsync.service.port.Hub``. ``calls`` says what was asked, by whom; ``tell`` publishes a change."""

    def __init__(self, *states: NamespaceState, four_eyes: bool = False) -> None:
        given = states or (namespace(),)
        self.kept = {state.name: state for state in sorted(given, key=lambda state: state.name)}
        self.jobs: dict[str, JobState] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.four_eyes = four_eyes
        self.failure: Exception | None = None
        self.readers: list[asyncio.Queue[Changed | None]] = []
        self.is_alive, self.is_ready = True, True
        self._begun: dict[str, str] = {}

    def _asked(self, what: str, ns: str, who: Who) -> None:
        self.calls.append((what, ns, str(who)))
        if self.failure is not None:
            raise self.failure
        self.state(ns)

    def _job(self, ns: str, kind: JobKind, who: Who, *, run_id: str | None = None, of: str | None = None) -> JobState:
        job = JobState(
            id=f"j-{len(self.jobs) + 1}", namespace=ns, kind=kind, asked_by=str(who), asked_at=NOW, began=NOW,
            lines=("looking at lb1",), run_id=run_id, proposal=of,
        )  # fmt: skip
        self.jobs[job.id] = job
        self.kept[ns] = self.kept[ns].model_copy(update={"job": job})
        self.tell(Changed(ns, "job", job.id))
        return job

    def tell(self, change: Changed | None) -> None:
        """Publish a change to every reader; None ends the streams, as a service that stops does."""
        for queue in self.readers:
            queue.put_nowait(change)

    def states(self) -> Mapping[str, NamespaceState]:
        """As the port says."""
        return self.kept

    def state(self, ns: str) -> NamespaceState:
        """As the port says."""
        if ns not in self.kept:
            raise NotFound("there is no such namespace", where=ns, code="unknown-namespace")
        return self.kept[ns]

    async def look(self, ns: str, who: Who) -> JobState:
        """As the port says."""
        self._asked("look", ns, who)
        return self._job(ns, "look", who)

    async def advice(self, ns: str, who: Who) -> dict[str, JsonValue]:
        """As the port says."""
        self._asked("advice", ns, who)
        return {"services": [{"service": "owa", "verdict": "offload", "reasons": ["nothing speaks against it"]}]}

    async def propose(self, ns: str, kind: Kind, options: Options, who: Who) -> JobState:
        """As the port says."""
        self._asked(f"propose {kind}", ns, who)
        return self._job(ns, "plan", who)

    def _proposal(self, ns: str, identity: str) -> Proposal:
        found = next((one for one in self.state(ns).proposals if one.id == identity), None)
        if found is None:
            raise NotFound("there is no such proposal", where=ns, code="unknown-proposal")
        return found

    async def approve(self, ns: str, proposal: str, who: Who) -> Proposal | JobState:
        """As the port says."""
        self._asked("approve", ns, who)
        if proposal in self._begun:
            return self.jobs[self._begun[proposal]]
        waiting = self._proposal(ns, proposal)
        if self.four_eyes and waiting.asked_by == str(who):
            raise NotYours("you asked for it yourself", where=ns, remedy="ask another approver", code="four-eyes")
        if waiting.expires_at < NOW:
            raise Gone("the proposal is over", where=ns, code="expired")
        job = self._job(ns, waiting.kind, who, of=proposal)
        self._begun[proposal] = job.id
        self._without(ns, proposal)
        return job

    async def decline(self, ns: str, proposal: str, who: Who, reason: str) -> None:
        """As the port says."""
        self._asked("decline", ns, who)
        self._proposal(ns, proposal)
        self._without(ns, proposal)

    def _without(self, ns: str, proposal: str) -> None:
        left = tuple(one for one in self.kept[ns].proposals if one.id != proposal)
        self.kept[ns] = self.kept[ns].model_copy(update={"proposals": left})
        self.tell(Changed(ns, "proposal", proposal))

    async def act(self, ns: str, run_id: str, action: Literal["rollback", "resume", "confirm"], who: Who) -> JobState:
        """As the port says."""
        self._asked(action, ns, who)
        self._run(ns, run_id)
        return self._job(ns, action, who, run_id=run_id)

    def job(self, job_id: str) -> JobState:
        """As the port says."""
        if job_id not in self.jobs:
            raise NotFound("there is no such job", where=job_id, code="unknown-job")
        return self.jobs[job_id]

    async def stop(self, job_id: str, who: Who) -> JobState:
        """As the port says."""
        job = self.job(job_id)
        self._asked("stop", job.namespace, who)
        self.jobs[job.id] = job.model_copy(update={"ended": NOW, "exit_code": 130})
        return self.jobs[job.id]

    async def runs(self, ns: str, limit: int = 100) -> tuple[RunState, ...]:
        """As the port says."""
        return self.state(ns).runs[:limit]

    def _run(self, ns: str, run_id: str) -> RunState:
        found = next((run for run in self.state(ns).runs if run.run_id == run_id), None)
        if found is None:
            raise NotFound("there is no such run", where=run_id, code="unknown-run")
        return found

    async def run(self, ns: str, run_id: str) -> RunDetail:
        """As the port says."""
        steps = (
            StepState(
                id="s1", target="lb1", summary="put the new certificate onto lb1", look="done", lines=("done in 2 s",)
            ),
        )
        return RunDetail(
            run=self._run(ns, run_id), farm=self.state(ns).farm, host="adm1", steps=steps, canary={"sent": 100}
        )

    async def chain(self, ns: str) -> ChainState:
        """As the port says."""
        self.state(ns)
        return ChainState(ok=True, count=42, head="c" * 64)

    @asynccontextmanager
    async def events(self) -> AsyncGenerator[AsyncIterator[Changed]]:
        """As the port says."""
        queue: asyncio.Queue[Changed | None] = asyncio.Queue(100)
        self.readers.append(queue)

        async def changes() -> AsyncIterator[Changed]:
            while (change := await queue.get()) is not None:
                yield change

        try:
            yield changes()
        finally:
            self.readers.remove(queue)

    def alive(self) -> bool:
        """As the port says."""
        return self.is_alive

    def ready(self) -> tuple[bool, str]:
        """As the port says."""
        return self.is_ready, "mail: not read yet"
