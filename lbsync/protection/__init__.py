"""What must hold before Microsoft's script may turn Extended Protection on, demand by demand.

Rule of this room: pure. A demand says what was seen, by whom, and what to do; what nobody read is said to be unknown, never
taken for granted. How a farm gets there is a plan like any other (``plan``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from lbsync.desired import Desired, FactSet
from lbsync.model import Mode
from lbsync.protection import balancers, organisation, servers
from lbsync.protection.demand import Demand
from lbsync.services import Service
from lbsync.target import Capabilities

__all__ = ["Demand", "demands", "ready", "wish"]


def wish(desired: Desired) -> Desired:
    """The same farm, wanted as Extended Protection demands it: all bridged, SSLOffloading off whatever was found before."""
    modes = dict.fromkeys(Service, Mode.BRIDGE)
    return desired.model_copy(update={"modes": modes, "for_extended_protection": True})


def demands(
    desired: Desired, facts: FactSet, capabilities: Mapping[str, Capabilities], now: datetime
) -> tuple[Demand, ...]:
    """Every demand, judged; first those that lbsync can meet. ``capabilities`` is by balancer name, ``now`` aware."""
    return (
        balancers.bridging(facts),
        servers.certificate(desired, facts),
        servers.outlook_anywhere(facts),
        servers.require_ssl(facts),
        balancers.logon(desired, facts, capabilities, now),
        servers.builds(facts),
        servers.not_suppressed(facts),
        balancers.rotation(facts, capabilities),
        *organisation.demands(facts),
    )


def ready(judged: Sequence[Demand]) -> bool:
    """True when the script may be run: nothing that decides it is unmet or unknown."""
    return all(demand.state == "met" for demand in judged if demand.decides)
