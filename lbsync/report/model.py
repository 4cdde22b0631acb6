"""What a report says, as a value: the JSON that is kept, from which the page is made.

Rule of this file: plain texts, numbers and times; no secret, and nothing that only a program could read.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from lbsync.model import Mode, Value
from lbsync.run import Shown
from lbsync.services import Service

Light = Literal["green", "yellow", "red"]
"""Red: no TLS or no answer. Yellow: something answers, and not as wanted. Green: as wanted."""

Tone = Literal["good", "warn", "bad", "busy"]


class Row(Value):
    """One line of a table of facts: what it is about, and what was seen, column by column."""

    subject: str
    columns: dict[str, str]


class Found(Value):
    """What was seen before anything was done, and what the adviser said of it."""

    at: AwareDatetime
    servers: tuple[Row, ...] = ()
    balancers: tuple[Row, ...] = ()
    remarks: tuple[str, ...] = ()


class Proof(Value):
    """One question asked from outside, and its answer."""

    light: Light
    subject: str
    detail: str


class Canary(Value):
    """Requests sent all the while. ``longest_gap_s``: the longest time without a good answer, in seconds."""

    armed: bool = True
    """False: nothing ever answered, so nothing was measured."""
    requests: int
    errors: int
    connections: int
    longest_gap_s: float
    first_errors: tuple[str, ...] = ()


class Evidence(Value):
    """What was proven at one moment, or over a while."""

    title: str
    at: AwareDatetime
    proofs: tuple[Proof, ...] = ()
    canary: Canary | None = None


class StepReport(Value):
    """One step: what it was to do, what became of it, and its way back. Times are of this host's clock, UTC."""

    id: str
    target: str
    sign: str
    summary: str
    details: tuple[str, ...] = ()
    state: Shown
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    receipt: str = ""
    receipt_details: dict[str, JsonValue] = Field(default_factory=dict)
    checks: tuple[str, ...] = ()
    failure: str = ""
    undone: str = ""
    way_back: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long it took; ``None`` where it did not end."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None


class Wanted(Value):
    """The wish: a mode for each service, and the certificate clients shall see."""

    modes: dict[Service, Mode]
    leaf: str = ""
    hosts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Chain(Value):
    """The ledger's hash chain at the time of the report: note the hash in the ticket, and a later change shows."""

    events: int
    hash: str
    run_hash: str
    """Hash of this run's own last event."""


class Report(Value):
    """One run, for a change ticket."""

    format: Literal[1] = 1
    run_id: str
    farm: str
    phase: str
    outcome: str
    tone: Tone
    reason: str = ""
    started: AwareDatetime
    ended: AwareDatetime
    actor: str
    host: str
    version: str
    basis: str
    wanted: Wanted
    found: Found | None = None
    steps: tuple[StepReport, ...]
    evidence: tuple[Evidence, ...] = ()
    go_back: str = ""
    """The command that takes the run back; empty where nothing is left of it."""
    left: tuple[str, ...] = ()
    """What a way back that could not be finished left."""
    chain: Chain

    @property
    def done(self) -> int:
        """How many steps are done."""
        return sum(step.state == "done" for step in self.steps)
