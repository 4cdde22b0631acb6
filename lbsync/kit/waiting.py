"""Waiting for what no balancer announces: a reload that is through, a pool that is up.

Rule of this room: it asks and never judges; what to do when the time is over is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lbsync.errors import Unreachable


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
