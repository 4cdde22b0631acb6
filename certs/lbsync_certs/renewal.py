"""Renewal: whether it is due, and which certificate is the successor.

Rule of this room: pure; the clock is an argument. Several certificates may share a subject (a renewal leaves the old one in
place), so the answer is always one certificate, named by its thumbprint, never a subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from lbsync_certs.checks import Finding, check
from lbsync_certs.info import parse_thumbprint
from lbsync_certs.names import is_name, missing_names
from lbsync_certs.problem import CertificateProblem, ProblemCode
from lbsync_certs.values import CertificateInfo

_SKEW = timedelta(hours=1)
_RSA_STRENGTH = ((1024, 80), (2048, 112), (3072, 128), (7680, 192), (15360, 256))
"""Least size of the modulus, and the strength it has."""


def remaining(info: CertificateInfo, now: datetime) -> timedelta:
    """How long the certificate still serves; negative when it ended."""
    return info.not_after - now


def is_due(info: CertificateInfo, *, now: datetime, window_days: float = 30) -> bool:
    """True within ``window_days`` before the end, and after it."""
    return remaining(info, now) <= timedelta(days=window_days)


def select(candidates: Iterable[CertificateInfo], thumbprint: str) -> CertificateInfo:
    """The candidate of this thumbprint, however it was typed.

    Raises CertificateProblem ``bad_thumbprint``, or ``no_certificate`` where there is none.
    """
    wanted = parse_thumbprint(thumbprint)
    for info in candidates:
        if info.thumbprint == wanted:
            return info
    raise CertificateProblem(ProblemCode.NO_CERTIFICATE, f"There is no certificate with the thumbprint {wanted}.")


def hindrances(
    current: CertificateInfo, candidate: CertificateInfo, *, now: datetime, needed: Iterable[str] | None = None
) -> tuple[Finding, ...]:
    """Why ``candidate`` must not follow ``current`` at ``now`` (aware): everything at once, empty where it may.

    It serves TLS at ``now``, covers every name of ``current``, ends later, and is neither self-signed nor weaker, unless
    ``current`` is, too. A ``warning`` may be overruled by a person who knows why: it ends no later, its key is weaker yet strong
    enough, or it lacks a name of ``current`` that is not ``needed`` (``None``: all are).
    """
    if candidate.fingerprint == current.fingerprint:
        return (Finding(ProblemCode.SAME, "It is the certificate that is served already."),)
    names = tuple(name for name in (*current.names, *current.addresses) if is_name(name))
    must = names if needed is None else tuple(needed)
    found = [*check(candidate, names=must, now=now, allow_self_signed=current.self_signed)]
    lost = missing_names(candidate, tuple(name for name in names if name not in must))
    if lost:
        found.append(Finding(ProblemCode.NAME_MISSING, f"It does not cover {', '.join(lost)}.", severity="warning"))
    return (*(_of_renewal(one, candidate, now) for one in found), *_compared(current, candidate, now))


def successor(
    current: CertificateInfo, candidates: Iterable[CertificateInfo], *, now: datetime
) -> CertificateInfo | None:
    """The best certificate to follow ``current``, or ``None`` where nothing better is there.

    Nothing hinders it (see ``hindrances``). The one that ends last wins, then the one that began last.
    """
    fit = [info for info in candidates if not hindrances(current, info, now=now)]
    return max(fit, key=lambda info: (info.not_after, info.not_before, info.thumbprint), default=None)


def _of_renewal(finding: Finding, candidate: CertificateInfo, now: datetime) -> Finding:
    more = ""
    if finding.code is ProblemCode.NAME_MISSING:
        more = " The one it would replace covers them."
    if finding.code is ProblemCode.NOT_YET_VALID and candidate.not_before <= now + _SKEW:
        more = " Compare this machine's clock with the CA's, or wait: clients whose clock is behind would refuse it."
    return replace(finding, message=finding.message + more)


def _compared(current: CertificateInfo, candidate: CertificateInfo, now: datetime) -> Iterable[Finding]:
    if candidate.not_after <= current.not_after and now <= candidate.not_after:
        yield Finding(
            ProblemCode.NOT_LATER,
            f"It ends on {candidate.not_after:%Y-%m-%d}, no later than the one it would replace "
            f"({current.not_after:%Y-%m-%d}).",
            severity="warning",
        )
    if strength(candidate) < strength(current):
        yield Finding(
            ProblemCode.WEAKER_KEY,
            f"Its key ({_key_of(candidate)}) is weaker than that of the one it would replace ({_key_of(current)}).",
            severity="warning",
        )


def strength(info: CertificateInfo) -> int:
    """Security strength of the key in bits (NIST SP 800-57 part 1, table 2); 0 for a kind that clients do not know."""
    match info.key_algorithm:
        case "rsa":
            return max((bits for size, bits in _RSA_STRENGTH if info.key_bits >= size), default=0)
        case "ec":
            return info.key_bits // 2
        case "ed25519":
            return 128
        case "ed448":
            return 224
        case _:
            return 0


def _key_of(info: CertificateInfo) -> str:
    return f"{info.key_algorithm.upper()} {info.key_bits}"
