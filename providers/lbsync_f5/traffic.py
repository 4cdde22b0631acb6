"""Where traffic goes: the policy that is live, servers in our pools as the device judges them, their connections.

Rule of this room: reads only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lbsync.errors import Rejected
from lbsync.kit.pools import pools_of
from lbsync.model import Mode
from lbsync.services import Service
from lbsync_f5 import things
from lbsync_f5.device import Device
from lbsync_f5.judge import server_of
from lbsync_f5.names import Names
from lbsync_f5.policy import live_names, modes_of
from lbsync_f5.project import policy_names, policy_rules
from lbsync_f5.session import Session
from lbsync_f5.wire import PoolMember, connections, full_path, pool_members


def pools(session: Session, device: Device) -> dict[str, tuple[PoolMember, ...]]:
    """Members by the pool's full path, of every pool of ours, closed ones too. Raises TargetError."""
    ours = {path for path, _ in _every(device)}
    found = session.collection(things.POOL, partition=device.settings.partition, expand=True)
    return {path: pool_members(pool) for pool in found if (path := full_path(pool)) in ours}


def _every(device: Device) -> list[tuple[str, Mode]]:
    """The path and mode of every pool that there may be, twins last."""
    return [
        (path, mode)
        for names in (device.names, device.names.turned)
        for service, mode in pools_of(device.spec.services)
        if names is device.names or mode is Mode.BRIDGE
        for path in [names.pool(service, mode)]
    ]


def all_members(session: Session, device: Device, server: str) -> list[tuple[str, PoolMember]]:
    """One server in every pool of ours, closed ones too: the pool and the member. Raises TargetError."""
    found = pools(session, device)
    return [
        (path, member)
        for path, mode in _every(device)
        for member in found.get(path, ())
        if server_of(device.spec, mode, member.address, member.port) == server
    ]


def members_of(session: Session, device: Device, server: str) -> list[tuple[str, PoolMember]]:
    """The same without the closed pools, where nobody is ever put back. Raises TargetError."""
    closed = names_live(device, session).closed
    return [(path, member) for path, member in all_members(session, device, server) if path not in closed]


def connections_of(session: Session, device: Device, server: str) -> int:
    """Connections to a server over all pools of ours, closed ones too. Raises TargetError."""
    total = 0
    for path, member in all_members(session, device, server):
        total += connections(session.members_stats(path)).get((member.address, member.port), 0)
    return total


def front(device: Device, session: Session) -> tuple[str, Mapping[str, Any], Mapping[str, Any] | None]:
    """The virtual server's path, what it is, and the policy of ours on it. Raises TargetError."""
    path = device.settings.attach or device.names.virtual
    item = session.get(things.VIRTUAL, path, expand=True)
    if item is None:
        raise Rejected(
            "the virtual server is not there", where=path, remedy="plan again: a publish is due", code="not_found"
        )
    ours = next((one for one in policy_names(item) if one.startswith(device.names.policy(""))), None)
    return path, item, session.get(things.POLICY, ours, expand=True) if ours is not None else None


def modes_now(device: Device, session: Session) -> dict[Service, Mode]:
    """The modes by the policy that is live, MRSProxy's by its own; none where there is none. Raises TargetError."""
    return _modes(device, _rules(device, session))


def names_live(device: Device, session: Session) -> Names:
    """The names of the pools that are live by it, twins or not; as they are at first where there is none. Raises TargetError."""
    return live_names(_rules(device, session), device.names)


def live_pools(device: Device, session: Session) -> dict[Service, tuple[str, Mode]]:
    """The pool that each service's requests are sent to, and its mode. Raises TargetError."""
    rules = _rules(device, session)
    names = live_names(rules, device.names)
    return {service: (names.pool(service, mode), mode) for service, mode in _modes(device, rules).items()}


def _rules(device: Device, session: Session) -> list[dict[str, Any]]:
    try:
        _, _, policy = front(device, session)
    except Rejected as error:
        if error.code != "not_found":
            raise
        return []
    return policy_rules(policy) if policy is not None else []


def _modes(device: Device, rules: list[dict[str, Any]]) -> dict[Service, Mode]:
    modes = modes_of(rules, device.names)
    return {Service.MRSPROXY: Mode.BRIDGE, **modes} if modes and Service.MRSPROXY in device.spec.services else modes
