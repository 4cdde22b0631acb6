"""The values of the service: what its pages, its API, its notices and its metrics say.

Rule of this file: pure, frozen and secret-free; whatever a browser or a program is shown is made of these. Those of a look come
from ``lbsync.watch``, where they are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from pydantic import AwareDatetime, Field, JsonValue

from lbsync.model import Mode, Value
from lbsync.run import RunPhase, Shown
from lbsync.services import Service
from lbsync.watch.items import Item, Level
from lbsync.watch.overview import CertificateState, Lamp, ListenerState, ModeState, ServerState

__all__ = [
    "TOKEN_USER",
    "CertificateState",
    "ChainState",
    "Changed",
    "DriftState",
    "Item",
    "JobKind",
    "JobState",
    "Kind",
    "Lamp",
    "Level",
    "ListenerState",
    "ModeState",
    "NamespaceState",
    "Options",
    "Proposal",
    "Role",
    "RunDetail",
    "RunState",
    "ServerState",
    "StepState",
    "Who",
]

Kind = Literal["rotate", "apply", "prune"]
"""What can be proposed and approved."""
JobKind = Literal["look", "drift", "advise", "plan", "rotate", "apply", "prune", "rollback", "resume", "confirm"]
"""What a job does; ``plan`` makes a proposal."""


class Role(StrEnum):
    """What somebody may do, each more than the one before: see; look and propose; approve, roll back, resume and confirm."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"

    def may(self, needed: Role) -> bool:
        """Whether this role is enough where ``needed`` is asked for."""
        order = tuple(Role)
        return order.index(self) >= order.index(needed)


TOKEN_USER: Final = "token"  # noqa: S105  # a name, not a secret
"""The name in the ledger of who came by the generated token; the account that runs the service stands beside it."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: a name, the role it has here, and the way it came.

    ``subject`` is what an identity provider knows the person by, whatever the name is (a digest of issuer and ``sub``); empty:
    the name is all there is.
    """

    name: str
    role: Role
    via: Literal["web", "api", "service"]
    subject: str = ""

    def __str__(self) -> str:
        """As the ledger has it."""
        return f"{self.name} ({self.role.value}, {self.via})"


class DriftState(Value):
    """What differs from the configuration: how much, and a line for each."""

    count: int
    lines: tuple[str, ...] = ()


class RunState(Value):
    """A run at a glance; ``words`` is its phase as people are told, ``actor`` who began it.

    ``order`` is the id of the proposal or job that the service began it for, ``None`` for a run of the command line.
    ``at_work_since``: since when a process has been at work on it that is no job of this service; ``None`` where there is none.
    """

    run_id: str
    phase: RunPhase
    words: str
    actor: str
    started: AwareDatetime
    last: AwareDatetime
    interrupted: bool = False
    order: str | None = None
    at_work_since: AwareDatetime | None = None


class StepState(Value):
    """One step of a run: what it does, how it stands, and what there is to say of it."""

    id: str
    target: str
    summary: str
    look: Shown
    lines: tuple[str, ...] = ()


class RunDetail(Value):
    """A run with its steps. ``problem``: why it went back or stopped, empty for none.

    ``canary`` holds the numbers of the requests sent meanwhile, ``report`` the path of its HTML report; ``None``: there is none.
    """

    run: RunState
    farm: str
    host: str
    steps: tuple[StepState, ...]
    problem: str = ""
    canary: dict[str, JsonValue] | None = None
    report: str | None = None


class ChainState(Value):
    """Whether a ledger's chain holds: how many events, and the hash of the last; ``error`` says what does not."""

    ok: bool
    count: int = 0
    head: str = ""
    error: str = ""


class Options(Value):
    """What a proposal was asked for with: modes beside the configuration (apply), a certificate (rotate)."""

    modes: dict[Service, Mode] = Field(default_factory=dict[Service, Mode])
    thumbprint: str | None = None


class Proposal(Value):
    """A plan that waits for its approvals. ``basis`` is the digest of the facts and the configuration that it was made from.

    ``plan`` is the plan as JSON; ``approvals`` names who approved so far, ``needs`` how many have to. ``asker`` and ``approvers``
    are the subjects of the same people in the same order, each empty where a name is all there is.
    """

    id: str
    namespace: str
    kind: Kind
    options: Options = Options()
    basis: str
    summary: str
    steps: int
    plan: dict[str, JsonValue]
    asked_by: str
    asked_at: AwareDatetime
    expires_at: AwareDatetime
    approvals: tuple[str, ...] = ()
    needs: int = 1
    asker: str = ""
    approvers: tuple[str, ...] = ()


class JobState(Value):
    """A child of the command line: queued (``began`` ``None``), at work (``ended`` ``None``), or ended.

    ``error`` is what the command told (kind, message, where, state, remedy, code); ``lines`` its last 200 lines of progress;
    ``proposal`` the id of the proposal that it made or carries out.
    """

    id: str
    namespace: str
    kind: JobKind
    asked_by: str
    asked_at: AwareDatetime
    began: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    exit_code: int | None = None
    error: dict[str, JsonValue] | None = None
    lines: tuple[str, ...] = ()
    run_id: str | None = None
    proposal: str | None = None


class NamespaceState(Value):
    """All that is known of one namespace, a configuration file with its state folder. ``error``: why it is not known better.

    ``looked_at`` is when the overview was true: after a restart it may be old. ``runs``: the newest 20. ``gone``: its
    configuration was removed, and it is here for what is under way or stands half-way; nobody looks at it any more.
    """

    name: str
    farm: str = ""
    config: str = ""
    level: Level = Level.UNKNOWN
    items: tuple[Item, ...] = ()
    listeners: tuple[ListenerState, ...] = ()
    modes: tuple[ModeState, ...] = ()
    servers: tuple[ServerState, ...] = ()
    certificates: tuple[CertificateState, ...] = ()
    calls: dict[str, float] = Field(default_factory=dict[str, float])
    drift: DriftState | None = None
    next_text: str = ""
    next_at: AwareDatetime | None = None
    looked_at: AwareDatetime | None = None
    next_look_at: AwareDatetime | None = None
    failures: int = 0
    error: str = ""
    gone: bool = False
    runs: tuple[RunState, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    job: JobState | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """Something changed in a namespace; ``id`` names the job, run or proposal, and is empty for its state."""

    ns: str
    what: Literal["state", "job", "run", "proposal"]
    id: str = ""
