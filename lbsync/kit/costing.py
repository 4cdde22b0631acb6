"""What the second TLS leg costs on one host: the parts put together.

Rule of this room: a host that does not answer is an error, told once; anything less is an entry. What the balancer itself
reports is its provider's to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from lbsync.costs import OPENED, BalancerCost, Entry, Unknown, core_share
from lbsync.errors import TargetError
from lbsync.kit.crypto_speed import measure_speed
from lbsync.kit.host import Host
from lbsync.kit.host_local import LocalHost
from lbsync.kit.leg_cost import measure_legs
from lbsync.target import BalancerSpec, Member

NO_DEVICE = (
    "lbsync can run nothing on this kind of balancer: whether its TLS hardware or its CPU does the work is not seen"
)


def measure_on(
    host: Host, spec: BalancerSpec, published: str | None, timeout_s: float, load: Callable[[], Sequence[Entry]]
) -> BalancerCost:
    """Everything, on the balancer's own host; ``load`` reads what it reports. Raises TargetError where the host is silent."""
    host.stat("/")  # a host that does not answer is told once, not for each number
    at = datetime.now(UTC)
    try:
        now = tuple(load())  # first: our own handshakes and computing would show in it
    except TargetError as error:
        now = (Unknown(id=OPENED, subject=spec.name, why=error.message),)
    legs = measure_legs(host, spec.members, spec.server_ca_pem, timeout_s)
    cpu = measure_speed(host, published, legs.keys)
    opened = next(entry for entry in now if entry.id == OPENED)
    return BalancerCost(
        balancer=spec.name,
        place="this host, where lbsync and the balancer run" if isinstance(host, LocalHost) else host.name,
        at=at,
        legs=legs.entries,
        cpu=cpu,
        load=(*now, core_share(cpu, opened, ", ".join(legs.keys) or "servers")),
    )


def measure_from_here(balancer: str, members: Sequence[Member], server_ca_pem: str, timeout_s: float) -> BalancerCost:
    """The times alone, from the host lbsync runs on: for a balancer on which nothing can be measured."""
    at = datetime.now(UTC)
    return BalancerCost(
        balancer=balancer,
        place="this host, where lbsync runs: not the balancer",
        at=at,
        legs=measure_legs(LocalHost(), members, server_ca_pem, timeout_s).entries,
        cpu=(Unknown(id="cpu", subject=balancer, why=NO_DEVICE),),
        load=(Unknown(id=OPENED, subject=balancer, why="lbsync reads no such statistics of this kind of balancer"),),
    )
