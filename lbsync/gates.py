"""The gates at which a plan asks a balancer about its servers before it goes on.

Rule of this room: pure; a gate has no effect and no way back, and is answered by reading only.
"""

from __future__ import annotations

from collections.abc import Sequence

from lbsync.model import Check, Mode, Step, StepId
from lbsync.services import Service


def spare(balancer: str, server: str, needed: int) -> Step:
    """Before a server is drained: so many others are up."""
    return Step(
        id=StepId(f"{balancer}:spare:{server}"),
        target=balancer,
        sign="?",
        summary=f"wait until enough others are up to spare {server}",
        until=(
            Check(
                target=balancer,
                verb="spare",
                args={"server": server, "min": needed},
                summary=f"enough others are up to spare {server}",
            ),
        ),
    )


def answers_plain(balancer: str, server: str, services: Sequence[Service]) -> Step:
    """The gate after which a server is known to take these services over plain HTTP: the balancer's own look at it."""
    return Step(
        id=StepId(f"{balancer}:plain:{server}"),
        target=balancer,
        sign="?",
        summary=f"wait until {server} answers over plain HTTP for {', '.join(services)}",
        until=tuple(
            Check(
                target=balancer,
                verb="pool-up",
                args={"service": service.value, "mode": Mode.OFFLOAD.value, "server": server},
                summary=f"{server} is up in the offload pool of {service}",
            )
            for service in services
        ),
    )


def ready(balancer: str, name: str, services: tuple[Service, ...], mode: Mode) -> Step:
    """The gate ``name`` before some services go to their pool of ``mode``: all these pools are up."""
    pools, are = ("pool", "is") if len(services) == 1 else ("pools", "are")
    return Step(
        id=StepId(f"{balancer}:{name}"),
        target=balancer,
        sign="?",
        summary=f"wait until the {mode} {pools} of {', '.join(services)} {are} up",
        until=tuple(
            Check(
                target=balancer,
                verb="pool-up",
                args={"service": service.value, "mode": mode.value},
                summary=f"{mode} pool of {service} is up",
            )
            for service in services
        ),
    )
