"""``lbsync advise --cost``: the advice, and what the second TLS leg costs, measured now.

Rule of this file: one balancer after the other, so that no measurement disturbs another; who does not answer is told, and the
rest is measured all the same. It changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lbsync.cli.exits import ExitCode, code_of
from lbsync.errors import LbsyncError, TargetError

if TYPE_CHECKING:
    from lbsync.advice import Advice
    from lbsync.cli.command import Session
    from lbsync.cli.house import House, Look
    from lbsync.costs import BalancerCost


def tell_costs(screen: Session, house: House) -> ExitCode:
    """Judge, measure, show both; returns what to end with, as ``lbsync advise`` does.

    Where something did not answer, nothing is judged; what can be measured is, and the error is told after it.
    """
    from lbsync.advise import advise
    from lbsync.cli.adviceview import advice_view
    from lbsync.cli.command import parts_of, tell
    from lbsync.cli.costview import cost_view

    seen = house.see()
    look: Look | None = None
    advice: Advice | None = None
    error: TargetError | None = None
    try:
        look = house.judged(seen)
    except TargetError as unseen:
        error = unseen
    if look is not None:
        advice = advise(look.desired, look.facts, house.capabilities, look.now)
        screen.result(*advice_view(advice), "")
    costs = _measure(screen, house, look)
    screen.result(*cost_view(costs))
    told = {"cost": [cost.model_dump(mode="json") for cost in costs]}
    if error is not None:
        screen.document({"error": parts_of(error), **told})
        if not screen.as_json:
            tell(screen, error)
        return code_of(error)
    screen.document({**(advice.model_dump(mode="json") if advice is not None else {}), **told})
    return ExitCode.ATTENTION if advice is not None and advice.refusals else ExitCode.OK


def _measure(screen: Session, house: House, look: Look | None) -> list[BalancerCost]:
    """Of each balancer in the configuration's order."""
    from lbsync.cli.wiring import spec_of
    from lbsync.costs import speed_name
    from lbsync.kit.costing import measure_from_here
    from lbsync.target import Measurable

    leaf = look.desired.leaf if look is not None else None
    published = speed_name(leaf.key_algorithm, leaf.key_bits) if leaf is not None else None
    timeout_s = house.config.limits.connect_timeout_s
    costs: list[BalancerCost] = []
    for name, balancer in house.balancers.items():
        with screen.busy(f"measuring for {name}: handshakes, then some seconds of openssl speed"):
            try:
                if isinstance(balancer, Measurable):
                    costs.append(balancer.cost(published, timeout_s))
                    continue
                spec = spec_of(house.loaded, name)
                costs.append(measure_from_here(name, spec.members, spec.server_ca_pem, timeout_s))
            except TargetError as gone:
                costs.append(_silent(name, gone))
    return costs


def _silent(name: str, gone: LbsyncError) -> BalancerCost:
    from lbsync.costs import BalancerCost, Unknown

    nothing = (Unknown(id="all", subject=name, why=f"{gone.where}: {gone.message}" if gone.where else gone.message),)
    return BalancerCost(
        balancer=name, place="nowhere: its host did not answer", at=datetime.now(UTC), legs=nothing, cpu=(), load=()
    )
