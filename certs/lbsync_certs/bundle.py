"""A leaf, its chain and its key, together; the key never reaches a repr."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from lbsync_certs.info import CertificateInfo


@dataclass(frozen=True, slots=True)
class Bundle:
    """A usable server certificate. ``chain`` is ordered from the leaf's issuer upwards, without the leaf."""

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKeyTypes = field(repr=False)
    info: CertificateInfo
