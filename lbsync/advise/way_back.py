"""Whether a run may be taken back today: what has come since may forbid the modes it would go back to.

Rule of this file: pure, and about offloading only; whoever changed something else meanwhile is found step by step on the way.
"""

from __future__ import annotations

from lbsync.advise.case import protected
from lbsync.desired import FactSet
from lbsync.model import Action, Mode, Plan
from lbsync.remembered import OFFLOADING, SET_OUTLOOK_ANYWHERE
from lbsync.services import Service


def offloaded_again(plan: Plan) -> tuple[Service, ...]:
    """The services that this plan bridged, so that its way back sends them to plain HTTP.

    Each provider has its own words for it; that the gate before waits for the pools of the mode is said by ``phases``. Outlook
    Anywhere is one of them also where a plan, for some servers say, took its SSLOffloading off and moved nothing.
    """
    checks = [check for step in plan.steps if step.do is None for check in step.until if check.verb == "pool-up"]
    bridged = [check.args.get("service") for check in checks if check.args.get("mode") == Mode.BRIDGE.value]
    if any(_sets_offloading(step.undo) for step in plan.steps):
        bridged.append(Service.OUTLOOK_ANYWHERE.value)
    return tuple(service for service in Service if service.value in bridged)


def _sets_offloading(undo: Action | None) -> bool:
    settings = undo.args.get("settings") if undo is not None and undo.verb == SET_OUTLOOK_ANYWHERE else None
    fields = settings.values() if isinstance(settings, dict) else ()
    return any(isinstance(one, dict) and one.get(OFFLOADING) is True for one in fields)


def forbidden(services: tuple[Service, ...], facts: FactSet) -> tuple[str, ...]:
    """Why these services must not be offloaded again, a sentence each; empty where nothing of what was seen forbids it.

    Source: Microsoft, Configure Windows Extended Protection in Exchange Server; Hybrid Modern Authentication.
    """
    if not services:
        return ()
    found = [(server.server, vdir.location) for server in facts.servers for vdir in server.vdirs if protected(vdir)]
    reasons: list[str] = []
    if found:
        servers = ", ".join(dict.fromkeys(server for server, _ in found))
        places = ", ".join(dict.fromkeys(place for _, place in found))
        reasons.append(f"Extended Protection is on now ({servers}: {places}), and offloading is not supported with it")
    if facts.farm.read and facts.farm.oauth.in_use:
        reasons.append("hybrid modern authentication (OAuth) is in use now, and offloading is not supported with it")
    return tuple(reasons)
