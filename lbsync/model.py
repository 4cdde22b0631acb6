"""The core values: what is done (actions), asked (checks), and planned (steps, plans).

Rule of this room: every value is immutable, forbids unknown fields, serialises to JSON and holds no secret. Absence is a
value (``None``), never an exception. It knows nothing of I/O. Facts stand in ``facts``, changes in ``changes``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NewType

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lbsync.services import Service
from lbsync_certs import Fingerprint

StepId = NewType("StepId", str)
State = dict[str, JsonValue]
"""What an action governs, as read from the target; secret-free, compared for equality only."""


class Value(BaseModel):
    """A frozen value."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Mode(StrEnum):
    """Where TLS ends for a service: at the balancer (offload) or again at the server (bridge)."""

    OFFLOAD = "offload"
    BRIDGE = "bridge"


class Action(Value):
    """One effect on one target: secret-free, serialisable. ``args`` belongs to the target that lowered it."""

    target: str
    verb: str
    args: dict[str, JsonValue] = Field(default_factory=dict)


class Check(Value):
    """A question that a target (or the prober, target ``outside``) answers by reading only; polled until true."""

    target: str
    verb: str
    args: dict[str, JsonValue] = Field(default_factory=dict)
    summary: str
    deadline_s: float = 60.0


class CheckResult(Value):
    """One answer to a check; ``detail`` is one line for a person, ``evidence`` goes into ledger and report."""

    passed: bool
    detail: str
    evidence: dict[str, JsonValue] = Field(default_factory=dict)


class Receipt(Value):
    """What an action did, in one line and in secret-free details."""

    summary: str
    details: dict[str, JsonValue] = Field(default_factory=dict)


class Step(Value):
    """One whole thing to do, and its way back.

    ``do`` and ``undo`` are ``None`` for a gate, which only waits for its checks. ``until`` must come true after ``do``,
    ``undo_until`` after ``undo``. ``after`` names the steps that must be done before this one; going back, a step is
    undone only when every step that came after it has been. ``sign`` is how the plan prints it.
    """

    id: StepId
    target: str
    summary: str
    sign: Literal["+", "~", "-", "?"] = "~"
    details: tuple[str, ...] = ()
    """Before and after, line by line, as the plan prints them."""
    after: tuple[StepId, ...] = ()
    do: Action | None = None
    undo: Action | None = None
    until: tuple[Check, ...] = ()
    undo_until: tuple[Check, ...] = ()


class Plan(Value):
    """An ordered graph of steps; ``steps`` is a topological order of it.

    ``basis`` is the digest of the facts and of the configuration the plan was made from; ``identity`` is the digest of
    everything else, so that an approved plan is applied or none.
    """

    format: Literal[1] = 1
    farm: str
    basis: str
    steps: tuple[Step, ...]
    modes: dict[Service, Mode] = Field(default_factory=dict)
    leaf: Fingerprint | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def step(self, step_id: StepId) -> Step:
        """A step by its id; ``KeyError`` where there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)
