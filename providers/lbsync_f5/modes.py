"""Change the modes of services while traffic flows: another policy on the virtual server, in one change of it.

Rule of this room: a policy is made before it is used and removed after; at every moment the virtual server has exactly one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lbsync.errors import Rejected
from lbsync.kit.waiting import wait_for
from lbsync.model import Mode, Receipt
from lbsync.services import Service
from lbsync_f5 import things
from lbsync_f5.device import Device
from lbsync_f5.effects import suppress_in_use
from lbsync_f5.judge import policy_for
from lbsync_f5.names import Names
from lbsync_f5.policy import live_names, modes_of
from lbsync_f5.project import policy_names, policy_rules, profile_names
from lbsync_f5.session import Session
from lbsync_f5.traffic import front, pools
from lbsync_f5.wire import full_path

_CHECK_ROUNDS = 3
"""Health checks a pool is given to come up."""


def switch_modes(device: Device, services: tuple[Service, ...], mode: Mode) -> Receipt:
    """Route services to their pools of ``mode``. Raises Rejected where such a pool is down, TargetError."""
    with device.changing() as session:
        path, item, old = front(device, session)
        modes = modes_of(policy_rules(old), device.names) if old else {}
        if not modes:
            raise Rejected(
                "no policy of ours is on the virtual server",
                where=path,
                remedy="plan again: a publish is due",
                code="no_policy",
            )
        names = live_names(policy_rules(old), device.names) if old else device.names
        _refuse_dead_pools(device, session, names, {one: (modes.get(one, mode), mode) for one in services})
        new = policy_for(names, there_for_policy(device, session, item), {**modes, **dict.fromkeys(services, mode)})
        before = full_path(old) if old else ""
        if new.path != before:
            if session.get(things.POLICY, new.path) is None:
                session.publish_policy(new.path, new.body)
            others = [one for one in policy_names(item) if one != before]
            session.modify(things.VIRTUAL, path, {"policies": [{"name": one} for one in (*others, new.path)]})
            with suppress_in_use():  # somebody else's virtual server has it: it stays, for them
                session.delete(things.POLICY, before)
    told = ", ".join(services)
    return Receipt(summary=f"{told}: the {mode} pools, by policy {new.path}", details={"policy": new.path})


def there_for_policy(device: Device, session: Session, virtual: Mapping[str, Any]) -> Iterable[str]:
    """The paths of our objects by which a policy is chosen: pools, OneConnect, MRSProxy's own virtual server."""
    names = device.names
    every = session.collection(things.POOL, partition=names.partition)
    own = [path for pool in every if (path := full_path(pool)).startswith(names.prefix)]
    apart = [names.mrsproxy] if session.get(things.VIRTUAL, names.mrsproxy) is not None else []
    return [*own, *apart, *(str(one["name"]) for one in profile_names(virtual) if isinstance(one, dict))]


def _refuse_dead_pools(
    device: Device, session: Session, names: Names, modes: Mapping[Service, tuple[Mode, Mode]]
) -> None:
    """A pool that is down is no place to go, unless the present one is down, too."""

    def dead() -> list[str]:
        found = pools(session, device)
        up = {path for path, members in found.items() if any(one.up and not one.draining for one in members)}
        return [
            wanted
            for service, (now, then) in modes.items()
            if (wanted := names.pool(service, then)) not in up and names.pool(service, now) in up
        ]

    if not wait_for(lambda: not dead(), _CHECK_ROUNDS * float(device.settings.monitor_interval_s)):
        left = dead()
        if left:
            raise Rejected(
                f"no server is up in {', '.join(left)}",
                where=device.spec.name,
                state="every service goes where it went before",
                remedy="see why the health checks fail (403 on port 80: Require SSL is still on)",
                code="pool_down",
            )
