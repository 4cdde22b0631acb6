"""The machine's certificate store of a simulated server, keys included.

Rule of this room: a certificate is found by thumbprint only (several may share a subject); a key leaves as an encrypted PFX
or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates
from cryptography.x509.oid import NameOID

from lbsync_certs import Bundle, CertificateProblem, Thumbprint
from lbsync_certs.bundle import assemble

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
    r"""Thumbprint to entry, in the order they came. ``authorities`` are the intermediates of LocalMachine\CA."""

    entries: dict[Thumbprint, StoredEntry] = field(default_factory=dict[Thumbprint, StoredEntry])
    authorities: list[x509.Certificate] = field(default_factory=list[x509.Certificate])

    def add(self, entry: StoredEntry) -> Thumbprint:
        """Put an entry in, its chain found among ``authorities``; returns its thumbprint."""
        thumbprint = entry.bundle.info.thumbprint
        self.entries[thumbprint] = entry
        self._find_chain(entry)
        return thumbprint

    def add_authorities(self, certificates: Iterable[x509.Certificate]) -> None:
        """Put intermediates in; leaves without a chain find theirs, as Windows looks for it at each use."""
        self.authorities.extend(one for one in certificates if one not in self.authorities)
        for entry in self.entries.values():
            self._find_chain(entry)

    def _find_chain(self, entry: StoredEntry) -> None:
        bundle = entry.bundle
        if self.authorities and not bundle.chain:
            with suppress(CertificateProblem):  # an intermediate of the issuer's name and another key: none for Windows
                entry.bundle = assemble(bundle.key, [bundle.leaf], self.authorities)

    def find(self, thumbprint: str) -> StoredEntry | None:
        """The entry with this thumbprint, whatever its case."""
        return self.entries.get(Thumbprint(thumbprint.upper()))

    def enable(self, thumbprint: Thumbprint, service: str) -> None:
        """IIS, IMAP and POP have one certificate: this one from now on. SMTP has several.

        IMAP and POP keep theirs where this one's subject is a wildcard: Exchange warns and enables nothing.
        """
        entry = self.entries[thumbprint]
        if service in {"IMAP", "POP"} and _is_wildcard(entry.bundle.leaf):
            return
        if service != "SMTP":
            for other in self.entries.values():
                if other is not entry and service in other.services:
                    other.services.remove(service)
        if service not in entry.services:
            entry.services.append(service)

    def holder(self, service: str) -> Thumbprint | None:
        """The certificate of a service that has one."""
        return next((known for known, entry in self.entries.items() if service in entry.services), None)


def _is_wildcard(leaf: x509.Certificate) -> bool:
    return any(str(name.value).startswith("*.") for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME))


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
