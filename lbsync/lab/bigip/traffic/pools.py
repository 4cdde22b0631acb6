"""Pools and their members: who may be given a new connection, and whose turn it is.

Rule of this room: counters and health belong to a member of one pool and outlive a new configuration that keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lbsync.lab.bigip.plane import Body, Config, MemberState
from lbsync.lab.bigip.traffic.objects import Misconfigured, bodies, full_path, number, split_endpoint, text

_LEAST = frozenset({"least-connections-member", "least-connections-node"})

Health = Callable[["Member"], str]
"""Tells a member's monitor state: up, down, checking or unchecked."""


@dataclass(slots=True, eq=False)
class Member:
    """One member of one pool. ``monitor`` is its rule, its pool's where it has none of its own."""

    pool: str
    path: str
    address: str
    port: int
    enabled: bool = True
    monitor: str = ""
    current: int = 0
    total: int = 0


@dataclass(slots=True, eq=False)
class Pool:
    """One pool; ``tries``: members asked after one did not answer."""

    members: list[Member] = field(default_factory=list[Member])
    least: bool = False
    tries: int = 0
    turn: int = 0

    def choose(self, health: Health, *, but: frozenset[Member] = frozenset()) -> Member | None:
        """Whose turn it is; ``None`` when nobody is available."""
        count = len(self.members)
        order = [self.members[(self.turn + step) % count] for step in range(count)]
        able = [each for each in order if each.enabled and each not in but and health(each) in {"up", "unchecked"}]
        if not able:
            return None
        chosen = min(able, key=lambda each: each.current) if self.least else able[0]
        self.turn = self.members.index(chosen) + 1
        return chosen


class Pools:
    """All pools of the running configuration."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}

    def get(self, path: str) -> Pool | None:
        """A pool by full path."""
        return self._pools.get(path)

    def members(self) -> Iterator[Member]:
        """Every member of every pool."""
        for pool in self._pools.values():
            yield from pool.members

    def states(self, health: Health) -> dict[tuple[str, str], MemberState]:
        """What the control plane asks for."""
        return {(each.pool, each.path): MemberState(health(each), each.current, each.total) for each in self.members()}

    def apply(self, config: Config) -> list[str]:
        """Run these pools; what cannot be read is left out and told."""
        known = {(each.pool, each.path): each for each in self.members()}
        pools: dict[str, Pool] = {}
        faults: list[str] = []
        for path, body in config.of("ltm/pool").items():
            before = self._pools.get(path)
            pool = pools[path] = Pool(turn=before.turn if before else 0)
            pool.least = text(body, "loadBalancingMode") in _LEAST
            pool.tries = number(body, "reselectTries", 0)
            for entry in bodies(body, "members"):
                try:
                    fresh = _member(config, path, body, entry)
                except Misconfigured as problem:
                    faults.append(f"{path}: {problem}")
                    continue
                member = known.get((path, fresh.path))
                if member is None or (member.address, member.port) != (fresh.address, fresh.port):
                    member = fresh
                member.enabled, member.monitor = fresh.enabled, fresh.monitor
                pool.members.append(member)
        self._pools = pools
        return faults


def _member(config: Config, pool: str, body: Body, entry: Body) -> Member:
    path = full_path(entry)
    host, port = split_endpoint(path)
    nodes = config.of("ltm/node")
    node = nodes.get(f"{path.rpartition('/')[0]}/{host}", {})
    address = text(entry, "address") or text(node, "address") or host
    if not node:
        node = next((each for each in nodes.values() if text(each, "address") == address), {})
    own = text(entry, "monitor")
    return Member(
        pool,
        path,
        address.partition("%")[0],
        port,
        not any(
            text(each, "session") == "user-disabled" or text(each, "state") == "user-down" for each in (entry, node)
        ),
        " ".join((own if own not in {"", "default"} else text(body, "monitor")).split()),
    )
