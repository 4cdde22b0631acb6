"""The difference between wish and facts on the Exchange side.

Rule of this room: pure; only what must change is named, and what nobody asked for is left alone.
"""

from __future__ import annotations

from lbsync.changes import FlagChange, SetOutlookAnywhere
from lbsync.desired import Desired, FactSet
from lbsync.facts import OutlookAnywhereFacts, ServerFacts
from lbsync.model import Mode
from lbsync.parts import takes
from lbsync.services import FLAG_SERVICES, NO_SSL, SERVICES, Service


def flag_changes(desired: Desired, server: ServerFacts) -> tuple[FlagChange, ...]:
    """Which virtual directories of a server must change Require SSL, and to what own value.

    Offload wants it off. Bridge wants it on, by the value the directory has out of the box (``None``: inherited).
    """
    changes: list[FlagChange] = []
    for service in FLAG_SERVICES:
        vdir = server.vdir(service)
        if vdir is None or vdir.requires_ssl is (desired.modes[service] is Mode.BRIDGE):
            continue
        after = SERVICES[service].own_ssl_flags if desired.modes[service] is Mode.BRIDGE else NO_SSL
        changes.append(FlagChange(service=service, before=vdir.own_ssl_flags, after=after))
    return tuple(changes)


def outlook_anywhere_change(desired: Desired, facts: FactSet) -> SetOutlookAnywhere | None:
    """What Outlook Anywhere must become, for just the servers where it differs; ``None`` when nothing must.

    Offload sets SSLOffloading. Bridge takes it back only where a balancer offloads the service now, or where it was taken back
    on some servers already: a farm that merely has it on (it is harmless under bridging) was not asked to change.
    """
    if not facts.farm.read:
        return None
    before: list[OutlookAnywhereFacts] = []
    after: list[OutlookAnywhereFacts] = []
    for server in facts.servers:
        now = facts.farm.outlook_anywhere_of(server.server)
        if now is None or not takes(desired, server.server):
            continue
        wanted = _wanted(desired, facts, now)
        if wanted != now:
            before.append(now)
            after.append(wanted)
    if not after:
        return None
    return SetOutlookAnywhere(before=tuple(before), after=tuple(after), wait_s=desired.limits.outlook_anywhere_wait_s)


def _wanted(desired: Desired, facts: FactSet, now: OutlookAnywhereFacts) -> OutlookAnywhereFacts:
    wish = desired.outlook_anywhere.model_dump(exclude_none=True)
    for name in ("internal_hostname", "external_hostname"):
        if wish.get(name) == "":
            wish[name] = None
    if desired.modes[Service.OUTLOOK_ANYWHERE] is Mode.OFFLOAD:
        wish["ssl_offloading"] = True
    elif any(b.modes.get(Service.OUTLOOK_ANYWHERE) is Mode.OFFLOAD for b in facts.balancers) or _taken_back(facts):
        # Set-OutlookAnywhere takes SSLOffloading $false only together with both ...RequireSsl $true.
        wish |= {"ssl_offloading": False, "internal_clients_require_ssl": True, "external_clients_require_ssl": True}
    return now.model_copy(update=wish)


def _taken_back(facts: FactSet) -> bool:
    """Whether some servers offload Outlook Anywhere and others do not: somebody stopped half-way, as a plan for a part does."""
    found = (facts.farm.outlook_anywhere_of(server.server) for server in facts.servers)
    return len({item.ssl_offloading for item in found if item is not None}) > 1
