"""One error root, so that a caller can catch what lbsync knows about and nothing else.

Rule of this room: an error says what happened, where, what state things are in now, and what to do. Callers branch on the
class or on ``code``, never on the text. No message ever carries a secret.
"""

from __future__ import annotations


class LbsyncError(Exception):
    """Something lbsync understands went wrong.

    ``message`` says what happened, ``where`` names the server, device, file or key, ``state`` says what things look like
    now, ``remedy`` says what to do. All four are plain text for an administrator.
    """

    def __init__(self, message: str, *, where: str = "", state: str = "", remedy: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.state = state
        self.remedy = remedy
        self.code = code

    def __str__(self) -> str:
        """One line a log can keep; the CLI prints the four parts on their own lines."""
        parts = [f"{self.where}: {self.message}" if self.where else self.message]
        if self.state:
            parts.append(f"State now: {self.state}")
        if self.remedy:
            parts.append(f"What to do: {self.remedy}")
        return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts)


class ConfigError(LbsyncError):
    """The configuration cannot be used; ``where`` is ``file:line: key``."""


class SecretError(ConfigError):
    """A secret reference cannot be resolved; names the reference, never the value."""


class CertificateError(LbsyncError):
    """A certificate, key, chain or PFX cannot be used; ``code`` names the reason (see lbsync_certs)."""


class PlanRefused(LbsyncError):
    """A plan is not made or not applied; nothing was changed."""


class UnsupportedMode(PlanRefused):
    """The balancer or the service cannot do what was asked."""


class UnsafeChange(PlanRefused):
    """A change that would break clients or a safety rule of Exchange; ``reasons`` lists each one."""

    def __init__(
        self, message: str, *, reasons: tuple[str, ...] = (), where: str = "", state: str = "", remedy: str = ""
    ) -> None:
        super().__init__(message, where=where, state=state, remedy=remedy)
        self.reasons = reasons


class StalePlan(PlanRefused):
    """The facts a plan was made from are no longer true."""


class TargetError(LbsyncError):
    """A server, directory or balancer did not do what was asked."""


class Unreachable(TargetError):
    """No answer; trying again later may help."""


class Denied(TargetError):
    """The credentials or rights were rejected. Never retried: accounts lock out."""


class Rejected(TargetError):
    """The product understood and said no; ``code`` is the product's own error id."""


class VerifyFailed(LbsyncError):
    """Something was done and its check never came true within the deadline."""


class ForeignChange(LbsyncError):
    """Somebody else changed what a rollback would restore; the rollback stopped before touching it."""


class RollbackIncomplete(LbsyncError):
    """The way back could not be finished; ``state`` lists what is left, ``remedy`` how to finish by hand."""


class LedgerError(LbsyncError):
    """The ledger cannot be opened, is locked by another run, or does not verify."""


class Interrupted(LbsyncError):
    """The operator stopped a run between two steps."""
