"""The machine's certificate store of a simulated server, keys included.

Rule of this room: a certificate is found by thumbprint only (several may share a subject); a key leaves as an encrypted PFX
or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates

from lbsync_certs import Bundle, Thumbprint

_ROUNDS = 2000
"""What Windows writes into a PFX."""


@dataclass(slots=True)
class StoredEntry:
    """One certificate with its key. ``status`` is as Get-ExchangeCertificate shows it; ``request`` a pending PKCS#10."""

    bundle: Bundle
    exportable: bool = True
    services: list[str] = field(default_factory=list[str])
    status: str = "Valid"
    friendly_name: str = ""
    request: bytes = b""

    @property
    def pending(self) -> bool:
        """True for a request that waits for its certificate."""
        return bool(self.request)


@dataclass(slots=True)
class Store:
    """Thumbprint to entry, in the order they came."""

    entries: dict[Thumbprint, StoredEntry] = field(default_factory=dict[Thumbprint, StoredEntry])

    def add(self, entry: StoredEntry) -> Thumbprint:
        """Put an entry in; returns its thumbprint."""
        thumbprint = entry.bundle.info.thumbprint
        self.entries[thumbprint] = entry
        return thumbprint

    def find(self, thumbprint: str) -> StoredEntry | None:
        """The entry with this thumbprint, whatever its case."""
        return self.entries.get(Thumbprint(thumbprint.upper()))

    def enable_iis(self, thumbprint: Thumbprint) -> None:
        """IIS is served by one certificate: this one from now on."""
        for known, entry in self.entries.items():
            if "IIS" in entry.services and known != thumbprint:
                entry.services.remove("IIS")
        if "IIS" not in self.entries[thumbprint].services:
            self.entries[thumbprint].services.append("IIS")


def to_pfx(bundle: Bundle, password: bytes, *, old: bool) -> bytes:
    """A PFX as Windows writes it: 3DES and SHA-1 (``old``), or AES-256 and SHA-256."""
    builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(_ROUNDS)
    if old:
        builder = builder.key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(hashes.SHA1())  # noqa: S303
    else:
        builder = builder.key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC).hmac_hash(hashes.SHA256())
    key = bundle.key
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TypeError("the lab's certificates have RSA or EC keys")
    return serialize_key_and_certificates(b"lbsync lab", key, bundle.leaf, bundle.chain, builder.build(password))
