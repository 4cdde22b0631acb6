"""What the API takes and gives beside the service's own values.

Rule of this file: every text that comes in has a length and a shape; unknown keys are refused.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, model_validator

from lbsync.model import Mode
from lbsync.service.auth.roles import ID, NAMESPACE
from lbsync.service.values import JobState, Kind, Level, NamespaceState, Options, Role
from lbsync.services import Service

NamespaceName = Annotated[str, Field(pattern=f"^{NAMESPACE}$")]
Identity = Annotated[str, Field(pattern=f"^{ID}$")]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LoginIn(_In):
    """Either a name with its password, or a token."""

    name: Annotated[str | None, Field(max_length=64)] = None
    password: Annotated[SecretStr | None, Field(max_length=256)] = None
    token: Annotated[SecretStr | None, Field(max_length=256)] = None

    @model_validator(mode="after")
    def _one_of_them(self) -> LoginIn:
        by_name = self.name is not None and self.password is not None
        if by_name == (self.token is not None):
            raise ValueError("a name with its password, or a token")
        return self


class ProposeIn(_In):
    """What to plan: a rotation (to the certificate with this thumbprint), an apply (with these modes), a prune."""

    kind: Kind
    modes: dict[Service, Mode] = {}
    thumbprint: Annotated[str | None, Field(pattern="^[0-9A-Fa-f]{40}$")] = None

    @property
    def options(self) -> Options:
        """For the hub."""
        return Options(modes=self.modes, thumbprint=self.thumbprint.upper() if self.thumbprint else None)


class DeclineIn(_In):
    """Why a proposal is thrown away; kept."""

    reason: Annotated[str, Field(max_length=500)] = ""


class Me(BaseModel):
    """Who asks. ``csrf`` goes into the header X-CSRF-Token of requests that change something; None for a bearer."""

    name: str
    role: Role
    csrf: str | None


class Summary(BaseModel):
    """A namespace at a glance."""

    name: str
    farm: str
    level: Level
    listeners: int
    waiting: int
    """Proposals that wait for an approval."""
    drift: int | None
    next_text: str
    next_at: AwareDatetime | None
    looked_at: AwareDatetime | None
    next_look_at: AwareDatetime | None
    failures: int
    error: str
    job: JobState | None

    @classmethod
    def of(cls, state: NamespaceState) -> Summary:
        """A state's summary."""
        same = {
            "name",
            "farm",
            "level",
            "next_text",
            "next_at",
            "looked_at",
            "next_look_at",
            "failures",
            "error",
            "job",
        }
        values: dict[str, Any] = {key: getattr(state, key) for key in same}
        drift = state.drift.count if state.drift is not None else None
        return cls(**values, listeners=len(state.listeners), waiting=len(state.proposals), drift=drift)


class Health(BaseModel):
    """Whether it is well; why not is told to who is logged in."""

    ok: bool
