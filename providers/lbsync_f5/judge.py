"""From what was seen on a BIG-IP to the facts a plan is made from.

Rule of this room: pure. Ours is what bears our mark; whether it is whole is told by the digests in the marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import JsonValue

from lbsync.facts import BalancerFacts, BalancerLive, MemberLive
from lbsync.kit.pools import pools_of
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec
from lbsync_certs import Fingerprint
from lbsync_f5 import things
from lbsync_f5.blockers import blockers
from lbsync_f5.names import Names, leaf_of
from lbsync_f5.policy import live_names, modes_of, mrsproxy_policy, policy
from lbsync_f5.project import is_whole, policy_names, policy_rules, profile_names, projected
from lbsync_f5.render import names_of, plain_address, port_of, profiles_of, render
from lbsync_f5.seen import Seen, Standing
from lbsync_f5.settings import F5Settings
from lbsync_f5.things import Thing, digest_of, mark_of, structure_of, structure_of_marks
from lbsync_f5.wire import fingerprint, pool_members, served

PROVIDER = "bigip"


def judge(spec: BalancerSpec, settings: F5Settings, seen: Seen, services: Iterable[Service]) -> BalancerFacts:
    """The facts; ``services`` limits modes and members to those asked for."""
    names = names_of(spec, settings)
    wanted = frozenset(services)
    asked = [service for service in spec.services if service in wanted]
    modes = live_modes(seen, settings, names)
    live = names_now(seen, settings, names)
    front = front_of(seen, settings, names)
    standing = seen.standing
    return BalancerFacts(
        balancer=spec.name,
        provider=PROVIDER,
        version=seen.version,
        published=front is not None and live_policy(seen, settings, names) is not None,
        structure=structure(seen, settings, names),
        wanted_structure=structure_of(render(spec, settings)) or "",
        modes={service: modes[service] for service in asked if service in modes},
        leaf=served_leaf(seen, names),
        installed=installed(seen, names),
        marker=marker(seen, names),
        blockers=tuple(blockers(spec, settings, seen, names)),
        problems=(*edits(seen, names), *_drains(spec, seen, live)),
        notes=tuple(_notes(settings, seen)),
        image=image_of(seen, settings, names),
        live=BalancerLive(members=members(spec, asked, seen, live), unit=_unit(standing))
        if standing.devices
        else BalancerLive(),
    )


def _unit(standing: Standing) -> str | None:
    """The device of a pair that was asked; ``None`` for one that is alone."""
    return standing.itself.name if len(standing.devices) > 1 and standing.itself is not None else None


def front_of(seen: Seen, settings: F5Settings, names: Names) -> Mapping[str, Any] | None:
    """The virtual server that carries Exchange: ours, or the attached one; ``None`` where it is not there or not ours yet."""
    if settings.attach is not None:
        found = seen.attached(settings)
        return found if found is not None and live_policy(seen, settings, names) is not None else None
    found = seen.of(things.VIRTUAL).get(names.virtual)
    return found if found is not None and mark_of(found, names.balancer) else None


def live_policy(seen: Seen, settings: F5Settings, names: Names) -> str | None:
    """The policy of ours on that virtual server."""
    virtual = seen.attached(settings) if settings.attach is not None else seen.of(things.VIRTUAL).get(names.virtual)
    attached = policy_names(virtual) if virtual is not None else []
    return next((path for path in attached if path.startswith(names.policy(""))), None)


def live_modes(seen: Seen, settings: F5Settings, names: Names) -> dict[Service, Mode]:
    """The mode of each service by the rules of that policy; MRSProxy by itself is bridged always."""
    path = live_policy(seen, settings, names)
    found = seen.of(things.POLICY).get(path or "")
    if found is None:
        return {}
    modes = modes_of(policy_rules(found), names)
    return {**modes, Service.MRSPROXY: Mode.BRIDGE} if modes else {}


def names_now(seen: Seen, settings: F5Settings, names: Names) -> Names:
    """The names of the pools that are live by that policy: twins or not."""
    found = seen.of(things.POLICY).get(live_policy(seen, settings, names) or "")
    return names if found is None else live_names(policy_rules(found), names)


def served_leaf(seen: Seen, names: Names) -> Fingerprint | None:
    """The leaf that our client-ssl profile serves."""
    profile = seen.of(things.CLIENT_SSL).get(names.client_ssl)
    return leaf_of(served(profile) or "") if profile is not None and mark_of(profile, names.balancer) else None


def installed(seen: Seen, names: Names) -> tuple[Fingerprint, ...]:
    """Leaves whose certificate and key are there; the certificate is made last, so it stands for the chain too."""
    keys, found = seen.of(things.SSL_KEY), list[Fingerprint]()
    for path, item in seen.of(things.SSL_CERT).items():
        leaf = leaf_of(path)
        ours = leaf is not None and path == names.certificate(leaf) and names.key(leaf) in keys
        if ours and leaf is not None and fingerprint(item) in {None, leaf}:
            found.append(leaf)
    return tuple(sorted(found))


def marker(seen: Seen, names: Names) -> str | None:
    """The run marker's text."""
    found = seen.of(things.DATA_GROUP).get(names.marker)
    return None if found is None else str(found.get("description", "")) or "unknown"


def own_things(seen: Seen, names: Names) -> tuple[Thing, ...]:
    """Every object with our mark, nodes and policies aside, in the order in which they can be made."""
    return tuple(
        projected(collection, item)
        for collection in things.ORDER
        if collection != things.NODE
        for path, item in sorted(seen.of(collection).items())
        if path.startswith(names.prefix) and mark_of(item, names.balancer)
    )


def structure(seen: Seen, settings: F5Settings, names: Names) -> str | None:
    """Digest of our objects by their marks; ``None`` where there are none, or where the policies are not of this design."""
    ours = own_things(seen, names)
    modes = live_modes(seen, settings, names)
    path = live_policy(seen, settings, names)
    live = names_now(seen, settings, names)
    if path is not None and path != policy_for(live, _paths(ours), modes).path:
        return None
    apart = seen.of(things.VIRTUAL).get(names.mrsproxy)
    if apart is not None and policy_names(apart) != [mrsproxy_policy(live).path]:
        return None
    if settings.attach is not None and path is not None and not _attached_whole(seen, settings, names):
        return None
    return structure_by_marks(ours, names)


def _paths(ours: Iterable[Thing]) -> frozenset[str]:
    return frozenset(thing.path for thing in ours)


def structure_by_marks(ours: Iterable[Thing], names: Names) -> str | None:
    """Digest of objects of ours as they were written; ``None`` where there are none."""
    return structure_of_marks(
        (thing.collection, thing.path, found) for thing in ours if (found := mark_of(thing.body, names.balancer))
    )


def policy_for(names: Names, ours: Iterable[str], modes: Mapping[Service, Mode]) -> Thing:
    """The policy that belongs to our objects of these paths: the settings they were made by may be others by now."""
    there = frozenset(ours)
    return policy(
        names,
        (service for service in SERVICES if names.pool(service, Mode.BRIDGE) in there),
        {service: modes.get(service, Mode.BRIDGE) for service in SERVICES},
        ntlm=names.own("one-connect") not in there,
        apart=names.mrsproxy in there,
    )


def edits(seen: Seen, names: Names) -> tuple[str, ...]:
    """Objects of ours that are not as we wrote them, policies among them, which are what keeps paths apart."""
    policies = [
        f"{things.POLICY} {path} is not the policy that its name stands for: somebody edited its rules. Publish another one: "
        "switch a mode there and back, or remove it from the virtual server and plan again."
        for path, item in sorted(seen.of(things.POLICY).items())
        if path.startswith(names.policy("")) and mark_of(item, names.balancer) and not is_whole(item)
    ]
    ours = own_things(seen, names)
    disabled = [
        f"{thing.path} is disabled: it takes no connections."
        for thing in ours
        if seen.of(thing.collection)[thing.path].get("disabled") is True
    ]
    return (*policies, *disabled, *_edited(ours, names))


def _edited(ours: Iterable[Thing], names: Names) -> tuple[str, ...]:
    return tuple(
        f"{thing.collection} {thing.path} differs from what lbsync wrote into it: somebody edited it, or this version of TMOS "
        "shows it otherwise. lbsync leaves it so until the next publish."
        for thing in ours
        if digest_of(thing.collection, thing.body) != mark_of(thing.body, names.balancer)
    )


def image_of(seen: Seen, settings: F5Settings, names: Names) -> dict[str, JsonValue]:
    """Before-images of our objects, certificate, modes, and of what we change of an attached virtual server."""
    attached = seen.attached(settings)
    before: dict[str, JsonValue] | None = None
    if attached is not None:
        before = {
            "profiles": profile_names(attached),
            "policies": [*policy_names(attached)],
            "persists": bool(attached.get("persist") or attached.get("fallbackPersistence")),
            "wanted": attached_profiles(seen, settings, names, attached),
        }
    modes = live_modes(seen, settings, names)
    return {
        "things": [thing.model_dump(mode="json") for thing in own_things(seen, names)],
        "leaf": served_leaf(seen, names),
        "modes": {
            service.value: mode.value
            for service, mode in modes.items()
            if names.pool(service, mode) in seen.of(things.POOL)
        },
        "attached": before,
        "certs_directory": True,
    }


def attached_profiles(seen: Seen, settings: F5Settings, names: Names, virtual: Mapping[str, Any]) -> list[JsonValue]:
    """The profiles of an attached virtual server with ours in place of its own TLS profiles."""
    replaced = {things.CLIENT_SSL, things.SERVER_SSL, things.ONE_CONNECT}
    kept = [one for one in profile_names(virtual) if seen.profiles.get(_name(one)) not in replaced]
    ours = {names.client_ssl, names.server_ssl, names.own("one-connect")}
    return sorted([*kept, *(one for one in profiles_of(names, settings) if _name(one) in ours)], key=_name)


def _name(profile: JsonValue) -> str:
    return str(profile["name"]) if isinstance(profile, dict) else ""


def members(spec: BalancerSpec, asked: Iterable[Service], seen: Seen, names: Names) -> tuple[MemberLive, ...]:
    """Every server in every pool of ours of these names, those of the live pools: one that is closed has nobody in service."""
    found: list[MemberLive] = []
    for service, mode in pools_of(asked):
        pool = seen.of(things.POOL).get(names.pool(service, mode))
        for one in pool_members(pool) if pool is not None else ():
            server = server_of(spec, mode, one.address, one.port)
            if server is not None:
                found.append(MemberLive(server=server, service=service, mode=mode, up=one.up, draining=one.draining))
    return tuple(found)


def server_of(spec: BalancerSpec, mode: Mode, address: str, port: int) -> str | None:
    """Which server an address and port of a pool of this mode are."""
    for member in spec.members:
        if (plain_address(member.address), port_of(member, mode)) == (address, port):
            return member.name
    return None


def _attached_whole(seen: Seen, settings: F5Settings, names: Names) -> bool:
    virtual = seen.attached(settings)
    found = {str(one["name"]) for one in profile_names(virtual or {}) if isinstance(one, dict)}
    return {names.client_ssl, names.server_ssl} <= found


def _drains(spec: BalancerSpec, seen: Seen, names: Names) -> tuple[str, ...]:
    drained = sorted({one.server for one in members(spec, spec.services, seen, names) if one.draining})
    return tuple(f"{server} is drained on the BIG-IP: it takes no requests." for server in drained)


def _notes(settings: F5Settings, seen: Seen) -> list[str]:
    found: list[str] = []
    if settings.ntlm == "used":
        found.append(
            "NTLM belongs to a connection, and a BIG-IP balances connections: a client's later requests may travel over the "
            "connection to a server that its first one opened. So all services of a virtual server share one mode here"
            + (
                f", and MRSProxy has its own ({settings.mrsproxy_host}, {settings.mrsproxy_address})."
                if settings.mrsproxy_host
                else "; MRSProxy, always bridged, needs a virtual server of its own before anything is offloaded."
            )
        )
        found.append(
            "A drain ends when clients close their connections; what is left when its time is over stops the run or is cut "
            "(limits.on_drain_timeout)."
        )
    if seen.standing.groups:
        group, _ = seen.standing.groups[0]
        found.append(f"Each change is synchronised to {settings.device_group or group}.")
    if settings.attach is not None:
        found.append(
            f"On {settings.attach} its client-ssl and server-ssl profiles are exchanged for lbsync's and an LTM policy is added; "
            "everything else of it is kept, and going back restores its list of profiles."
        )
    return found
