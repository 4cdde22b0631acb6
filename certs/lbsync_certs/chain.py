"""Chains: who issued whom, by signature; in order, without strangers.

Rule of this room: a link is a link when the signature verifies, never because two names are alike. It knows no trust store:
whether a client trusts the top is for the one who holds the CA file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from lbsync_certs.info import is_self_signed, issuer_of, subject_of
from lbsync_certs.problem import CertificateProblem, ProblemCode


def issued_by(cert: x509.Certificate, issuer: x509.Certificate) -> bool:
    """True when ``issuer`` signed ``cert``: names agree and the signature verifies."""
    try:
        cert.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def order(leaf: x509.Certificate, pool: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The chain of ``leaf`` out of ``pool``: from its issuer upwards as far as the pool goes, the leaf left out.

    Certificates that belong to somebody else's chain are left out. Where a CA has several certificates with one key
    (cross-signed, renewed) the self-signed one is taken, then the one that ends last. Raises CertificateProblem
    ``chain_broken`` where the pool holds an intermediate of the issuer's name whose key did not sign.
    """
    unused = list(dict.fromkeys(pool))
    chain: list[x509.Certificate] = []
    current = leaf
    while not is_self_signed(current):
        unused = [cert for cert in unused if cert != current]
        signers = [cert for cert in unused if issued_by(current, cert)]
        if not signers:
            _refuse_impostors(current, unused)
            break
        current = max(signers, key=_preference)
        chain.append(current)
    return tuple(chain)


def broken_link(leaf: x509.Certificate, chain: Sequence[x509.Certificate]) -> str | None:
    """The first link of a chain *as it stands* that does not hold, in words, or ``None``."""
    for cert, issuer in zip((leaf, *chain), chain, strict=False):
        if not issued_by(cert, issuer):
            return f"{subject_of(issuer)} did not sign {subject_of(cert)}"
    return None


def missing_issuer(
    leaf: x509.Certificate, chain: Sequence[x509.Certificate], roots: Iterable[x509.Certificate]
) -> str | None:
    """The name of the issuer that neither the chain nor ``roots`` has, or ``None`` when the chain ends in a root."""
    top = chain[-1] if chain else leaf
    if any(top == root or issued_by(top, root) for root in roots):
        return None
    return issuer_of(top)


def _preference(cert: x509.Certificate) -> tuple[bool, float, bytes]:
    # The bytes come last so that the same pool in another order gives the same chain.
    return is_self_signed(cert), cert.not_valid_after_utc.timestamp(), cert.public_bytes(Encoding.DER)


def _refuse_impostors(cert: x509.Certificate, others: Sequence[x509.Certificate]) -> None:
    # A stale root of the same name does no harm: roots are not served. A stale intermediate would be.
    name = issuer_of(cert)
    if any(subject_of(other) == name and not is_self_signed(other) for other in others):
        raise CertificateProblem(
            ProblemCode.CHAIN_BROKEN,
            f"{subject_of(cert)} was issued by {name}, but the certificate of that name beside it holds another key: it is "
            "an older or newer one of the same CA. Export again with the whole chain, or add the right intermediate.",
        )
