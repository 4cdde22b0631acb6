"""Statistics of pools, members and virtual servers, and their states, from what the data plane sees.

Rule of this room: numbers come from the data plane alone; names and shapes are those that F5's own clients read
(``nestedStats``, ``serverside.curConns``, ``status.availabilityState``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lbsync.lab.bigip.names import HOST, Json, kind_of, tilde
from lbsync.lab.bigip.plane import Body, DataPlane, MemberState
from lbsync.lab.bigip.resolve import absent
from lbsync.lab.bigip.shapes import in_route_domain, node_of, split_port
from lbsync.lab.bigip.store import Configuration

_UNSEEN = MemberState("unchecked", 0, 0)
_DISABLED = ("user-disabled", "addr-disabled")
_AVAILABLE = {"up": "available", "down": "offline", "checking": "unknown", "unchecked": "unknown"}


class Stats:
    """Reads the data plane for one device; a standby sees the same members up or down, and has no connections."""

    def __init__(self, plane: DataPlane, version: str, carries: Callable[[], bool]) -> None:
        """``carries`` says whether the data plane follows this device."""
        self._plane = plane
        self._carries = carries
        self._version = version

    def live(self, configuration: Configuration, collection: str, parent: str, body: Body) -> Json:
        """Session, state and address of a pool member or node as a GET shows them."""
        if collection == "ltm/node":
            return _shown(body, "unchecked") | _address(configuration, body)
        if collection == "ltm/pool/members":
            shown = _below(_node(configuration, body), _shown(body, self._state(parent, body).monitor))
            return shown | _address(configuration, body)
        return {}

    def _state(self, pool: str, member: Body) -> MemberState:
        seen = self._plane.members().get((pool, str(member["fullPath"])), _UNSEEN)
        return seen if self._carries() else MemberState(seen.monitor, 0, 0)

    def member(self, configuration: Configuration, pool: str, body: Body) -> Json:
        """The entries of one member."""
        seen = self._state(pool, body)
        shown = _below(_node(configuration, body), _shown(body, seen.monitor))
        off = shown["session"] in _DISABLED
        enabled = not off and shown["state"] != "user-down"
        availability = "offline" if shown["state"] == "user-down" else _AVAILABLE[seen.monitor]
        path = str(body["fullPath"])
        return {
            "addr": {"description": _address(configuration, body)["address"]},
            "curSessions": {"value": seen.current},
            "monitorStatus": {"description": "forced-down" if shown["state"] == "user-down" else seen.monitor},
            "nodeName": {"description": node_of(path)},
            "poolName": {"description": pool},
            "port": {"value": split_port(path.rsplit("/", 1)[1])[1]},
            "sessionStatus": {"description": shown["session"] if off else "enabled"},
            "totRequests": {"value": 0},
            **_traffic("serverside", seen.current, seen.total),
            **_status(availability, enabled, f"Pool member {availability}"),
        }

    def pool(self, body: Body) -> Json:
        """The entries of one pool: sums over its members."""
        path = str(body["fullPath"])
        seen = [self._state(path, member) for member in body.get("members", ())]
        up = [one for one in seen if one.monitor == "up"]
        states = {one.monitor for one in seen}
        found = "available" if up else "offline" if states == {"down"} else "unknown"
        return {
            "activeMemberCnt": {"value": len(up)},
            "availableMemberCnt": {"value": len(up)},
            "curSessions": {"value": sum(one.current for one in seen)},
            "memberCnt": {"value": len(seen)},
            "minActiveMembers": {"value": int(body.get("minActiveMembers", 0))},
            "monitorRule": {"description": str(body.get("monitor", "none"))},
            "tmName": {"description": path},
            "totRequests": {"value": 0},
            **_traffic("serverside", sum(one.current for one in seen), sum(one.total for one in seen)),
            **_status(found, True, f"The pool is {found}"),
        }

    def virtual(self, configuration: Configuration, body: Body) -> Json:
        """The entries of one virtual server: clients, and the state of its pool."""
        path = str(body["fullPath"])
        current, total = self._plane.virtual_connections(path) if self._carries() else (0, 0)
        pool = configuration.of("ltm/pool").get(str(body.get("pool", "")))
        found = str(self.pool(pool)["status.availabilityState"]["description"]) if pool is not None else "unknown"
        return {
            "destination": {"description": str(body["destination"]).rsplit("/", 1)[1]},
            "tmName": {"description": path},
            "totRequests": {"value": 0},
            **_traffic("clientside", current, total),
            **_status(found, not body.get("disabled"), f"The virtual server is {found}"),
        }

    def one(self, path: str, name: str, entries: Json) -> Json:
        """The answer for one object: its entry lies below its own name, as F5's BigStats reads it."""
        at = f"{HOST}/{path}/{tilde(name)}"
        kind = kind_of(path, "stats")
        inner = {
            "nestedStats": {
                "kind": kind,
                "selfLink": f"{at}/{tilde(name)}/stats?ver={self._version}",
                "entries": entries,
            }
        }
        return {"kind": kind, "generation": 1, "selfLink": f"{at}/stats?ver={self._version}",
                "entries": {f"{at}/{tilde(name)}/stats": inner}}  # fmt: skip

    def many(self, kind: str, at: str, entries: Mapping[str, Json]) -> Json:
        """The answer for a collection: one entry for each object, below its link."""
        inner = {
            f"{HOST}/{at}/{tilde(name)}/stats": {
                "nestedStats": {
                    "kind": kind_of(kind, "stats"),
                    "selfLink": f"{HOST}/{at}/{tilde(name)}/stats?ver={self._version}",
                    "entries": one,
                }
            }
            for name, one in entries.items()
        }
        return {
            "kind": kind_of(kind, "collectionstats"),
            "selfLink": f"{HOST}/{at}/stats?ver={self._version}",
            "entries": inner,
        }


def _node(configuration: Configuration, member: Body) -> Body:
    return configuration.of("ltm/node").get(node_of(str(member["fullPath"])), {})


def _address(configuration: Configuration, body: Body) -> Json:
    partition = configuration.of("auth/partition").get(str(body["partition"]), {})
    return {"address": in_route_domain(str(body["address"]), partition.get("defaultRouteDomain", 0))}


def _below(node: Body, shown: Json) -> Json:
    """What its node makes of a member; a member's own ``user-disabled`` is shown before it (assumption ``node-above``)."""
    if node.get("state") == "user-down":
        shown = {**shown, "state": "user-down"}
    elif node.get("session") != "user-disabled":
        return shown
    return shown if shown["session"] == "user-disabled" else {**shown, "session": "addr-disabled"}


def _shown(body: Body, monitor: str) -> Json:
    disabled = body.get("session") == "user-disabled"
    if body.get("state") == "user-down":
        return {"session": "user-disabled" if disabled else "user-enabled", "state": "user-down"}
    monitored = monitor != "unchecked" or absent(body.get("monitor", "none"))
    session = "monitor-enabled" if monitored and monitor != "unchecked" else "user-enabled"
    return {"session": "user-disabled" if disabled else session, "state": monitor}


def _traffic(side: str, current: int, total: int) -> Json:
    numbers = {
        "bitsIn": 0,
        "bitsOut": 0,
        "curConns": current,
        "maxConns": current,
        "pktsIn": 0,
        "pktsOut": 0,
        "totConns": total,
    }
    return {f"{side}.{name}": {"value": value} for name, value in numbers.items()}


def _status(availability: str, enabled: bool, reason: str) -> Json:
    return {
        "status.availabilityState": {"description": availability},
        "status.enabledState": {"description": "enabled" if enabled else "disabled"},
        "status.statusReason": {"description": reason},
    }
