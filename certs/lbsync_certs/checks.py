"""Is this certificate fit to serve these names today? Findings, in words.

Rule of this room: pure; the clock and the wanted names are arguments. It reports everything that is wrong at once and
raises nothing but ``bad_name``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509

from lbsync_certs.bundle import Bundle, key_matches
from lbsync_certs.chain import broken_link, missing_issuer
from lbsync_certs.info import CertificateInfo
from lbsync_certs.names import missing_names
from lbsync_certs.problem import ProblemCode

_LEAST_BITS = {"rsa": 2048, "ec": 256, "ed25519": 256, "ed448": 456}
"""Public CAs and browsers refuse RSA below 2048 and EC below 256 bits; HAProxy refuses RSA-1024 when it is committed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``error`` means that clients would refuse it, ``warning`` that some might."""

    code: ProblemCode
    message: str
    severity: Literal["error", "warning"] = "error"


def check(
    subject: CertificateInfo | Bundle,
    *,
    names: Iterable[str],
    now: datetime,
    allow_self_signed: bool = False,
    roots: Iterable[x509.Certificate] = (),
) -> tuple[Finding, ...]:
    """Everything wrong with a certificate that shall serve ``names`` at ``now`` (aware).

    A bundle is also asked whether its key is the leaf's and whether its chain holds; with ``roots``, whether it ends in one
    of them. Raises CertificateProblem ``bad_name`` for a name that is none.
    """
    if isinstance(subject, CertificateInfo):
        return tuple(_of_info(subject, tuple(names), now, allow_self_signed))
    return (
        *_of_info(subject.info, tuple(names), now, allow_self_signed),
        *_of_bundle(subject, tuple(roots)),
    )


def _of_info(
    info: CertificateInfo, names: tuple[str, ...], now: datetime, allow_self_signed: bool
) -> Iterable[Finding]:
    if now > info.not_after:
        yield Finding(ProblemCode.EXPIRED, f"{info.subject} ended on {info.not_after:%Y-%m-%d %H:%M} UTC.")
    if now < info.not_before:
        yield Finding(ProblemCode.NOT_YET_VALID, f"{info.subject} begins on {info.not_before:%Y-%m-%d %H:%M} UTC.")
    missing = missing_names(info, names)
    if missing:
        has = ", ".join((*info.names, *info.addresses)) or "none"
        yield Finding(ProblemCode.NAME_MISSING, f"It does not cover {', '.join(missing)}; its names are: {has}.")
    least = _LEAST_BITS.get(info.key_algorithm)
    if least is None:
        yield Finding(ProblemCode.WEAK_KEY, f"Its key is of kind {info.key_algorithm}, which clients do not know.")
    elif info.key_bits < least:
        kind = info.key_algorithm.upper()
        yield Finding(ProblemCode.WEAK_KEY, f"Its {kind} key has {info.key_bits} bits; at least {least} are needed.")
    if not info.server_auth:
        yield Finding(
            ProblemCode.NOT_FOR_SERVERS, "Its extended key usage does not allow TLS servers (1.3.6.1.5.5.7.3.1)."
        )
    if info.self_signed and not allow_self_signed:
        yield Finding(ProblemCode.SELF_SIGNED, "It is self-signed: no client trusts it by itself.")


def _of_bundle(bundle: Bundle, roots: tuple[x509.Certificate, ...]) -> Iterable[Finding]:
    if not key_matches(bundle.leaf, bundle.key):
        yield Finding(ProblemCode.KEY_MISMATCH, "The private key is not that of the certificate.")
    broken = broken_link(bundle.leaf, bundle.chain)
    if broken:
        yield Finding(ProblemCode.CHAIN_BROKEN, f"The chain is broken: {broken}.")
    elif roots:
        absent = missing_issuer(bundle.leaf, bundle.chain, roots)
        if absent:
            yield Finding(
                ProblemCode.CHAIN_INCOMPLETE,
                f"The chain ends before a trusted root: the certificate of {absent} is missing. Add it to the PFX.",
            )
    elif not bundle.chain and not bundle.info.self_signed:
        yield Finding(
            ProblemCode.CHAIN_INCOMPLETE,
            f"There is no certificate of its issuer {bundle.info.issuer} beside it. That is right only where this issuer "
            "is a root that every client trusts.",
            severity="warning",
        )
