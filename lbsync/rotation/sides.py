"""Two halves of a farm: who changes first, and who serves meanwhile.

Rule of this room: pure. A server that does not hold the leaf of before fits nobody's connection until the switch: it is in the
first half, whoever put another one there.
"""

from __future__ import annotations

from collections.abc import Sequence

from lbsync.facts import ServerFacts
from lbsync.model import Value
from lbsync_certs import Fingerprint


class Sides(Value):
    """``fresh`` are drained first and take all that is new from the moment on; ``old`` serve alone until then, under ``leaf``."""

    leaf: Fingerprint
    fresh: tuple[ServerFacts, ...]
    old: tuple[ServerFacts, ...]


def halves(servers: Sequence[ServerFacts], before: Fingerprint) -> Sides | None:
    """The two halves, the first the larger one; ``None`` where one would be empty.

    The larger half serves alone for the longer time: until the connections of the other one have ended.
    """
    held = [server for server in servers if _serves(server) != before]
    rest = [server for server in servers if _serves(server) == before]
    first = max(0, (len(servers) + 1) // 2 - len(held))
    fresh, old = (*held, *rest[:first]), tuple(rest[first:])
    if not (fresh and old):
        return None
    return Sides(leaf=before, fresh=fresh, old=old)


def _serves(server: ServerFacts) -> Fingerprint | None:
    leaf = server.front_end_leaf
    return leaf.info.fingerprint if leaf else None
