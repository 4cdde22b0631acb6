"""Look at the whole Exchange side at once.

Rule of this room: one login is proven before the rest follow (the sessions' gate sees to it), one rejected login ends it, and
all that could not be read is told together. Connections are closed as each server is done: memory does not grow with the farm.
"""

from __future__ import annotations

from collections.abc import Sequence

from lbsync.exchange.facts import with_exchange
from lbsync.exchange.fanout import answers, fan_out
from lbsync.exchange.farm import FarmTarget
from lbsync.exchange.server import ServerTarget
from lbsync.facts import FarmFacts, ServerFacts
from lbsync.services import ALL_SERVICES


def observe_all(
    servers: Sequence[ServerTarget], farm: FarmTarget, *, parallel: int = 64
) -> tuple[tuple[ServerFacts, ...], FarmFacts]:
    """Facts of every server, in order, and of the farm; certificates completed by what Exchange says of them.

    ``parallel`` bounds the threads. Raises Denied, Unreachable or Rejected, telling all servers that could not be read.
    """

    def look(target: ServerTarget | FarmTarget) -> ServerFacts | FarmFacts:
        try:
            return target.observe(ALL_SERVICES)
        finally:
            target.release()

    # The directory first: its inner Exchange session takes longest.
    targets: list[ServerTarget | FarmTarget] = [farm, *servers]
    seen = answers(fan_out(targets, look, parallel=parallel))
    found = tuple(facts for facts in seen if isinstance(facts, ServerFacts))
    directory = next(facts for facts in seen if isinstance(facts, FarmFacts))
    return with_exchange(found, directory), directory
