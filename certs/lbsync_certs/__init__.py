"""Certificates as values: bundles, PFX files, chains, checks, renewal.

Rule of this package: it stands below everything else, imports nothing of lbsync and touches no file, socket or clock.
``Bundle`` is loaded when it is first asked for: it brings cryptography with it, which commands that show values do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbsync_certs.problem import CertificateProblem, ProblemCode
from lbsync_certs.values import CertificateInfo, Fingerprint, Thumbprint

if TYPE_CHECKING:
    from lbsync_certs.bundle import Bundle

__all__ = ["Bundle", "CertificateInfo", "CertificateProblem", "Fingerprint", "ProblemCode", "Thumbprint"]


if not TYPE_CHECKING:  # pragma: no branch  a type checker would take it for leave to import any name

    def __getattr__(name: str) -> object:
        """Load ``Bundle`` on first use (PEP 562)."""
        if name == "Bundle":
            from lbsync_certs.bundle import Bundle

            return Bundle
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
