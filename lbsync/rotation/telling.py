"""What a rotation means for clients, told in the plan before anybody agrees to it.

Rule of this room: pure; sentences for an administrator.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.desired import Limits
from lbsync.facts import BalancerFacts, ServerFacts
from lbsync.rotation.sides import Sides

AT_ONCE = (
    "All at once: until every balancer and every server has the new certificate, requests may fail for some seconds, and under "
    "Extended Protection clients that log on meanwhile are asked for a password. Connections that are open then must be opened "
    "again."
)


def moments(sides: Sides, balancers: Iterable[BalancerFacts], limits: Limits) -> list[str]:
    """Who serves when, what happens to open connections, and who has to sign in again."""
    fresh, old = _named(sides.fresh), _named(sides.old)
    names = {server.server for server in sides.old}
    open_now = sum(m.sessions for seen in balancers for m in seen.live.members if m.server in names)
    wait = f"{limits.drain_timeout_s:g} s"
    left = (
        "what is left then is cut, and connects again"
        if limits.on_drain_timeout == "cut"
        else "else all goes back, which then waits in the same way for those who came meanwhile"
    )
    who = (
        f"Extended Protection: first {old} serve alone while {fresh} change, then, from one moment on, {fresh} alone take what "
        f"is new while {old} change. Each half must carry everybody."
    )
    connected = (
        f"Connections opened before that moment stay with {old} until they end, at each for at most {wait}; {left}. There "
        f"are {open_now} now. Clients see no error: those whose connection ended log on again with what they have."
    )
    return [who, connected]


def _named(servers: Iterable[ServerFacts]) -> str:
    return ", ".join(server.server for server in servers)
