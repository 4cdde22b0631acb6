"""What the actions and checks of this side carry, as values: the arguments that a plan saves and prints.

Rule of this room: JSON, secret-free, and complete: an action can be performed, and undone days later, from its arguments alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from pydantic import Field, JsonValue, ValidationError

from lbsync.errors import Rejected
from lbsync.model import Action, Check, Value
from lbsync.services import MailService
from lbsync_certs import Fingerprint, Thumbprint


class Verb(StrEnum):
    """The effects on a server and on the directory."""

    SET_FLAGS = "set-require-ssl"
    IMPORT = "import-certificate"
    ENABLE = "enable-certificate"
    REMOVE = "remove-certificate"
    SET_OUTLOOK_ANYWHERE = "set-outlook-anywhere"


class Question(StrEnum):
    """The checks a server and the directory answer."""

    FLAGS = "flags"
    POOLS = "pools-started"
    LEAF = "leaf"
    STORED = "certificate-stored"
    GONE = "certificate-gone"
    ENABLED = "certificate-enabled"
    SETTLED = "outlook-anywhere-settled"


class FlagArgs(Value):
    """Own sslFlags by location (``None``: cleared, so that it inherits), then the recycle of ``pools``."""

    flags: dict[str, str | None]
    pools: tuple[str, ...]


class ImportArgs(Value):
    """A certificate into the store."""

    leaf: Fingerprint
    thumbprint: Thumbprint


class ServiceCertificate(Value):
    """A stored certificate for a service besides IIS. ``back`` is the one that the way back gives it again, if any."""

    service: MailService
    thumbprint: Thumbprint
    back: Thumbprint | None = None


class EnableArgs(Value):
    """A stored certificate onto IIS 443, then the recycle of ``pools`` (OWA's and ECP's cookies hang on the certificate).

    Between the two, ``also`` in its order: where SMTP stands twice, the last one is what servers use among themselves.
    """

    thumbprint: Thumbprint
    pools: tuple[str, ...] = ()
    also: tuple[ServiceCertificate, ...] = ()


class RemoveArgs(Value):
    """A certificate out of the store, for good; ``released`` are services it lists that another one has taken over."""

    leaf: Fingerprint
    thumbprint: Thumbprint
    released: tuple[str, ...] = ()


class OutlookAnywhereArgs(Value):
    """Per server the fields to set, named as in ``OutlookAnywhereFacts``; a host name of ``None`` is emptied."""

    settings: dict[str, dict[str, JsonValue]]


class FlagsCheck(Value):
    """The sslFlags that shall hold, by location."""

    flags: dict[str, str]


class PoolsCheck(Value):
    """App pools that shall be started."""

    pools: tuple[str, ...]


class LeafCheck(Value):
    """The certificate that IIS 443 of the front end shall serve, or that shall be in the store with its key, or gone from it."""

    thumbprint: Thumbprint


class EnabledCheck(Value):
    """Certificates that Exchange shall show for services, and the one that servers shall use among themselves, if any."""

    also: tuple[ServiceCertificate, ...]
    internal_transport: Thumbprint | None = None


class SettledCheck(Value):
    """By server: whether its IIS shall require SSL for Rpc."""

    requires_ssl: dict[str, bool] = Field(min_length=1)


V = TypeVar("V", bound=Value)


def action(target: str, verb: Verb, args: Value) -> Action:
    """An action with these arguments."""
    return Action(target=target, verb=verb.value, args=args.model_dump(mode="json"))


def check(target: str, verb: Question, args: Value, summary: str, deadline_s: float) -> Check:
    """A check with these arguments."""
    return Check(
        target=target, verb=verb.value, args=args.model_dump(mode="json"), summary=summary, deadline_s=deadline_s
    )


def args_of(kind: type[V], carrier: Action | Check) -> V:
    """The arguments back as a value. Raises Rejected ``bad_arguments``: a plan of another version, or written by hand."""
    try:
        return kind.model_validate(carrier.args)
    except ValidationError as error:
        raise Rejected(
            f"{carrier.verb}: its arguments are not understood ({error.error_count()} problems)",
            where=carrier.target,
            state="nothing was done",
            remedy="plan again with this version",
            code="bad_arguments",
        ) from None


def unknown_verb(carrier: Action | Check) -> Rejected:
    """An action or check that this target does not know."""
    return Rejected(
        f"{carrier.verb!r} is nothing this target knows",
        where=carrier.target,
        state="nothing was done",
        remedy="plan again with this version",
        code="unknown_verb",
    )
