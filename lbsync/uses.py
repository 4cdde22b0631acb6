"""Uses: what else in Exchange names a certificate, as it was read.

Rule of this room: a fact is what was seen, never what follows from it (``rotation.in_use`` judges). What could not be asked is
listed, and is never an answer "nobody uses it".
"""

from __future__ import annotations

from typing import Literal

from lbsync.model import Value
from lbsync_certs import Thumbprint


class Enabled(Value):
    """Get-ExchangeCertificate of one server. ``services`` is ``None`` where Exchange did not say.

    ``name`` is how a connector would call it: ``<I>issuer<S>subject``, both as Windows writes them.
    """

    server: str
    thumbprint: Thumbprint
    name: str
    services: tuple[str, ...] | None


class Naming(Value):
    """Something that names certificates by issuer and subject (TlsCertificateName); several may answer to one name.

    ``server`` is the server a receive connector belongs to; the others belong to the organisation.
    """

    kind: Literal["send connector", "receive connector", "hybrid configuration"]
    identity: str
    name: str
    server: str | None = None


class Holding(Value):
    """Something that names one certificate by its thumbprint.

    ``thumbprint`` is ``None`` where it names one, and which could not be read. ``server`` is ``None`` for the organisation's.
    """

    what: str
    thumbprint: Thumbprint | None
    server: str | None = None


class CertificateUses(Value):
    """What Exchange says of its certificates. ``read`` is false where the Exchange tier is not configured."""

    read: bool = True
    enabled: tuple[Enabled, ...] = ()
    namings: tuple[Naming, ...] = ()
    holdings: tuple[Holding, ...] = ()
    missing_cmdlets: tuple[str, ...] = ()
    """Cmdlets the account's RBAC roles do not offer: what they would have told is not known."""

    def enabled_at(self, server: str) -> tuple[Enabled, ...]:
        """The certificates of one server; names compare without case."""
        return tuple(one for one in self.enabled if one.server.lower() == server.lower())
