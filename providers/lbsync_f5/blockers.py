"""Why nothing may be changed on a BIG-IP as it is now, each with the way out.

Rule of this room: pure. A blocker is told while planning, so that no run meets it half-way.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from lbsync.target import BalancerSpec
from lbsync_f5 import things
from lbsync_f5.names import Names
from lbsync_f5.project import policy_names, profile_names
from lbsync_f5.render import render
from lbsync_f5.seen import Seen
from lbsync_f5.settings import F5Settings
from lbsync_f5.things import mark_of
from lbsync_f5.wire import IN_SYNC, OLDEST, canonical, full_path, version_numbers

_SYNC = MappingProxyType(
    {
        "Changes Pending": "somebody changed one of its devices and did not synchronise: lbsync's config-sync would spread that "
        "change too. Look at it, then run config-sync in the right direction",
        "Awaiting Initial Sync": "the group was never synchronised: decide which device has the right configuration and run "
        "config-sync from it",
        "Not All Devices Synced": "a config-sync is under way, or did not reach every device: wait, or run it again",
        "Disconnected": "the devices do not reach each other: repair the connection between their config-sync addresses",
        "Sync Failure": "the last config-sync failed: see `tmsh show cm sync-status` for the reason",
    }
)


def blockers(spec: BalancerSpec, settings: F5Settings, seen: Seen, names: Names) -> Iterator[str]:
    """Each as a sentence or two."""
    yield from _version(seen)
    yield from _standing(settings, seen)
    if settings.partition not in seen.partitions:
        yield (
            f"The partition {settings.partition} does not exist, or this account does not see it: "
            f"`tmsh create auth partition {settings.partition}`, or correct partition."
        )
        return
    if seen.route_domain != 0:
        yield (
            f"The partition {settings.partition} has the default route domain {seen.route_domain}: lbsync knows domain 0 only. "
            "Choose another partition."
        )
    elsewhere = [
        node for address, node in seen.other_nodes.items() if address in {canonical(m.address) for m in spec.members}
    ]
    if elsewhere:
        yield (
            f"Nodes of another partition have the servers' addresses ({', '.join(sorted(elsewhere))}), and a device knows an "
            "address once: move them to Common, or publish in their partition."
        )
    if not seen.folder_exists:
        yield f"The folder {names.place} does not exist: `tmsh create sys folder {names.place}`, or correct folder."
        return
    yield from _taken(spec, settings, seen, names)
    yield from _destinations(spec, settings, seen)
    yield from _attachment(settings, seen, names)


def _version(seen: Seen) -> Iterator[str]:
    version = version_numbers(seen.version)
    if version is None:
        yield f"The device does not tell its TMOS version ({seen.version or 'empty'}): this is no BIG-IP that lbsync knows."
    elif version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield f"TMOS {seen.version} is too old: {oldest} is the oldest that is supported. Upgrade the device."


def _standing(settings: F5Settings, seen: Seen) -> Iterator[str]:
    standing = seen.standing
    itself = standing.itself
    if itself is None:
        yield "The device does not say which of its group it is (cm/device has no selfDevice)."
    elif not standing.active:
        yield (
            f"{itself.name} is {itself.state}: changes are made on the active device only. Add its management address to hosts, "
            "or make this one active."
        )
    active = [one.name for one in standing.devices if one.state == "active"]
    if len(active) > 1:
        yield (
            f"{len(active)} devices are active ({', '.join(active)}): each carries a part of the traffic, and one alone cannot "
            "tell what is still open. lbsync works with active/standby pairs only."
        )
    if len(standing.devices) <= 1:
        return
    known = [group for group, _ in standing.groups]
    if settings.device_group is not None and settings.device_group not in known:
        yield f"There is no sync-failover group {settings.device_group}; there are: {', '.join(known) or 'none'}."
    elif settings.device_group is None and len(known) != 1:
        yield (
            f"The devices form {len(known)} sync-failover groups ({', '.join(known) or 'none'}): set device_group to the one to "
            "synchronise."
        )
    if standing.sync is not None and standing.sync.status != IN_SYNC:
        status = standing.sync.status or "unknown"
        more = _SYNC.get(status, "see `tmsh show cm sync-status`")
        advice = f" The device says: {'; '.join(standing.sync.details)}" if standing.sync.details else ""
        yield f"The group is not in sync ({status}): {more}.{advice}"


def _taken(spec: BalancerSpec, settings: F5Settings, seen: Seen, names: Names) -> Iterator[str]:
    for thing in render(spec, settings):
        there = seen.of(thing.collection).get(thing.path)
        if there is not None and mark_of(there, names.balancer) is None:
            yield (
                f"{thing.collection} {thing.path} is there already and does not bear lbsync's mark for {spec.name}: it is not "
                "changed. Rename or remove it, or choose another partition, folder or balancer name."
            )


def _destinations(spec: BalancerSpec, settings: F5Settings, seen: Seen) -> Iterator[str]:
    wanted = {
        thing.body["destination"]: thing.path for thing in render(spec, settings) if thing.collection == things.VIRTUAL
    }
    ours = set(wanted.values())
    for path, virtual in seen.all_virtuals.items():
        destination = virtual.get("destination")
        place = str(destination).rpartition("/")[2]
        for own in wanted:
            if str(own).rpartition("/")[2] == place and path not in ours:
                yield (
                    f"The virtual server {path} has the address {place} already. Remove it, give lbsync another address, or "
                    f'publish on it: attach = "{path}".'
                )


def _attachment(settings: F5Settings, seen: Seen, names: Names) -> Iterator[str]:
    if settings.attach is None:
        return
    virtual = seen.attached(settings)
    if virtual is None:
        yield f"The virtual server {settings.attach} does not exist: correct attach."
        return
    named = [str(one["name"]) for one in profile_names(virtual) if isinstance(one, dict)]
    kinds = {seen.profiles.get(name) for name in named}
    tls = [name for name in named if seen.profiles.get(name) == things.CLIENT_SSL and name != names.client_ssl]
    if len(tls) > 1:
        yield (
            f"{settings.attach} has several client-ssl profiles ({', '.join(tls)}), which lbsync's would replace: other names "
            "would be served with Exchange's certificate. Let lbsync make a virtual server of its own."
        )
    if things.ONE_CONNECT in kinds and settings.ntlm == "used":
        yield (
            f"{settings.attach} has a OneConnect profile, which gives one client's connection to a server to another: with NTLM "
            'its identity, too. Take it off, or declare ntlm = "unused".'
        )
    if things.HTTP not in kinds:
        yield f"{settings.attach} has no http profile, without which there are no paths: give it one."
    others = [path for path in policy_names(virtual) if not path.startswith(names.policy(""))]
    if others:
        yield (
            f"{settings.attach} has other LTM policies ({', '.join(others)}), which could send requests elsewhere: take them "
            "off, or let lbsync make a virtual server of its own."
        )
    rules = [str(rule) for rule in virtual.get("rules") or []]
    if rules:
        yield (
            f"{settings.attach} has iRules ({', '.join(rules)}), which could choose pools or detach connections: take them off, "
            "or let lbsync make a virtual server of its own."
        )
    if full_path(virtual).startswith(names.prefix):
        yield f"{settings.attach} is lbsync's own virtual server: leave attach out."
