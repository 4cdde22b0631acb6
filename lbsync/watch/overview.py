"""What a look shows at a glance: every listener, every service's mode, every server, every certificate.

Rule of this file: pure, and values that are JSON: ``lbsync watch --once --json`` prints them and the service reads them.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime

from lbsync.model import Mode, Value
from lbsync.services import Service


class Lamp(StrEnum):
    """Green: ours. Yellow: another certificate. Red: no TLS, or no answer. Unknown: nobody could say."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    UNKNOWN = "unknown"


class ListenerState(Value):
    """One published name at one balancer, as clients meet it. ``days``: whole days left of what is served (negative: ended)."""

    balancer: str
    host: str
    address: str
    light: Lamp
    text: str
    thumbprint: str | None = None
    not_after: AwareDatetime | None = None
    days: int | None = None


class ModeState(Value):
    """Where a service's TLS ends at one balancer, and where it is wanted to; ``mode`` ``None``: nothing is published there."""

    balancer: str
    service: Service
    mode: Mode | None
    wanted: Mode


class ServerState(Value):
    """A server: its build, the certificate of its front end, and the services that it would take as plain HTTP."""

    name: str
    build: str
    thumbprint: str | None = None
    days: int | None = None
    prepared: tuple[Service, ...] = ()


class CertificateState(Value):
    """A certificate in use, and by whom: balancers where clients get it, servers whose front end has it."""

    thumbprint: str
    subject: str
    not_after: AwareDatetime
    days: int
    users: tuple[str, ...]


class Overview(Value):
    """All of it."""

    farm: str
    listeners: tuple[ListenerState, ...] = ()
    modes: tuple[ModeState, ...] = ()
    servers: tuple[ServerState, ...] = ()
    certificates: tuple[CertificateState, ...] = ()
