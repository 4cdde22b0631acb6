"""Answers to checks: one look, one line for a person.

Rule of this room: reads only. A server counts as up only by a monitor that has answered.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import JsonValue

from lbsync.kit import answers
from lbsync.kit.answers import number, short
from lbsync.model import Check, CheckResult, Mode
from lbsync.services import Service
from lbsync_certs import Fingerprint
from lbsync_f5 import things
from lbsync_f5.device import Device
from lbsync_f5.judge import own_things, server_of, structure
from lbsync_f5.traffic import all_members, connections_of, live_pools, modes_now, names_live, pools
from lbsync_f5.wire import PoolMember

_HANDSHAKE_S = 10.0


def _published(device: Device, check: Check) -> CheckResult:
    wanted = check.args.get("structure")
    seen = device.see()
    found = structure(seen, device.settings, device.names)
    if wanted is None:
        gone = not own_things(seen, device.names)
        return CheckResult(
            passed=gone, detail="nothing of ours is there" if gone else "objects of ours are still there"
        )
    if found != wanted:
        return CheckResult(passed=False, detail=f"our objects are {short(found)}, wanted {short(wanted)}")
    with device.reading() as session:
        waiting = sorted(
            {one.name for members in pools(session, device).values() for one in members if not one.checked}
        )
    if waiting:
        return CheckResult(passed=False, detail=f"first health checks of {', '.join(waiting)} are under way")
    evidence: dict[str, JsonValue] = {"structure": wanted, "version": seen.version}
    return CheckResult(passed=True, detail="the BIG-IP has our objects", evidence=evidence)


def _serving(device: Device, check: Check) -> CheckResult:
    from lbsync.kit.handshake import handshake

    wanted, settings = check.args["leaf"], device.settings
    served = handshake(settings.probe, settings.https_port, device.spec.hosts[0], ca_pem=None, timeout_s=_HANDSHAKE_S)
    evidence: dict[str, JsonValue] = {"leaf": served.fingerprint, "tls": served.tls_version}
    detail = f"{settings.probe}:{settings.https_port} serves {short(served.fingerprint)}"
    return CheckResult(passed=served.fingerprint == wanted, detail=detail, evidence=evidence)


def _modes(device: Device, check: Check) -> CheckResult:
    wanted = Mode(str(check.args["mode"]))
    listed = check.args.get("services")
    services = [Service(str(one)) for one in listed] if isinstance(listed, list) else []
    with device.reading() as session:
        live = modes_now(device, session)
    other = [f"{one} {live.get(one, 'unknown')}" for one in services if live.get(one) is not wanted]
    return CheckResult(
        passed=not other, detail=f"not yet: {', '.join(other)}" if other else f"all go to their {wanted} pools"
    )


def _pool_up(device: Device, check: Check) -> CheckResult:
    mode, only = Mode(str(check.args["mode"])), check.args.get("server")
    with device.reading() as session:
        names = names_live(device, session)
        pool = names.pool(Service(str(check.args["service"])), mode)
        there = pools(session, device).get(pool, ())
    members = [one for one in there if only is None or server_of(device.spec, mode, one.address, one.port) == only]
    up = [one.name for one in members if takes_requests(one)]
    evidence: dict[str, JsonValue] = {"up": [*up]}
    told = "; ".join(f"{one.name} {one.state}" for one in members) or "no server"
    return CheckResult(passed=len(up) >= number(check.args.get("min"), 1), detail=f"{pool}: {told}", evidence=evidence)


def _member_up(device: Device, check: Check) -> CheckResult:
    server, only = str(check.args["server"]), check.args.get("services")
    with device.reading() as session:
        wanted = {
            pool
            for service, (pool, _) in live_pools(device, session).items()
            if not isinstance(only, list) or service.value in only
        }
        there = all_members(session, device, server)
    down = [f"{pool} {one.state} {one.session}" for pool, one in there if pool in wanted and not takes_requests(one)]
    # Without a pool of ours nothing was drained here, and nothing is to come back.
    detail = f"{server} is not back in {'; '.join(down)}" if down else f"{server} takes requests in {len(wanted)} pools"
    return CheckResult(passed=not down, detail=detail, evidence={"pools": [*sorted(wanted)]})


def _spare(device: Device, check: Check) -> CheckResult:
    server, needed = str(check.args["server"]), number(check.args.get("min"), 1)
    short_of: list[str] = []
    with device.reading() as session:
        found = pools(session, device)
        for pool, mode in live_pools(device, session).values():
            up = {
                server_of(device.spec, mode, one.address, one.port) or one.name
                for one in found.get(pool, ())
                if takes_requests(one)
            }
            if up and len(up - {server}) < needed:  # a pool without any server up loses nothing by one server less
                short_of.append(f"{pool}: {', '.join(sorted(up - {server})) or 'nobody'}")
    if short_of:
        return CheckResult(passed=False, detail=f"{needed} others must be up; there are in {'; '.join(short_of)}")
    return CheckResult(passed=True, detail=f"at least {needed} others are up in every pool")


def _drained(device: Device, check: Check) -> CheckResult:
    server = str(check.args["server"])
    with device.reading() as session:
        there = all_members(session, device, server)
        open_pools = [pool for pool, one in there if not one.draining]
        if open_pools:
            return CheckResult(passed=False, detail=f"{server} still takes requests in {', '.join(open_pools)}")
        busy = connections_of(session, device, server)
    return CheckResult(passed=busy == 0, detail=f"{busy} connections to {server}", evidence={"connections": busy})


def takes_requests(member: PoolMember) -> bool:
    """Up, and neither drained nor forced offline."""
    return member.up and not member.draining


def _gone(device: Device, check: Check) -> CheckResult:
    leaf = Fingerprint(str(check.args["leaf"]))
    held = ((things.SSL_CERT, device.names.certificate(leaf)), (things.SSL_KEY, device.names.key(leaf)))
    with device.reading() as session:
        there = any(session.get(collection, path) is not None for collection, path in held)
    return answers.gone(device.names.certificate(leaf), there=there)


_VERBS: dict[str, Callable[[Device, Check], CheckResult]] = {
    "published": _published,
    "serving": _serving,
    "modes": _modes,
    "pool-up": _pool_up,
    "member-up": _member_up,
    "spare": _spare,
    "drained": _drained,
    "certificate-gone": _gone,
}


def answer(device: Device, check: Check) -> CheckResult:
    """One check. Raises TargetError where it cannot be asked, ValueError for a verb that is none of ours."""
    return answers.answer(_VERBS, device, check)
