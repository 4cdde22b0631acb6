"""What a watch remembers from one look to the next: rotations that failed, how often, and when each is tried again.

Rule of this room: pure values; the command keeps them on a disk. A failure is forgotten only once the certificate it was about
is served, or one that ends later is.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from lbsync.model import Value
from lbsync_certs import CertificateInfo, Fingerprint

_MOST_DOUBLINGS = 32


class BackOff(Value):
    """How long to wait after a failure: ``first_s`` seconds, twice as long after each further one, at most ``most_s``."""

    first_s: float
    most_s: float

    def delay(self, failures: int) -> timedelta:
        """The wait after so many failures in a row (at least one)."""
        return timedelta(seconds=min(self.first_s * 2 ** min(failures - 1, _MOST_DOUBLINGS), self.most_s))


class Failure(Value):
    """A certificate that could not be rotated to. ``run`` is the last run that was begun for it, ``None`` where none was."""

    leaf: CertificateInfo
    count: int
    first: datetime
    last: datetime
    next_try: datetime
    reason: str
    run: str | None = None


class Memory(Value):
    """All of it, by the certificate's fingerprint."""

    version: Literal[1] = 1
    failures: dict[Fingerprint, Failure] = Field(default_factory=dict)

    def of(self, leaf: Fingerprint) -> Failure | None:
        """What is remembered of rotations to this certificate."""
        return self.failures.get(leaf)

    def failed(self, leaf: CertificateInfo, reason: str, at: datetime, back_off: BackOff, *, run: str | None) -> Memory:
        """With one more failure at ``at`` (aware)."""
        before = self.of(leaf.fingerprint)
        count = before.count + 1 if before else 1
        failure = Failure(
            leaf=leaf,
            count=count,
            first=before.first if before else at,
            last=at,
            next_try=at + back_off.delay(count),
            reason=reason,
            run=run or (before.run if before else None),
        )
        return Memory(failures={**self.failures, leaf.fingerprint: failure})

    def served(self, leaf: CertificateInfo) -> Memory:
        """Without failures that are over, now that ``leaf`` is served everywhere."""
        kept = {
            key: failure
            for key, failure in self.failures.items()
            if key != leaf.fingerprint and failure.leaf.not_after > leaf.not_after
        }
        return Memory(failures=kept)
