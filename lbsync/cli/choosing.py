"""What is chosen for one plan: modes (``--mode``) over those of the configuration, servers (``--only``) instead of all.

Rule of this file: the configuration stays as it is, so whoever applies such a plan is told that the next one goes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbsync.cli.house import House, Look
    from lbsync.cli.planfile import Saved
    from lbsync.model import Mode, Plan
    from lbsync.services import Service


def with_chosen(look: Look, chosen: Mapping[Service, Mode], only: Sequence[str] = ()) -> Look:
    """The same look, with these modes wanted, for these servers; none: all."""
    wanted = {"modes": look.desired.modes | dict(chosen), "only": tuple(only)}
    return replace(look, desired=look.desired.model_copy(update=wanted))


def planned(house: House, look: Look, chosen: Mapping[Service, Mode], only: Sequence[str] = ()) -> Plan:
    """The plan with these modes wanted for these servers, and a note of the modes where the configuration has others.

    Raises UnsafeChange, UnsupportedMode.
    """
    from lbsync.config.chosen import listed

    plan = house.plan(with_chosen(look, chosen, only))
    other = _other(house, chosen)
    if not other:
        return plan
    note = f"chosen for this plan: {listed(other)}; the configuration says {listed(_configured(house, other))}"
    return plan.model_copy(update={"notes": (note, *plan.notes)})


def modes_of(saved: Saved, chosen: Mapping[Service, Mode], where: str) -> Mapping[Service, Mode]:
    """The modes a saved plan was made with: its own. Raises PlanRefused where the command line chooses others."""
    from lbsync.errors import PlanRefused

    if chosen and dict(chosen) != dict(saved.modes):
        words = " ".join(f"--mode {service.value}={mode.value}" for service, mode in saved.modes.items())
        raise PlanRefused(
            f"this plan was made with {words or 'no --mode'}, and now other modes were asked for",
            where=where,
            state="nothing was changed",
            remedy="leave --mode out: the plan carries its own; or make a new one: lbsync plan --mode SERVICE=MODE --out FILE",
        )
    return saved.modes


def servers_of(saved: Saved, only: Sequence[str], where: str) -> tuple[str, ...]:
    """The servers a saved plan takes: its own. Raises PlanRefused where the command line names others."""
    from lbsync.errors import PlanRefused

    if only and tuple(only) != saved.only:
        words = f"--only {','.join(saved.only)}" if saved.only else "no --only"
        raise PlanRefused(
            f"this plan was made with {words}, and now other servers were asked for",
            where=where,
            state="nothing was changed",
            remedy="leave --only out: the plan carries its own; or make a new one: lbsync plan --only SERVER --out FILE",
        )
    return saved.only


def goes_back(house: House, chosen: Mapping[Service, Mode]) -> str:
    """What to tell after such a plan was applied; empty where the configuration says the same."""
    from lbsync.config.chosen import listed

    other = _other(house, chosen)
    if not other:
        return ""
    return (
        f"the configuration still says {listed(_configured(house, other))}: the next lbsync apply without --mode goes back to "
        f"that. To make it last, write {listed(other)} into [modes] of {house.loaded.file}; where what stands there is "
        "refused, lbsync advise --write does it"
    )


def _other(house: House, chosen: Mapping[Service, Mode]) -> dict[Service, Mode]:
    from lbsync.config import modes
    from lbsync.config.chosen import differing

    return differing(modes(house.config.modes), chosen)


def _configured(house: House, services: Mapping[Service, Mode]) -> dict[Service, Mode]:
    from lbsync.config import modes

    configured = modes(house.config.modes)
    return {service: configured[service] for service in services}
