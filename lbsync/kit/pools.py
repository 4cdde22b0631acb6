"""Which pools of servers stand ready on a balancer that routes by path.

Rule of this room: pure; what a pool is called and made of is the product's.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.model import Mode
from lbsync.services import SERVICES, Service


def pools_of(services: Iterable[Service]) -> tuple[tuple[Service, Mode], ...]:
    """Every pool, in table order; MRSProxy has no plain one."""
    wanted = frozenset(services)
    return tuple(
        (service, mode)
        for service, spec in SERVICES.items()
        if service in wanted
        for mode in (Mode.OFFLOAD, Mode.BRIDGE)
        if spec.offloadable or mode is Mode.BRIDGE
    )
