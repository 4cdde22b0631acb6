"""Whether to rotate now, and when to look again.

Rule of this room: pure. It rotates only where a person allowed it, to the only certificate that fits, inside a window, and not
again before a failure's time is up; whatever it waits for is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lbsync.model import Value
from lbsync.watch.items import Sight
from lbsync.watch.memory import Memory
from lbsync.watch.windows import Window, opens
from lbsync_certs import CertificateInfo


class Outlook(Value):
    """``leaf`` is the certificate to rotate to, ``at`` the moment from which that may be, and ``why`` a line for a person.

    Without ``leaf`` there is nothing to wait for.
    """

    leaf: CertificateInfo | None = None
    at: datetime | None = None
    why: str

    def due(self, now: datetime) -> bool:
        """Whether to rotate at ``now`` (aware)."""
        return self.leaf is not None and self.at is not None and self.at <= now


def outlook(sight: Sight, memory: Memory, windows: Sequence[Window], now: datetime, *, allowed: bool) -> Outlook:
    """What comes next at ``now`` (aware). ``allowed``: lbsync may rotate by itself."""
    match sight.fit:
        case []:
            return Outlook(why="no renewed certificate is there")
        case [leaf]:
            pass
        case several:
            return Outlook(why=f"{len(several)} certificates could follow, and nobody guesses")
    hindrance = _hindrance(sight, allowed=allowed)
    if hindrance:
        return Outlook(why=hindrance)
    failure = memory.of(leaf.fingerprint)
    before = sight.taken_back.get(leaf.fingerprint)
    if before is not None and (failure is None or failure.run != before):
        return Outlook(why=f"run {before} went to it and was taken back: lbsync rotate, when a person is sure of it")
    rested = max(now, failure.next_try) if failure else now
    at = opens(windows, rested)
    return Outlook(leaf=leaf, at=at, why=_why(now, rested, at))


def _hindrance(sight: Sight, *, allowed: bool) -> str:
    if not allowed:
        return "it rotates when somebody runs lbsync rotate ([watch] rotate = true does it by itself)"
    if sight.hindrance is not None:
        return "nothing begins while another run stands half-way, or is under way"
    if sight.unseen:
        return "nothing begins while somebody does not answer"
    if not all(seen.published for seen in sight.facts.balancers):
        return "nothing begins while a balancer publishes nothing"
    return ""


def _why(now: datetime, rested: datetime, at: datetime) -> str:
    if at > rested:
        return "its maintenance window opens then"
    return "it failed before and is tried again then" if rested > now else "nothing speaks against it"
