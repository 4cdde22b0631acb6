"""A small certificate authority for tests and rehearsals: root, intermediate, leaves of any kind.

Rule of this room: real certificates with real signatures, strict enough for Python 3.13's X.509 checks; nothing is written
to disk. It imports ``lbsync_certs`` and cryptography only, so that a third party's tests may use it alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal, assert_never

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lbsync_certs.bundle import Bundle, assemble

Kind = Literal["rsa2048", "ec256", "rsa1024"]
"""``rsa1024`` is weak on purpose: for tests of a refusal."""

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_CA_DAYS = 3650
_SERVER_AND_CLIENT = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class Authority:
    """One CA certificate and its key."""

    certificate: x509.Certificate
    key: Key = field(repr=False)

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class TestCA:
    """A root, perhaps an intermediate, and as many leaves as a test wants.

    ``issuer`` signs the leaves: the intermediate where there is one, else the root itself.
    """

    __test__: ClassVar[bool] = False  # pytest would take the name for a test class

    root: Authority
    issuer: Authority

    @classmethod
    def new(cls, common_name: str = "lbsync test CA", *, intermediate: bool = True) -> TestCA:
        """A fresh CA that nobody trusts yet; ``common_name`` names its root."""
        root_key = new_key("ec256")
        root = Authority(_certify(_ca(common_name, root_key), common_name, root_key), root_key)
        if not intermediate:
            return cls(root, root)
        name, key = f"{common_name} (issuing)", new_key("ec256")
        builder = _ca(name, key, path_length=0)
        return cls(root, Authority(_certify(builder, _name_of(root), root.key, root.certificate), key))

    @property
    def root_pem(self) -> bytes:
        """What a client trusts: the root alone."""
        return self.root.pem

    @property
    def chain_pem(self) -> bytes:
        """What a server adds to its leaf: the intermediate; empty where the root signs leaves itself."""
        return b"" if self.issuer is self.root else self.issuer.pem

    def issue(
        self,
        names: Sequence[str],
        *,
        days: int = 365,
        key: Kind = "rsa2048",
        not_before: datetime | None = None,
        private_key: Key | None = None,
        usages: Iterable[x509.ObjectIdentifier] = _SERVER_AND_CLIENT,
        common_name: str | None = None,
    ) -> Bundle:
        """A leaf with its chain (without the root). ``names`` are DNS names or IP addresses; the first is the subject.

        It is valid for ``days`` from ``not_before`` (aware; default: an hour ago). ``private_key`` reuses a key, as a
        renewal may.
        """
        own = private_key or new_key(key)
        builder = _leaf(names, own.public_key(), usages, common_name).not_valid_before(_start(not_before))
        builder = builder.not_valid_after(_start(not_before) + timedelta(days=days))
        leaf = _certify(builder, _name_of(self.issuer), self.issuer.key, self.issuer.certificate)
        above = () if self.issuer is self.root else (self.issuer.certificate,)
        return assemble(own, (leaf,), above)

    def sign(
        self, request: bytes, *, names: Sequence[str], days: int = 365, not_before: datetime | None = None
    ) -> x509.Certificate:
        """The answer to a PKCS#10 request in PEM, which may say ``NEW CERTIFICATE REQUEST`` as Windows does."""
        asked = x509.load_pem_x509_csr(request.replace(b"NEW CERTIFICATE", b"CERTIFICATE"))
        key = asked.public_key()
        assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        builder = _leaf(names, key, _SERVER_AND_CLIENT, None).not_valid_before(_start(not_before))
        builder = builder.not_valid_after(_start(not_before) + timedelta(days=days))
        return _certify(builder, _name_of(self.issuer), self.issuer.key, self.issuer.certificate)

    @staticmethod
    def self_signed(
        names: Sequence[str],
        *,
        days: int = 365,
        key: Kind = "rsa2048",
        not_before: datetime | None = None,
        private_key: Key | None = None,
    ) -> Bundle:
        """A leaf that is its own issuer, as Exchange set-up makes one; ``private_key`` instead of a fresh one."""
        own = private_key or new_key(key)
        builder = _leaf(names, own.public_key(), _SERVER_AND_CLIENT, None).not_valid_before(_start(not_before))
        builder = builder.not_valid_after(_start(not_before) + timedelta(days=days))
        return assemble(own, (_certify(builder, names[0], own),))


def new_key(kind: Kind) -> Key:
    """A fresh private key; an EC key takes no time, an RSA key some tens of milliseconds."""
    match kind:
        case "rsa2048":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "rsa1024":
            return rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  weak on purpose
        case "ec256":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            assert_never(kind)


def _start(not_before: datetime | None) -> datetime:
    # Certificates count whole seconds, and clocks of two machines differ a little.
    return (not_before or datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _name_of(authority: Authority) -> x509.Name:
    return authority.certificate.subject


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, ca: bool, encipher: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=encipher,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _ca(common_name: str, key: Key, path_length: int | None = None) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .public_key(key.public_key())
        .not_valid_before(_start(None) - timedelta(days=1))
        .not_valid_after(_start(None) + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _leaf(
    names: Sequence[str],
    public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    usages: Iterable[x509.ObjectIdentifier],
    common_name: str | None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name or names[0]))
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False, encipher=isinstance(public, rsa.RSAPublicKey)), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
    )


def _certify(
    builder: x509.CertificateBuilder, issuer: x509.Name | str, key: Key, signer: x509.Certificate | None = None
) -> x509.Certificate:
    """Sign; with identifiers of both keys, which Python 3.13 asks for. Without ``signer`` it is self-signed."""
    public = signer.public_key() if signer else key.public_key()
    assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    return (
        builder.issuer_name(_name(issuer) if isinstance(issuer, str) else issuer)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
