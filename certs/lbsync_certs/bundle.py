"""A leaf, its chain and its key, together; the key never reaches a repr.

Rule of this room: the key leaves only as the bytes that ``pem`` returns (and ``pfx.write_pfx``, encrypted); never by repr,
comparison, copy or pickle. It knows nothing of files or passwords.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lbsync_certs.chain import order
from lbsync_certs.info import CertificateInfo, Fingerprint, Thumbprint, describe, is_self_signed, subject_of
from lbsync_certs.problem import CertificateProblem, ProblemCode

LeafKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)
"""What a PFX may carry; that DSA serves no client is for ``checks`` to say."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A usable server certificate. ``chain`` is ordered from the leaf's issuer upwards, without the leaf.

    Two bundles are equal when leaf and chain are; the key takes no part in it. Made by ``assemble``, which
    ``pfx.open_pfx`` and ``pem.open_pem`` use.
    """

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: LeafKey = field(repr=False, compare=False)
    info: CertificateInfo

    @property
    def fingerprint(self) -> Fingerprint:
        """SHA-256 of the leaf."""
        return self.info.fingerprint

    @property
    def thumbprint(self) -> Thumbprint:
        """SHA-1 of the leaf, as Windows writes it."""
        return self.info.thumbprint

    def public_pem(self) -> bytes:
        """Leaf, then its chain without a self-signed root, as PEM."""
        served = (self.leaf, *(cert for cert in self.chain if not is_self_signed(cert)))
        return b"".join(cert.public_bytes(Encoding.PEM) for cert in served)

    def pem(self) -> bytes:
        """What HAProxy and NGINX load: leaf, chain without a self-signed root, unencrypted PKCS#8 key; no empty line.

        HAProxy wants the leaf before the chain, and its Runtime API takes an empty line for the end of the payload.
        """
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self.public_pem() + key

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: both would carry the key where nobody looks for one."""
        raise TypeError("a Bundle holds a private key and is never pickled or copied; carry its fingerprint instead")


def public_bytes(key: PublicKeyTypes) -> bytes:
    """The SubjectPublicKeyInfo, which is equal exactly when two keys are."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_matches(cert: x509.Certificate, key: LeafKey) -> bool:
    """True when ``key`` is the private key of ``cert``."""
    try:
        return public_bytes(cert.public_key()) == public_bytes(key.public_key())
    except (UnsupportedAlgorithm, ValueError):
        return False  # a CA certificate of a kind that cannot be read is nobody's leaf


def assemble(
    key: PrivateKeyTypes, certificates: Sequence[x509.Certificate], intermediates: Iterable[x509.Certificate] = ()
) -> Bundle:
    """One bundle from a key and the certificates found beside it, in any order.

    The leaf is the certificate of this key; where several are (a renewal that kept its key), the first of them that ends
    last. ``intermediates`` complete the chain. Raises CertificateProblem ``no_certificate``, ``unsupported_key``,
    ``key_mismatch``, ``chain_broken``, ``unreadable``.
    """
    if not isinstance(key, LeafKey):
        raise CertificateProblem(
            ProblemCode.UNSUPPORTED_KEY, "The private key is of a kind that no TLS server uses. RSA or EC is expected."
        )
    if not certificates:
        raise CertificateProblem(
            ProblemCode.NO_CERTIFICATE,
            "There is a private key but no certificate. Export the certificate with its key.",
        )
    leaves = [cert for cert in certificates if key_matches(cert, key)]
    if not leaves:
        subjects = "; ".join(subject_of(cert) for cert in certificates)
        raise CertificateProblem(
            ProblemCode.KEY_MISMATCH,
            f"The private key belongs to none of the certificates beside it ({subjects}). "
            "Export the certificate together with its own key.",
        )
    leaf = max(leaves, key=lambda cert: cert.not_valid_after_utc)
    return Bundle(leaf=leaf, chain=order(leaf, (*certificates, *intermediates)), key=key, info=describe(leaf))
