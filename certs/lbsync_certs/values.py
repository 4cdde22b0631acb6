"""The values that stand for a certificate in facts, plans and reports: names and digests, never bytes or keys.

Rule of this room: it imports no cryptography, so that commands which only show such values start quickly.
"""

from __future__ import annotations

from datetime import datetime
from typing import NewType

from pydantic import BaseModel, ConfigDict

Fingerprint = NewType("Fingerprint", str)
"""SHA-256 of the DER, 64 lower-case hexadecimal digits."""

Thumbprint = NewType("Thumbprint", str)
"""SHA-1 of the DER, 40 upper-case hexadecimal digits, as Windows writes it."""


class CertificateInfo(BaseModel):
    """One certificate. Times are aware, UTC; ``names`` are its DNS names as A-labels, lower case, wildcards kept.

    ``addresses`` are the IP addresses among its alternative names. A common name is not a name here: clients ignore it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: Fingerprint
    thumbprint: Thumbprint
    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    key_algorithm: str
    """rsa, ec, ed25519, ed448 or the OID."""
    key_bits: int
    self_signed: bool
    server_auth: bool
    """True when the extended key usage allows TLS servers (or does not restrict)."""
    addresses: tuple[str, ...] = ()
