"""Renewal: whether it is due, and which certificate is the successor.

Rule of this room: pure; the clock is an argument. Several certificates may share a subject (a renewal leaves the old one in
place), so the answer is always one certificate, named by its thumbprint, never a subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from lbsync_certs.info import parse_thumbprint
from lbsync_certs.names import covers
from lbsync_certs.problem import CertificateProblem, ProblemCode
from lbsync_certs.values import CertificateInfo


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


def successor(
    current: CertificateInfo, candidates: Iterable[CertificateInfo], *, now: datetime
) -> CertificateInfo | None:
    """The best certificate to follow ``current``, or ``None`` where nothing better is there.

    It is valid at ``now``, serves TLS, covers every name of ``current`` and ends later; a self-signed one follows only a
    self-signed one. The one that ends last wins, then the one that began last.
    """
    fit = [info for info in candidates if _may_follow(current, info, now)]
    return max(fit, key=lambda info: (info.not_after, info.not_before, info.thumbprint), default=None)


def _may_follow(current: CertificateInfo, info: CertificateInfo, now: datetime) -> bool:
    names = (*current.names, *current.addresses)
    return (
        info.fingerprint != current.fingerprint
        and info.not_before <= now <= info.not_after
        and info.not_after > current.not_after
        and info.server_auth
        and (current.self_signed or not info.self_signed)
        and all(covers(info, name) for name in names)
    )
