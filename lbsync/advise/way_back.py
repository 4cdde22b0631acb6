"""Whether a run may be taken back today: what has come since may forbid the modes it would go back to.

Rule of this file: pure, and about who would send or refuse plain HTTP afterwards; whoever changed something else meanwhile is
found step by step on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lbsync.advise.case import protected
from lbsync.desired import FactSet
from lbsync.model import Action, Mode, Plan
from lbsync.parts import is_prepared
from lbsync.remembered import OFFLOADING, SET_FLAGS, SET_OUTLOOK_ANYWHERE, flags_of, requires_ssl, settings_of
from lbsync.services import FLAG_SERVICES, NO_SSL, SERVICES, Service


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


def demanding_again(plan: Plan) -> dict[Service, frozenset[str]]:
    """By service, the servers (in lower case) that take no plain HTTP for it once this plan is taken back.

    Without the services that it offloaded itself: these are bridged first on its way back. Others a later run, or somebody
    else, may have sent to plain HTTP by now.
    """
    gates = [check.args for step in plan.steps if step.do is None for check in step.until if check.verb == "pool-up"]
    # A gate that names a server proves that one, and moves nothing.
    own = {
        str(args.get("service")) for args in gates if args.get("mode") == Mode.OFFLOAD.value and "server" not in args
    }
    found: dict[Service, set[str]] = {}
    for service, server in (one for step in plan.steps for one in _demanding(step.undo)):
        if service.value not in own:
            found.setdefault(service, set()).add(server.lower())
    return {service: frozenset(servers) for service, servers in found.items()}


def stranded(demanding: Mapping[Service, frozenset[str]], facts: FactSet) -> tuple[Service, ...]:
    """The services that a balancer sends over plain HTTP now, and that no server would take so any more."""
    return tuple(
        service
        for service, servers in demanding.items()
        if any(seen.modes.get(service) is Mode.OFFLOAD for seen in facts.balancers)
        and all(one.server.lower() in servers or not is_prepared(facts, one, service) for one in facts.servers)
    )


def _demanding(undo: Action | None) -> Iterator[tuple[Service, str]]:
    """Which services take no plain HTTP any more after this, and where."""
    if undo is not None and undo.verb == SET_FLAGS:
        flags = {location.lower(): own for location, own in flags_of(undo).items()}
        for service in FLAG_SERVICES:
            if requires_ssl(flags.get(SERVICES[service].location.lower(), NO_SSL)):
                yield service, undo.target
    elif undo is not None and undo.verb == SET_OUTLOOK_ANYWHERE:
        for server, fields in settings_of(undo).items():
            if fields.get(OFFLOADING) is False:
                yield Service.OUTLOOK_ANYWHERE, server


def _sets_offloading(undo: Action | None) -> bool:
    if undo is None or undo.verb != SET_OUTLOOK_ANYWHERE:
        return False
    return any(one.get(OFFLOADING) is True for one in settings_of(undo).values())


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
