"""Waiting for what no balancer announces: a reload that is through, a pool that is up.

Rule of this room: it asks and never judges; what to do when the time is over is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from pydantic import JsonValue

from lbsync.errors import Unreachable
from lbsync.kit.answers import seconds
from lbsync.model import Receipt


def wait_for(question: Callable[[], bool], timeout_s: float, every_s: float = 0.1) -> bool:
    """Ask until true or the time is over, at least once. Unreachable counts as not yet; any other error is raised on."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if question():
                return True
        except Unreachable:
            pass  # sockets and listeners change hands during a reload
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)


def then_cut(
    receipt: Receipt, servers: Iterable[str], cut_after_s: JsonValue, cut: Callable[[str, float], Receipt]
) -> Receipt:
    """After an effect that leaves servers to end by themselves: give all of them together so long, then ``cut`` each.

    Returns the receipt of what happened last; the effect's own where ``cut_after_s`` is ``None``.
    """
    if cut_after_s is None:
        return receipt
    ends = time.monotonic() + seconds(cut_after_s)
    for server in servers:
        receipt = cut(server, max(0.0, ends - time.monotonic()))
    return receipt
