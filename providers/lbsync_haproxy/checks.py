"""Answers to checks: one look, one line for a person.

Rule of this room: reads only. A server counts as up only by a health check that was really made: after a start or a reload
HAProxy takes every server for up until the first one ends.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import JsonValue

from lbsync.kit import answers
from lbsync.kit.answers import number, short
from lbsync.model import Check, CheckResult, Mode
from lbsync.services import Service
from lbsync_certs import Fingerprint
from lbsync_haproxy import layout
from lbsync_haproxy.device import Device, takes_requests
from lbsync_haproxy.disk import read_disk, read_text
from lbsync_haproxy.effects import map_modes
from lbsync_haproxy.pools import PREFIX, map_key, pool_name
from lbsync_haproxy.workers import left_at

_HANDSHAKE_S = 10.0


def _published(device: Device, check: Check) -> CheckResult:
    wanted = check.args.get("structure")
    running, disk = device.look(), read_disk(device.host, device.home)
    if wanted is None:
        gone = not running.loaded and disk.files[layout.CFG] is None
        return CheckResult(passed=gone, detail="nothing of ours runs" if gone else "our listeners still run")
    if running.structure != wanted or disk.structure != wanted:
        detail = f"runs {short(running.structure)}, on disk {short(disk.structure)}, wanted {short(wanted)}"
        return CheckResult(passed=False, detail=detail)
    waiting = sorted({row.server for row in running.rows if row.pool.startswith(PREFIX) and not row.checked})
    if waiting:
        return CheckResult(passed=False, detail=f"first health checks of {', '.join(waiting)} are under way")
    evidence: dict[str, JsonValue] = {"structure": wanted, "version": running.version, "pid": running.pid}
    return CheckResult(passed=True, detail="HAProxy runs our files", evidence=evidence)


def _serving(device: Device, check: Check) -> CheckResult:
    from lbsync.kit.handshake import handshake

    wanted, settings = check.args["leaf"], device.settings
    served = handshake(settings.probe, settings.https_port, device.spec.hosts[0], ca_pem=None, timeout_s=_HANDSHAKE_S)
    evidence: dict[str, JsonValue] = {"leaf": served.fingerprint, "tls": served.tls_version}
    return CheckResult(
        passed=served.fingerprint == wanted,
        detail=f"{settings.probe}:{settings.https_port} serves {short(served.fingerprint)}",
        evidence=evidence,
    )


def _mode(device: Device, check: Check) -> CheckResult:
    service, mode = Service(str(check.args["service"])), Mode(str(check.args["mode"]))
    key, wanted = map_key(service), pool_name(service, mode)
    memory = (device.look().map or {}).get(key)
    disk = map_modes(read_text(device.host, device.home, layout.MAP), key)
    return CheckResult(
        passed=memory == disk == wanted, detail=f"{key} goes to {memory}, on disk to {disk}", evidence={"pool": memory}
    )


def _pool_up(device: Device, check: Check) -> CheckResult:
    pool = pool_name(Service(str(check.args["service"])), Mode(str(check.args["mode"])))
    only = check.args.get("server")
    rows = [row for row in device.pool_rows(device.look(), pool) if only is None or row.server == only]
    up = [row.server for row in rows if takes_requests(row)]
    evidence: dict[str, JsonValue] = {"up": [*up]}
    needed = number(check.args.get("min"), 1)
    return CheckResult(
        passed=len(up) >= needed,
        detail=f"{pool}: "
        + ("; ".join(f"{row.server} {row.last_check or 'unchecked'}" for row in rows) or "no server"),
        evidence=evidence,
    )


def _member_up(device: Device, check: Check) -> CheckResult:
    server, only = str(check.args["server"]), check.args.get("services")
    running = device.look()
    pools = device.live_pools(running)
    wanted = {pool for service, pool in pools.items() if not isinstance(only, list) or service in only}
    rows = device.rows(running, server)
    down = [f"{row.pool} {row.last_check}" for row in rows if row.pool in wanted and not takes_requests(row)]
    # Without a pool of ours nothing was drained here, and nothing is to come back.
    detail = f"{server} is not back in {'; '.join(down)}" if down else f"{server} takes requests in {len(wanted)} pools"
    return CheckResult(passed=not down, detail=detail, evidence={"pools": [*sorted(wanted)]})


def _spare(device: Device, check: Check) -> CheckResult:
    server, needed = str(check.args["server"]), number(check.args.get("min"), 1)
    running = device.look()
    short: list[str] = []
    for pool in device.live_pools(running).values():
        up = [row.server for row in device.pool_rows(running, pool) if takes_requests(row)]
        others = [name for name in up if name != server]
        if up and len(others) < needed:  # a pool without any server up loses nothing by one server less
            short.append(f"{pool}: {', '.join(others) or 'nobody'}")
    if short:
        return CheckResult(passed=False, detail=f"{needed} others must be up; there are in {'; '.join(short)}")
    return CheckResult(passed=True, detail=f"at least {needed} others are up in every pool")


def _drained(device: Device, check: Check) -> CheckResult:
    server = str(check.args["server"])
    rows = device.rows(device.look(), server)
    open_pools = [row.pool for row in rows if row.state == "ready"]
    if open_pools:
        return CheckResult(passed=False, detail=f"{server} still takes requests in {', '.join(open_pools)}")
    left = left_at(device, server)
    evidence: dict[str, JsonValue] = {"requests": left.requests, "connections": left.connections}
    return CheckResult(passed=left.nothing, detail=left.at(server), evidence=evidence)


def _gone(device: Device, check: Check) -> CheckResult:
    path = device.home.certificate(Fingerprint(str(check.args["leaf"])))
    return answers.gone(path, there=device.host.stat(path) is not None)


_VERBS: dict[str, Callable[[Device, Check], CheckResult]] = {
    "published": _published,
    "serving": _serving,
    "mode": _mode,
    "pool-up": _pool_up,
    "member-up": _member_up,
    "spare": _spare,
    "drained": _drained,
    "certificate-gone": _gone,
}


def answer(device: Device, check: Check) -> CheckResult:
    """One check. Raises TargetError where it cannot be asked, ValueError for a verb that is none of ours."""
    return answers.answer(_VERBS, device, check)
