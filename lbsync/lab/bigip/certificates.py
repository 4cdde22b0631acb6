"""What a device tells of a certificate or key file, and whether a pair belongs together.

Rule of this room: bytes in, properties out; a key is never shown, not even in an error.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha1

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from lbsync.lab.bigip.names import Json

_NAMES = {NameOID.EMAIL_ADDRESS: "emailAddress"}
_LOCKED = b"ENCRYPTED"


class Unreadable(Exception):
    """No PEM of the kind that was expected, or a key whose passphrase is missing or wrong."""


def certificate_properties(content: bytes) -> Json:
    """What ``sys/file/ssl-cert`` shows beside the file's own properties. Raises Unreadable."""
    certs = certificates(content)
    cert = certs[0]
    public = cert.public_key()
    curve, size, kind = "none", 0, "unknown"
    if isinstance(public, rsa.RSAPublicKey):
        size, kind = public.key_size, "rsa-public"
    elif isinstance(public, ec.EllipticCurvePublicKey):
        curve, size, kind = _curve(public.curve), public.key_size, "ec-public"
    fingerprint = cert.fingerprint(hashes.SHA256()).hex(":").upper()
    shown: Json = {
        "certificateKeyCurveName": curve,
        "certificateKeySize": size,
        "expirationDate": int(cert.not_valid_after_utc.timestamp()),
        "expirationString": f"{cert.not_valid_after_utc:%b %e %H:%M:%S %Y} GMT",
        "fingerprint": f"SHA256/{fingerprint}",
        "isBundle": "true" if len(certs) > 1 else "false",
        "issuer": _distinguished(cert.issuer),
        "keyType": kind,
        "serialNumber": _serial(cert.serial_number),
        "subject": _distinguished(cert.subject),
        "version": 3,
    }
    names = _alternatives(cert)
    return shown | ({"subjectAlternativeName": names} if names else {})


def key_properties(content: bytes, passphrase: str = "") -> Json:
    """What ``sys/file/ssl-key`` shows beside the file's own properties. Raises Unreadable."""
    if _LOCKED in content and not passphrase:
        # Size and kind of a locked key are known to nobody: assumption ``locked-key``.
        return {"curveName": "none", "keySize": 0, "keyType": "unknown", "securityType": "password"}
    public = _public(content, passphrase)
    security = "password" if _LOCKED in content else "normal"
    if isinstance(public, rsa.RSAPublicKey):
        return {"curveName": "none", "keySize": public.key_size, "keyType": "rsa-private", "securityType": security}
    return {"curveName": _curve(public.curve), "keySize": public.key_size, "keyType": "ec-private",
            "securityType": security}  # fmt: skip


def file_properties(content: bytes, mode: int) -> Json:
    """What every file object shows of its file."""
    digest = sha1(content, usedforsecurity=False).hexdigest()
    return {"checksum": f"SHA1:{len(content)}:{digest}", "mode": mode, "size": len(content)}


def certificates(content: bytes) -> list[x509.Certificate]:
    """Every certificate of a file. Raises Unreadable."""
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as problem:
        raise Unreadable from problem


@lru_cache(256)
def belong_together(key: bytes, certificate: bytes, passphrase: str = "") -> bool:
    """Whether a key is that of the first certificate of a file; remembered, like ``_public``. Raises Unreadable."""
    theirs = certificates(certificate)[0].public_key()
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return _public(key, passphrase).public_bytes(*form) == theirs.public_bytes(*form)


def stamp(when: datetime | None = None) -> str:
    """A time as file objects show it."""
    return f"{when or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


@lru_cache(256)
def _public(content: bytes, passphrase: str) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """Remembered, since it is asked at each change of anything, and reading an RSA key proves it prime: 40 ms."""
    try:
        key = load_pem_private_key(content, passphrase.encode() if _LOCKED in content else None)
    except (ValueError, TypeError) as problem:
        raise Unreadable from problem
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise Unreadable
    return key.public_key()


def _curve(curve: ec.EllipticCurve) -> str:
    return {"secp256r1": "prime256v1"}.get(curve.name, curve.name)


def _distinguished(name: x509.Name) -> str:
    return name.rfc4514_string(_NAMES)


def _serial(number: int) -> str:
    """OpenSSL's way, as the captured certificates show both: short ones decimal, long ones in hexadecimal pairs."""
    if number < 2**63:
        return str(number)
    return number.to_bytes((number.bit_length() + 7) // 8, "big").hex(":")


def _alternatives(cert: x509.Certificate) -> str:
    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    dns = [f"DNS:{name}" for name in names.get_values_for_type(x509.DNSName)]
    return ", ".join(dns + [f"IP Address:{address}" for address in names.get_values_for_type(x509.IPAddress)])
