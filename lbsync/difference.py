"""The difference between wish and facts on the Exchange side.

Rule of this room: pure; only what must change is named, and what nobody asked for is left alone.
"""

from __future__ import annotations

from lbsync.changes import FlagChange, SetOutlookAnywhere
from lbsync.desired import Desired, FactSet
from lbsync.facts import OutlookAnywhereFacts, ServerFacts, VdirFacts
from lbsync.model import Mode
from lbsync.parts import takes
from lbsync.services import FLAG_SERVICES, NO_SSL, SERVICES, Service

# Set-OutlookAnywhere takes SSLOffloading $false only together with both ...RequireSsl $true.
_NO_OFFLOADING = {"ssl_offloading": False, "internal_clients_require_ssl": True, "external_clients_require_ssl": True}


def flag_changes(desired: Desired, server: ServerFacts) -> tuple[FlagChange, ...]:
    """Which virtual directories of a server must change Require SSL, and to what own value.

    Offload wants it off. Bridge wants it on, by the value that lbsync found when it turned it off, as far as the ledger knows,
    else by the one the directory has out of the box (``None``: inherited).
    """
    changes: list[FlagChange] = []
    for service in FLAG_SERVICES:
        vdir = server.vdir(service)
        if vdir is None or vdir.requires_ssl is (desired.modes[service] is Mode.BRIDGE):
            continue
        after = _given_back(desired, server, vdir, service) if desired.modes[service] is Mode.BRIDGE else NO_SSL
        changes.append(FlagChange(service=service, before=vdir.own_ssl_flags, after=after))
    return tuple(changes)


def _given_back(desired: Desired, server: ServerFacts, vdir: VdirFacts, service: Service) -> str | None:
    name = server.server.lower()
    known = next((flags for told, flags in desired.remembered.flags.items() if told.lower() == name), {})
    return known.get(vdir.location.lower(), SERVICES[service].own_ssl_flags)


def gives_back(desired: Desired, facts: FactSet) -> bool:
    """True where something may come back that lbsync took away: only then is the ledger worth asking."""
    changes = (change for server in facts.servers for change in flag_changes(desired, server))
    bridged = desired.modes[Service.OUTLOOK_ANYWHERE] is Mode.BRIDGE
    offloading = bridged and any(now.ssl_offloading for now in _outlook_anywhere(facts))
    return offloading or any(change.after != NO_SSL for change in changes)


def as_found(desired: Desired, facts: FactSet) -> tuple[str, ...]:
    """What goes back to what lbsync found and not to what Exchange has out of the box: a line each, for the plan to tell."""
    lines = [
        f"{server.server}: {SERVICES[one.service].location} gets back sslFlags {one.after or '(inherited)'}, as it was before "
        "lbsync turned Require SSL off."
        for server in facts.servers
        for one in flag_changes(desired, server)
        if one.after not in {NO_SSL, SERVICES[one.service].own_ssl_flags}
    ]
    kept = [
        now.server
        for now in _outlook_anywhere(facts)
        if now.ssl_offloading and _comes_back(desired, facts, now) and _wanted(desired, facts, now).ssl_offloading
    ]
    if kept:
        lines.append(
            f"Outlook Anywhere of {', '.join(kept)} keeps SSLOffloading true, as it was before lbsync offloaded: harmless when "
            "bridged, but Extended Protection needs it off (lbsync prepare ep)."
        )
    return tuple(lines)


def outlook_anywhere_change(desired: Desired, facts: FactSet) -> SetOutlookAnywhere | None:
    """What Outlook Anywhere must become, for just the servers where it differs; ``None`` when nothing must.

    Offload sets SSLOffloading. Bridge takes it back where a balancer offloads the service now, or where lbsync set it and has not
    taken it back yet (as after a plan for a part), to what it found as far as the ledger knows: a farm that merely has it on (it
    is harmless under bridging) was not asked to change. For Extended Protection it goes off whatever was found.
    """
    if not facts.farm.read:
        return None
    before: list[OutlookAnywhereFacts] = []
    after: list[OutlookAnywhereFacts] = []
    for now in _outlook_anywhere(facts):
        if not takes(desired, now.server):
            continue
        wanted = _wanted(desired, facts, now)
        if wanted != now:
            before.append(now)
            after.append(wanted)
    if not after:
        return None
    return SetOutlookAnywhere(before=tuple(before), after=tuple(after), wait_s=desired.limits.outlook_anywhere_wait_s)


def _outlook_anywhere(facts: FactSet) -> list[OutlookAnywhereFacts]:
    """Outlook Anywhere of the servers that AD lists, in configured order."""
    found = (facts.farm.outlook_anywhere_of(server.server) for server in facts.servers)
    return [now for now in found if now is not None]


def _comes_back(desired: Desired, facts: FactSet, now: OutlookAnywhereFacts) -> bool:
    """True when Outlook Anywhere shall be bridged and a balancer offloads it now, or this server's setting is lbsync's still."""
    if desired.modes[Service.OUTLOOK_ANYWHERE] is not Mode.BRIDGE:
        return False
    offloaded = any(one.modes.get(Service.OUTLOOK_ANYWHERE) is Mode.OFFLOAD for one in facts.balancers)
    return offloaded or now.server in desired.remembered.outlook_anywhere


def _wanted(desired: Desired, facts: FactSet, now: OutlookAnywhereFacts) -> OutlookAnywhereFacts:
    wish = desired.outlook_anywhere.model_dump(exclude_none=True)
    for name in ("internal_hostname", "external_hostname"):
        if wish.get(name) == "":
            wish[name] = None
    if desired.modes[Service.OUTLOOK_ANYWHERE] is Mode.OFFLOAD:
        wish["ssl_offloading"] = True
    elif desired.for_extended_protection:
        wish |= _NO_OFFLOADING
    elif _comes_back(desired, facts, now):
        found = desired.remembered
        on_before = {} if found.outlook_anywhere_offloaded else _NO_OFFLOADING
        wish |= found.outlook_anywhere.get(now.server, on_before)
    return now.model_copy(update=wish)
