"""What shall be on a device of ours, and what must be sent for it: the three acts of a publish, as lists of changes.

Rule of this room: pure; from a wish and from what was seen, and by the names of the pools that are live. Nothing that is not ours
is in any list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import JsonValue

from lbsync.errors import Rejected
from lbsync.model import Mode
from lbsync.services import Service
from lbsync_certs import Fingerprint
from lbsync_f5 import things
from lbsync_f5.judge import live_modes, live_policy, own_things, policy_for
from lbsync_f5.names import Names, draft_of
from lbsync_f5.policy import mrsproxy_policy
from lbsync_f5.project import policy_names, profile_names, projected
from lbsync_f5.render import member_name
from lbsync_f5.seen import Seen
from lbsync_f5.settings import F5Settings
from lbsync_f5.things import Thing, alike, mark_of, things_of
from lbsync_f5.wire import chain_entry, pool_members, served

_MADE_FIRST = tuple(collection for collection in things.ORDER if collection not in {things.NODE, things.VIRTUAL})


class Act(NamedTuple):
    """One change of one object: ``body`` is what is sent, ``None`` to remove it; ``new`` where it is made."""

    collection: str
    path: str
    body: dict[str, Any] | None
    new: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall be there: our objects, and what they serve. Without objects nothing of ours stays."""

    things: tuple[Thing, ...]
    leaf: Fingerprint | None
    modes: Mapping[Service, Mode]
    attachment: Mapping[str, JsonValue] | None

    @classmethod
    def of(cls, args: Mapping[str, JsonValue]) -> Wish:
        """From an action's arguments."""
        leaf, modes, attachment = args.get("leaf"), args.get("modes"), args.get("attachment")
        told = modes if isinstance(modes, Mapping) else {}
        return cls(
            things=things_of(args.get("things")),
            leaf=Fingerprint(leaf) if isinstance(leaf, str) else None,
            modes={Service(name): Mode(str(mode)) for name, mode in told.items()},
            attachment=attachment if isinstance(attachment, Mapping) else None,
        )

    def of_kind(self, *collections: str) -> Iterable[Thing]:
        """Wanted objects of some collections, in the order in which they can be made."""
        return (thing for thing in self.things if thing.collection in collections)

    def policies(self, names: Names) -> tuple[Thing, ...]:
        """The policies that our virtual servers shall have, by the names of the live pools; MRSProxy's own last."""
        if not self.things:
            return ()
        found = [policy_for(names, (thing.path for thing in self.things), self.modes)]
        if any(thing.path == names.mrsproxy for thing in self.things):
            found.append(mrsproxy_policy(names))
        return tuple(found)


def addresses(wish: Wish) -> tuple[str, ...]:
    """Of every server, once."""
    return tuple(dict.fromkeys(address for pool in wish.of_kind(things.POOL) for address, _ in _addresses(pool)))


def first(wish: Wish, seen: Seen, names: Names) -> list[Act]:
    """New objects that nothing uses yet, virtual servers and policies aside."""
    return [
        Act(thing.collection, thing.path, _body(thing, None, wish, seen, names), new=True)
        for thing in wish.of_kind(*_MADE_FIRST)
        if _present(thing, seen) is None
    ]


def switch(wish: Wish, seen: Seen, names: Names) -> list[Act]:
    """Whatever is in use and changes, virtual servers with their policies and profiles, the certificate.

    Raises Rejected where the virtual server to attach to is gone.
    """
    changed = [
        Act(thing.collection, thing.path, _body(thing, present, wish, seen, names))
        for thing in wish.of_kind(*_MADE_FIRST)
        if (present := _present(thing, seen)) is not None and _differs(thing, present)
    ]
    wanted = {thing.path for thing in wish.of_kind(things.VIRTUAL)}
    gone = [
        Act(things.VIRTUAL, thing.path, None)
        for thing in own_things(seen, names)
        if thing.collection == things.VIRTUAL and thing.path not in wanted
    ]
    served_now = _certificate(wish, seen, names)
    return [*changed, *served_now, *_virtuals(wish, seen, names), *gone, *_attachment(wish, seen, names)]


def clear(wish: Wish, seen: Seen, names: Names) -> list[Act]:
    """Our objects that are not wanted, and drafts that a killed run left; what refers to others comes first."""
    kept = {(thing.collection, thing.path) for thing in (*wish.things, *wish.policies(names))}
    gone = [
        Act(thing.collection, thing.path, None)
        for thing in own_things(seen, names)
        if thing.collection != things.VIRTUAL and (thing.collection, thing.path) not in kept
    ]
    policies = [
        Act(things.POLICY, path, None)
        for path, item in seen.of(things.POLICY).items()
        if path.startswith((names.policy(""), draft_of(names.policy(""))))
        and mark_of(item, names.balancer)
        and (things.POLICY, path) not in kept
    ]
    return [*policies, *reversed(gone)]


def carries_traffic(seen: Seen, settings: F5Settings, names: Names) -> bool:
    """Whether requests are served now, so that sending them elsewhere could lose some."""
    if settings.attach is not None and live_policy(seen, settings, names) is None:
        return True  # by what its owner has there
    modes = live_modes(seen, settings, names)
    live = [seen.of(things.POOL).get(names.pool(service, mode), {}) for service, mode in modes.items()]
    return any(member.up and not member.draining for pool in live for member in pool_members(pool))


def refuse_foreign(wish: Wish, seen: Seen, names: Names) -> None:
    """Raises Rejected where an object of a wanted name is there and does not bear our mark."""
    for thing in wish.things:
        item = seen.of(thing.collection).get(thing.path)
        if item is not None and mark_of(item, names.balancer) is None:
            raise Rejected(
                "an object of this name is there, and it is not lbsync's",
                where=thing.path,
                state="nothing was changed",
                remedy="rename or remove it, or choose another partition, folder or balancer name",
                code="foreign",
            )


def refuse_closed(wish: Wish, names: Names) -> None:
    """Raises Rejected where only pools would be left that are closed, which are those of a lbsync that knew no twins."""
    if wish.things and names.twins and not names.turned.closed & {thing.path for thing in wish.things}:
        raise Rejected(
            "the pools that are live are not among those to go back to",
            where=names.place,
            state="nothing was changed by this step",
            remedy="take the change of sides back first, or publish anew: `lbsync plan`",
            code="closed",
        )


def _body(thing: Thing, present: Thing | None, wish: Wish, seen: Seen, names: Names) -> dict[str, Any]:
    """What is sent for an object: all of a new one, of one that is there what differs."""
    body = _changes(thing, present)
    if "members" in body:
        # A list of members replaces all: who was taken out stays out, and a closed pool closed.
        there = pool_members(seen.of(things.POOL).get(thing.path, {}))
        held = {(member.address, member.port) for member in there if member.held}
        if thing.path in names.closed:
            held = set(_addresses(thing))
        place = f"/{names.partition}"
        body["members"] = [
            {
                "name": member_name(seen.nodes.get(address, f"{place}/{address}"), port),
                "address": address,
                **({"session": "user-disabled"} if (address, port) in held else {}),
            }
            for address, port in _addresses(thing)
        ]
    if thing.collection == things.CLIENT_SSL and present is None and wish.leaf is not None:
        body["certKeyChain"] = _chain(wish.leaf, seen, names)
    return body


def _certificate(wish: Wish, seen: Seen, names: Names) -> list[Act]:
    profile = seen.of(things.CLIENT_SSL).get(names.client_ssl)
    if wish.leaf is None or profile is None or served(profile) == names.certificate(wish.leaf):
        return []
    return [Act(things.CLIENT_SSL, names.client_ssl, {"certKeyChain": _chain(wish.leaf, seen, names)})]


def _chain(leaf: Fingerprint, seen: Seen, names: Names) -> list[dict[str, str]]:
    chain = names.chain(leaf)
    return chain_entry(names.certificate(leaf), names.key(leaf), chain if chain in seen.of(things.SSL_CERT) else None)


def _virtuals(wish: Wish, seen: Seen, names: Names) -> list[Act]:
    policies = [policy.path for policy in wish.policies(names)]
    found: list[Act] = []
    for thing in wish.of_kind(things.VIRTUAL):
        item = seen.of(things.VIRTUAL).get(thing.path)
        body = _changes(thing, _present(thing, seen))
        own = {names.redirect: [], names.mrsproxy: policies[-1:]}.get(thing.path, policies[:1])
        if item is None or policy_names(item) != own:
            body["policies"] = [{"name": path} for path in own]
        if body:
            found.append(Act(things.VIRTUAL, thing.path, body, new=item is None))
    return found


def _attachment(wish: Wish, seen: Seen, names: Names) -> list[Act]:
    wanted = wish.attachment
    if wanted is None:
        return []
    path = str(wanted["virtual"])
    virtual = seen.all_virtuals.get(path)
    if virtual is None:
        raise Rejected(
            "the virtual server to attach to is not there any more",
            where=path,
            state="nothing was changed by this step",
            remedy="correct attach, then plan again",
            code="not_found",
        )
    theirs = [str(one) for one in _list(wanted.get("policies"))]
    policies = [policy.path for policy in wish.policies(names)][:1] or theirs
    body: dict[str, Any] = {}
    if profile_names(virtual) != wanted.get("profiles"):
        body["profiles"] = wanted.get("profiles")
    if policy_names(virtual) != policies:
        body["policies"] = [{"name": one} for one in policies]
    return [Act(things.VIRTUAL, path, body)] if body else []


def _present(thing: Thing, seen: Seen) -> Thing | None:
    item = seen.of(thing.collection).get(thing.path)
    return None if item is None else projected(thing.collection, item)


def _changes(thing: Thing, present: Thing | None) -> dict[str, Any]:
    changed: dict[str, Any] = {
        name: value for name, value in thing.body.items() if present is None or not alike(present.body.get(name), value)
    }
    if "vlans" in changed:
        changed["vlansEnabled" if changed["vlans"] else "vlansDisabled"] = True
    return changed


def _differs(thing: Thing, present: Thing) -> bool:
    return bool(_changes(thing, present))


def _addresses(pool: Thing) -> list[tuple[str, int]]:
    listed = _list(pool.body.get("members"))
    return [(str(one["address"]), int(str(one["port"]))) for one in listed if isinstance(one, dict)]


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
