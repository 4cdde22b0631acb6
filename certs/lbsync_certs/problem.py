"""Why a certificate, key, chain or PFX cannot be used: one exception, one closed list of codes.

Rule of this room: callers branch on ``code``; the message is one or two sentences for an administrator, says what to do
about it, and never holds a key, a password or the bytes of a file.
"""

from __future__ import annotations

from enum import StrEnum


class ProblemCode(StrEnum):
    """Every reason this package gives; a ``StrEnum``, so that it compares with plain text and goes into JSON as it is."""

    WRONG_PASSWORD = "wrong_password"  # noqa: S105  the name of a reason
    NOT_PFX = "not_pfx"
    NOT_PEM = "not_pem"
    UNSUPPORTED_PFX = "unsupported_pfx"
    LEGACY_DISABLED = "legacy_disabled"
    UNREADABLE = "unreadable"
    NO_KEY = "no_key"
    UNSUPPORTED_KEY = "unsupported_key"
    SEVERAL_KEYS = "several_keys"
    NO_CERTIFICATE = "no_certificate"
    KEY_MISMATCH = "key_mismatch"
    CHAIN_BROKEN = "chain_broken"
    CHAIN_INCOMPLETE = "chain_incomplete"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    NAME_MISSING = "name_missing"
    BAD_NAME = "bad_name"
    BAD_THUMBPRINT = "bad_thumbprint"
    WEAK_KEY = "weak_key"
    SELF_SIGNED = "self_signed"
    NOT_FOR_SERVERS = "not_for_servers"
    SAME = "same"
    NOT_LATER = "not_later"
    WEAKER_KEY = "weaker_key"
    NOT_EXPORTABLE = "not_exportable"


class CertificateProblem(Exception):
    """A certificate cannot be used; ``code`` says why, ``message`` says it in words."""

    def __init__(self, code: ProblemCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[CertificateProblem], tuple[ProblemCode, str]]:
        """Exceptions cross process borders (pytest-xdist, pools) by their constructor's arguments."""
        return CertificateProblem, (self.code, self.message)
