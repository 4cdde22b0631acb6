"""The shapes of what the scripts about retiring a certificate answer: who uses which, and what became of a removal.

Rule of this room: as in ``answers``.
"""

from __future__ import annotations

from typing import Literal

from lbsync.exchange.answers import List, Shape


class EnabledShape(Shape):
    """Get-ExchangeCertificate; ``services`` is ``None`` where Exchange's types did not load."""

    server: str
    thumbprint: str
    name: str
    services: List[str] | None = None


class NamingShape(Shape):
    """A connector, or the hybrid configuration, with its TlsCertificateName; ``server`` for receive connectors only."""

    identity: str
    name: str
    server: str | None = None


class HoldingShape(Shape):
    """A thumbprint that AuthConfig, a federation trust or the transport of a server names."""

    role: str = ""
    identity: str = ""
    server: str | None = None
    thumbprint: str | None = None


class UsesAnswer(Shape):
    """certificate-uses."""

    certificates: List[EnabledShape]
    send_connectors: List[NamingShape]
    receive_connectors: List[NamingShape]
    hybrid: List[NamingShape]
    auth_config: List[HoldingShape]
    federation: List[HoldingShape]
    transport: List[HoldingShape]
    missing_cmdlets: List[str]


class LocalHolder(Shape):
    """Something on a server that serves TLS with a certificate; ``what`` is a phrase for people."""

    what: str
    thumbprint: str


class HoldersAnswer(Shape):
    """certificate-holders."""

    holders: List[LocalHolder]


class RemoveAnswer(Shape):
    """remove-certificate."""

    thumbprint: str
    outcome: Literal["removed", "already", "in_use", "still_there"]
    held_by: List[str] = ()
