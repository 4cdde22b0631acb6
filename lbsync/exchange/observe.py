"""Look at the whole Exchange side at once.

Rule of this room: one login is proven before the rest follow (the sessions' gate sees to it), one rejected login ends it, and
what could not be read is told beside what could. Connections are closed as each server is done: memory does not grow with
the farm.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lbsync.errors import Denied, TargetError
from lbsync.exchange.facts import with_exchange
from lbsync.exchange.fanout import fan_out
from lbsync.exchange.farm import FarmTarget
from lbsync.exchange.server import ServerTarget
from lbsync.facts import FarmFacts, ServerFacts
from lbsync.services import ALL_SERVICES


@dataclass(frozen=True, slots=True)
class Observed:
    """Servers that answered, in order, their certificates completed by what Exchange says of them; the directory; errors."""

    servers: tuple[ServerFacts, ...]
    farm: FarmFacts
    errors: tuple[TargetError, ...]
    calls: Mapping[str, float] = field(default_factory=dict[str, float])
    """By target: how long it took, in seconds."""


def observe_all(servers: Sequence[ServerTarget], farm: FarmTarget, *, parallel: int = 64) -> Observed:
    """Ask every server and the directory on at most ``parallel`` threads. Raises Denied."""
    # The directory first: its inner Exchange session takes longest.
    targets: list[ServerTarget | FarmTarget] = [farm, *servers]
    calls: dict[str, float] = {}
    outcomes = fan_out(targets, lambda target: _timed(target, calls), parallel=parallel)
    errors = tuple(outcome.error for outcome in outcomes if outcome.error is not None)
    for error in errors:
        if isinstance(error, Denied):
            raise error
    seen = [outcome.answer for outcome in outcomes]
    found = tuple(facts for facts in seen if isinstance(facts, ServerFacts))
    directory = next((facts for facts in seen if isinstance(facts, FarmFacts)), FarmFacts(read=False))
    return Observed(with_exchange(found, directory), directory, errors, calls)


def _timed(target: ServerTarget | FarmTarget, calls: dict[str, float]) -> ServerFacts | FarmFacts:
    began = time.monotonic()
    try:
        return _look(target)
    finally:
        calls[target.name] = round(time.monotonic() - began, 3)


def _look(target: ServerTarget | FarmTarget) -> ServerFacts | FarmFacts:
    try:
        return target.observe(ALL_SERVICES)
    finally:
        target.release()
