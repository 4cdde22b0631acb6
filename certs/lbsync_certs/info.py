"""What a certificate says: from the certificate to the value that facts, plans and reports carry.

Rule of this room: reading only, and never a verdict (``checks`` judges). It knows nothing of keys or files.
"""

from __future__ import annotations

import hashlib
import re
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from lbsync_certs.problem import CertificateProblem, ProblemCode
from lbsync_certs.quiet import quietly
from lbsync_certs.values import CertificateInfo, Fingerprint, Thumbprint

__all__ = [
    "CertificateInfo",
    "Fingerprint",
    "Thumbprint",
    "describe",
    "fingerprint_of",
    "is_self_signed",
    "issuer_of",
    "load_der",
    "parse_thumbprint",
    "subject_of",
    "thumbprint_of",
]

_THUMBPRINT = re.compile(r"[0-9A-F]{40}\Z")
# The Windows certificate dialogue puts an invisible mark (U+200E) before the digits, and spaces or colons between them.
_THUMBPRINT_NOISE = re.compile(r"[\s:\-\u200e\u200f\ufeff]")

# ``C=Germany`` of a real farm: Windows takes names that break a length rule.
_UNRULY = "Attribute's length must be"

BROKEN = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What cryptography raises of a certificate only when a part of it is looked at."""

_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)


def fingerprint_of(der: bytes) -> Fingerprint:
    """The SHA-256 of a certificate's DER bytes."""
    return Fingerprint(hashlib.sha256(der).hexdigest())


def thumbprint_of(der: bytes) -> Thumbprint:
    """The SHA-1 of a certificate's DER bytes: how Windows and Exchange name a certificate, not a security measure."""
    return Thumbprint(hashlib.sha1(der, usedforsecurity=False).hexdigest().upper())


def parse_thumbprint(text: str) -> Thumbprint:
    """A thumbprint as people paste it: any case, spaces, colons, the invisible mark of the Windows dialogue.

    Raises CertificateProblem ``bad_thumbprint``.
    """
    cleaned = _THUMBPRINT_NOISE.sub("", text).upper()
    if not _THUMBPRINT.match(cleaned):
        raise CertificateProblem(
            ProblemCode.BAD_THUMBPRINT,
            f"{text!r} is not a thumbprint: 40 hexadecimal digits are expected, as Get-ExchangeCertificate shows them.",
        )
    return Thumbprint(cleaned)


def load_der(der: bytes) -> x509.Certificate:
    """One certificate from its DER bytes (``RawData`` of Get-ExchangeCertificate).

    Raises CertificateProblem ``unreadable``.
    """
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise CertificateProblem(
            ProblemCode.UNREADABLE, f"These {len(der)} bytes are not an X.509 certificate in DER form."
        ) from error


def describe(cert: x509.Certificate) -> CertificateInfo:
    """Everything lbsync wants to know of a certificate. Raises CertificateProblem ``unreadable``."""
    der = cert.public_bytes(Encoding.DER)
    algorithm, bits = _key(cert)
    try:
        names, addresses = _names(cert)
        server_auth = _serves(cert)
        subject, issuer = subject_of(cert), issuer_of(cert)
    except BROKEN as error:
        # An extension or a name that breaks its own rules; Windows stores such certificates without complaint.
        raise CertificateProblem(
            ProblemCode.UNREADABLE, f"The certificate {thumbprint_of(der)} has a part that cannot be read: {error}"
        ) from error
    return CertificateInfo(
        fingerprint=fingerprint_of(der),
        thumbprint=thumbprint_of(der),
        subject=subject,
        issuer=issuer,
        serial=_serial(cert.serial_number),
        not_before=cert.not_valid_before_utc,
        not_after=cert.not_valid_after_utc,
        names=names,
        addresses=addresses,
        key_algorithm=algorithm,
        key_bits=bits,
        self_signed=is_self_signed(cert),
        server_auth=server_auth,
    )


def is_self_signed(cert: x509.Certificate) -> bool:
    """True when the certificate is its own issuer, by signature where the algorithm can be checked, else by name."""
    try:
        cert.verify_directly_issued_by(cert)
    except UnsupportedAlgorithm:
        return subject_of(cert) == issuer_of(cert)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def subject_of(cert: x509.Certificate) -> str:
    """Whose certificate it is (RFC 4514). Raises ValueError where the name cannot be read."""
    with quietly(_UNRULY):
        return cert.subject.rfc4514_string()


def issuer_of(cert: x509.Certificate) -> str:
    """Who issued it (RFC 4514). Raises ValueError where the name cannot be read."""
    with quietly(_UNRULY):
        return cert.issuer.rfc4514_string()


def _serial(number: int) -> str:
    digits = f"{number:X}"
    return digits.zfill(len(digits) + len(digits) % 2)


def _extension(cert: x509.Certificate, kind: type[_ExtensionT]) -> _ExtensionT | None:
    try:
        return cert.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _names(cert: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = _extension(cert, x509.SubjectAlternativeName)
    if names is None:
        return (), ()
    dns = (name.rstrip(".").lower() for name in names.get_values_for_type(x509.DNSName))
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return tuple(dict.fromkeys(dns)), tuple(dict.fromkeys(addresses))


def _serves(cert: x509.Certificate) -> bool:
    usage = _extension(cert, x509.ExtendedKeyUsage)
    return usage is None or bool(
        {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usage)
    )


def _key(cert: x509.Certificate) -> tuple[str, int]:
    try:
        key = cert.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return cert.public_key_algorithm_oid.dotted_string, 0
    match key:
        case rsa.RSAPublicKey():
            return "rsa", key.key_size
        case ec.EllipticCurvePublicKey():
            return "ec", key.key_size
        case ed25519.Ed25519PublicKey():
            return "ed25519", 256
        case ed448.Ed448PublicKey():
            return "ed448", 456
        case _:
            return cert.public_key_algorithm_oid.dotted_string, 0
