"""What can happen to a run, as values: the ledger keeps nothing else.

Rule of this file: every event is JSON, immutable and free of secrets; times are stamped by the ledger, except where a
decision depends on one. It knows nothing of how events come about.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from lbsync.model import CheckResult, Plan, Receipt, State, StepId, Value

VIA_SERVICE = "via lbsync serve"
"""How an actor's name says that the service began it for somebody: what it began, it may carry on by itself."""


class Direction(StrEnum):
    """Forward (``do``) or on the way back (``undo``)."""

    DO = "do"
    UNDO = "undo"


class Ending(StrEnum):
    """How a run, or an attempt at its way back, came to rest."""

    APPLIED = "applied"
    UNDONE = "undone"
    HELD = "held"
    INCOMPLETE = "incomplete"


class RunStarted(Value):
    """A plan was accepted. ``confirm_within_s``: seconds an applied run waits for a person before it goes back.

    ``order``: the id of what it was begun for, where the service did; there is one run for an order.
    """

    kind: Literal["started"] = "started"
    run_id: str
    plan: Plan
    actor: str
    host: str
    started: AwareDatetime
    confirm_within_s: float | None = None
    order: str | None = None


class Intended(Value):
    """An effect is about to happen; ``before`` is what it governs, read just now (``None`` for a gate)."""

    kind: Literal["intended"] = "intended"
    step: StepId
    direction: Direction
    before: State | None = None


class Performed(Value):
    """The effect happened (or was found to be unnecessary on the way back).

    ``left`` is what was read right afterwards, ``None`` where reading failed.
    """

    kind: Literal["performed"] = "performed"
    step: StepId
    direction: Direction
    receipt: Receipt
    left: State | None = None


class Verified(Value):
    """Every check of the step came true; one result per check, in the step's order."""

    kind: Literal["verified"] = "verified"
    step: StepId
    direction: Direction
    results: tuple[CheckResult, ...] = ()


class Finished(Value):
    """The step is done, or undone."""

    kind: Literal["finished"] = "finished"
    step: StepId
    direction: Direction


class Failed(Value):
    """The step could not be finished. ``error`` is the class of the error, ``code`` its own code; the rest is for people."""

    kind: Literal["failed"] = "failed"
    step: StepId
    direction: Direction
    error: str
    reason: str
    where: str = ""
    state: str = ""
    remedy: str = ""
    code: str = ""


class Held(Value):
    """The way back stopped before this step: what is there now is neither what was before nor what the run left."""

    kind: Literal["held"] = "held"
    step: StepId
    before: State
    left: State
    now: State


class TurnedBack(Value):
    """From here on the run is taken back; ``forced``: foreign changes are overwritten."""

    kind: Literal["turned_back"] = "turned_back"
    reason: str
    actor: str = ""
    forced: bool = False


class Awaiting(Value):
    """Everything is applied; without ``Confirmed`` before ``deadline`` the run goes back by itself."""

    kind: Literal["awaiting"] = "awaiting"
    deadline: AwareDatetime


class Confirmed(Value):
    """A person said that the applied run stays."""

    kind: Literal["confirmed"] = "confirmed"
    actor: str = ""


class Interrupted(Value):
    """The operator stopped the run; no effect is under way."""

    kind: Literal["interrupted"] = "interrupted"


class Resumed(Value):
    """Another process, or the same one later, goes on."""

    kind: Literal["resumed"] = "resumed"
    actor: str = ""
    host: str = ""


class RunEnded(Value):
    """The run came to rest."""

    kind: Literal["ended"] = "ended"
    outcome: Ending


StepEvent = Intended | Performed | Verified | Finished | Failed | Held
RunEvent = RunStarted | TurnedBack | Awaiting | Confirmed | Interrupted | Resumed | RunEnded
Event = Annotated[StepEvent | RunEvent, Field(discriminator="kind")]


@cache
def _adapter() -> TypeAdapter[Event]:
    return TypeAdapter(Event)


def load_event(text: str) -> Event:
    """An event from its JSON. Raises pydantic's ValidationError, which shows no input."""
    return _adapter().validate_json(text)
