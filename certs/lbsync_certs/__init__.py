"""Certificates as values: bundles, PFX files, chains, checks, renewal."""

from __future__ import annotations

from lbsync_certs.bundle import Bundle
from lbsync_certs.info import CertificateInfo, Fingerprint, Thumbprint

__all__ = ["Bundle", "CertificateInfo", "Fingerprint", "Thumbprint"]
