"""What a route may know of its request: the hub, the guard, and who asks.

Rule of this file: reads what the gate wrote into the request, and nothing else of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from lbsync.service.auth.guard import Guard, Known
from lbsync.service.auth.oidc import Provider
from lbsync.service.port import Hub
from lbsync.service.values import Who

KEY = "lbsync"


@dataclass(frozen=True, slots=True)
class Asking:
    """One request as the gate saw it. ``address``: where it comes from; ``secure``: whether the browser spoke TLS."""

    known: Known | None
    address: str
    secure: bool
    body: bytes = b""
    """What was sent along, whole; empty for methods that change nothing."""


def asking(request: Request) -> Asking:
    """The request as the gate saw it."""
    return cast("Asking", request.scope[KEY])


def known(request: Request) -> Known | None:
    """Who asks; None for somebody who is not logged in (pages that need no login)."""
    return asking(request).known


def who(request: Request) -> Who:
    """Who asks, where a login is needed: the gate let nobody else through."""
    found = asking(request).known
    if found is None:
        raise RuntimeError("a route that needs a login is open to anyone: correct auth.roles")
    return found.who


def hub_of(request: Request) -> Hub:
    """The running service."""
    return cast("Hub", request.app.state.hub)


def guard_of(request: Request) -> Guard:
    """The logins."""
    return cast("Guard", request.app.state.guard)


def provider_of(request: Request) -> Provider | None:
    """The identity provider, where there is one."""
    return cast("Provider | None", request.app.state.provider)
