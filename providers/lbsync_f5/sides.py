"""Serve another leaf and send new connections to other servers, in one moment.

Rule of this room: leaf and pools belong together. An open connection has the certificate, the policy and the pools that its
virtual server had when it was opened, so each side of a switch has pools of its own: those that were live are closed, and their
twins, where ``fresh`` alone take requests, are live from then on. A connection opened under the leaf before goes on with the
server that it has; where it has none (nothing was asked yet, or the server hung up), its next request finds nobody and it is
reset: it never meets a server that holds another leaf.

How open connections treat a change of their virtual server was not checked on a device (the simulation's assumption
``traffic-connection-keeps-virtual``).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from pydantic import JsonValue

from lbsync.errors import Denied, Rejected, TargetError
from lbsync.kit.waiting import then_cut, wait_for
from lbsync.model import Mode, Receipt
from lbsync.services import Service
from lbsync_certs import Fingerprint
from lbsync_f5 import things
from lbsync_f5.device import Device
from lbsync_f5.effects import DISABLED, ENABLED, chain_of, cut_sessions, refuse_forced, suppress_in_use
from lbsync_f5.judge import policy_for, server_of
from lbsync_f5.modes import there_for_policy
from lbsync_f5.names import Names, leaf_of
from lbsync_f5.policy import live_names, modes_of, mrsproxy_policy
from lbsync_f5.project import policy_names, policy_rules
from lbsync_f5.session import Session
from lbsync_f5.things import Thing
from lbsync_f5.traffic import all_members, front, pools
from lbsync_f5.wire import PoolMember, served

_CHECK_ROUNDS = 3
"""Health checks that ``fresh`` are given to be up."""
Pools = Mapping[str, Sequence[PoolMember]]


@dataclass(frozen=True, slots=True)
class _Sides:
    """Who takes requests, and by which names the pools are live: ``now``, and ``then``."""

    old: frozenset[str]
    fresh: frozenset[str]
    now: Names
    then: Names

    def sessions(self, device: Device, found: Pools) -> dict[tuple[str, str], str]:
        """What must change, by pool and member: closed pools take nobody, the others as the sides say.

        A server of neither side keeps the state that it has in the pool that is live now.
        """
        twins = {self.then.pool(one, Mode.BRIDGE): self.now.pool(one, Mode.BRIDGE) for one in Service}
        wanted: dict[tuple[str, str], str] = {}
        for pool, members in found.items():
            before = {one.name: one.held for one in found.get(twins.get(pool, pool), members)}
            for one in members:
                server = _server(device, one)
                out = server in self.old or (server not in self.fresh and before.get(one.name, one.held))
                held = pool in self.then.closed or out
                if one.held is not held:
                    wanted[pool, one.name] = DISABLED if held else ENABLED
        return wanted


@dataclass(frozen=True, slots=True)
class _Virtual:
    """A virtual server that shares the certificate: its policies, and those of ours that it has ``then`` and has not any more."""

    path: str
    others: tuple[str, ...]
    then: Thing
    gone: frozenset[str]


def names_in(args: Mapping[str, JsonValue], key: str) -> tuple[str, ...]:
    """The servers that an action names under a key."""
    listed = args[key]
    return tuple(str(one) for one in listed) if isinstance(listed, list) else ()


def switch_sides(device: Device, args: Mapping[str, JsonValue]) -> Receipt:
    """See ``lbsync.changes.SwitchSides``: one transaction, saved together with whoever is drained by then.

    With ``cut_after_s`` what is left at ``old`` after that time is ended.

    Raises Rejected where ``fresh`` are down or forced offline, where nothing that has sides is published, or where the
    certificate is not there; TargetError. Whatever is refused, everything is as it was.
    """
    old, fresh, leaf = names_in(args, "old"), names_in(args, "fresh"), Fingerprint(str(args["after"]))
    with device.changing() as session:
        path, item, policy = front(device, session)
        rules = policy_rules(policy) if policy is not None else []
        now, modes = live_names(rules, device.names), modes_of(rules, device.names)
        # A leaf that is served has its side already: only who takes requests may differ then.
        switched = _served(device, session) == leaf
        sides = _Sides(frozenset(old), frozenset(fresh), now, now if switched else now.turned)
        found = pools(session, device)
        if not modes or not sides.then.turned.closed & set(found):
            raise _not_published(path)
        _refuse_absent(device, session, sides, modes)
        virtuals = _virtuals(device, session, (path, item), sides.then, modes)
        entry = None if switched else chain_of(device, session, leaf)
        sessions = sides.sessions(device, found)

        def change() -> None:
            if entry is not None:
                session.modify(things.CLIENT_SSL, device.names.client_ssl, {"certKeyChain": entry})
                for one in virtuals:
                    policies = [{"name": name} for name in (*one.others, one.then.path)]
                    session.modify(things.VIRTUAL, one.path, {"policies": policies})
            for (pool, member), state in sessions.items():
                session.modify_member(pool, member, {"session": state})

        with _policies(session, [one.then for one in virtuals] if entry is not None else []):
            if entry is not None or sessions:
                session.atomically(change)
        for name in sorted(name for one in virtuals for name in one.gone):
            with suppress_in_use():  # somebody else's virtual server has it: it stays, for them
                session.delete(things.POLICY, name)
    receipt = Receipt(
        summary=f"new connections are given certificate {leaf[:12]} and go to {', '.join(fresh)}, none to {', '.join(old)}",
        details={"object": device.names.certificate(leaf), "members": len(sessions)},
    )
    return then_cut(receipt, old, args.get("cut_after_s"), partial(cut_sessions, device))


@contextmanager
def _policies(session: Session, wanted: Sequence[Thing]) -> Generator[None]:
    """Makes them, since no transaction can; what was made is removed where what follows is refused."""
    made: list[str] = []
    try:
        for policy in wanted:
            if session.get(things.POLICY, policy.path) is None:
                made.append(policy.path)
                session.publish_policy(policy.path, policy.body)
        yield
    except (Denied, Rejected):  # after anything else nobody knows what was done: doing it again tells
        with suppress(TargetError):
            for path in made:
                session.delete(things.POLICY, path)
        raise


def _served(device: Device, session: Session) -> Fingerprint | None:
    profile = session.get(things.CLIENT_SSL, device.names.client_ssl)
    return leaf_of(served(profile) or "") if profile is not None else None


def _virtuals(
    device: Device,
    session: Session,
    live: tuple[str, Mapping[str, object]],
    then: Names,
    modes: Mapping[Service, Mode],
) -> list[_Virtual]:
    """The one that carries Exchange, and MRSProxy's own where there is one: it shares the certificate."""
    path, item = live
    there = tuple(there_for_policy(device, session, item))
    found = [_virtual(device, path, item, policy_for(then, there, modes), policy_for(then.turned, there, modes))]
    apart = session.get(things.VIRTUAL, device.names.mrsproxy, expand=True)
    if apart is not None:
        pair = mrsproxy_policy(then), mrsproxy_policy(then.turned)
        found.append(_virtual(device, device.names.mrsproxy, apart, *pair))
    return found


def _virtual(device: Device, path: str, item: Mapping[str, object], then: Thing, before: Thing) -> _Virtual:
    has, ours = policy_names(item), device.names.policy("")
    mine = {one for one in has if one.startswith(ours)}
    # The one before is named also where it is not there any more: a killed run may have left it.
    return _Virtual(
        path, tuple(one for one in has if one not in mine), then, frozenset({*mine, before.path} - {then.path})
    )


def _refuse_absent(device: Device, session: Session, sides: _Sides, modes: Mapping[Service, Mode]) -> None:
    """Where somebody is up, one of ``fresh`` must be: all that is new goes to them alone."""
    for server in sorted(sides.fresh):
        refuse_forced(device, server, all_members(session, device, server))

    def dead() -> list[str]:
        found = pools(session, device)
        live = {
            path: found.get(path, ()) for path in (sides.then.pool(service, mode) for service, mode in modes.items())
        }
        up = {path: {_server(device, one) for one in members if one.up} for path, members in live.items()}
        return [path for path, servers in up.items() if servers and not servers & sides.fresh]

    if not wait_for(lambda: not dead(), _CHECK_ROUNDS * float(device.settings.monitor_interval_s)):
        left = dead()
        if left:
            raise Rejected(
                f"none of {', '.join(sorted(sides.fresh))} is up in {', '.join(left)}",
                where=device.spec.name,
                state="certificate and servers are as they were",
                remedy="see why the health checks of these servers fail",
                code="pool_down",
            )


def _server(device: Device, member: PoolMember) -> str | None:
    found = (server_of(device.spec, mode, member.address, member.port) for mode in Mode)
    return next((server for server in found if server is not None), None)


def _not_published(where: str) -> Rejected:
    return Rejected(
        "nothing is published here that has two sides",
        where=where,
        state="certificate and servers are as they were",
        remedy="plan again: a publish is due",
        code="no_policy",
    )
