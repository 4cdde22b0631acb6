"""Answers to checks: one look, one line for a person.

Rule of this room: reads only. NGINX has no health checks of its own: members are asked here, from NGINX's host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydantic import JsonValue

from lbsync.errors import Unreachable
from lbsync.kit import answers
from lbsync.kit.answers import number, short
from lbsync.model import Check, CheckResult, Mode
from lbsync.services import Service
from lbsync_certs import Fingerprint
from lbsync_nginx.device import Device
from lbsync_nginx.disk import read_texts
from lbsync_nginx.effects import services_of
from lbsync_nginx.ending import to_come
from lbsync_nginx.live import serves
from lbsync_nginx.render import structure_of
from lbsync_nginx.seen import Health, Running
from lbsync_nginx.state import NginxState, state_of


def _published(device: Device, check: Check) -> CheckResult:
    wanted = check.args.get("structure")
    running, files = device.running(), read_texts(device.host, device.home)
    on_disk = structure_of(files)
    if wanted is None:
        gone = running is None and on_disk is None
        return CheckResult(passed=gone, detail="nothing of ours runs" if gone else "our listeners still run")
    runs = running.state.structure if running else None
    if runs != wanted or on_disk != wanted:
        detail = f"runs {short(runs)}, on disk {short(on_disk)}, wanted {short(wanted)}"
        return CheckResult(passed=False, detail=detail)
    evidence: dict[str, JsonValue] = {"structure": wanted, "pid": running.pid if running else None}
    return CheckResult(passed=True, detail="NGINX runs our files", evidence=evidence)


def _serving(device: Device, check: Check) -> CheckResult:
    leaf = Fingerprint(str(check.args["leaf"]))
    problem, settings = serves(device, leaf), device.settings
    detail = problem or f"{settings.probe}:{settings.https_port} serves {short(leaf)}"
    return CheckResult(passed=not problem, detail=detail, evidence={"leaf": leaf} if not problem else {})


def _mode(device: Device, check: Check) -> CheckResult:
    services, mode = services_of(check.args["services"]), Mode(str(check.args["mode"]))
    running, disk = device.running(), state_of(read_texts(device.host, device.home)[device.main])
    others = [
        f"{service} is in mode {_mode_of(running.state if running else None, service)}, on disk {_mode_of(disk, service)}"
        for service in services
        if {_mode_of(running.state if running else None, service), _mode_of(disk, service)} != {mode.value}
    ]
    return CheckResult(passed=not others, detail="; ".join(others) or f"all in mode {mode}, running and on disk")


def _mode_of(state: NginxState | None, service: Service) -> str:
    mode = state.modes.get(service) if state else None
    return mode.value if mode else "unknown"


def _pool_up(device: Device, check: Check) -> CheckResult:
    service, mode = Service(str(check.args["service"])), Mode(str(check.args["mode"]))
    running = _running(device)
    only = check.args.get("server")
    asked = [one for one in device.health((service,), (mode,)) if only is None or one.server == only]
    up = [one.server for one in asked if one.up and one.server not in running.state.down]
    evidence: dict[str, JsonValue] = {"up": [*up]}
    detail = f"{service} in mode {mode}: " + ("; ".join(f"{one.server} {one.said}" for one in asked) or "no server")
    return CheckResult(passed=len(up) >= number(check.args.get("min"), 1), detail=detail, evidence=evidence)


def _member_up(device: Device, check: Check) -> CheckResult:
    server, only = str(check.args["server"]), check.args.get("services")
    running = device.running()
    if running is None:
        return CheckResult(passed=True, detail=f"nothing of ours runs, so {server} was not taken out")
    if server in running.state.down:
        return CheckResult(passed=False, detail=f"{server} is still taken out")
    wanted = [one for one in device.spec.services if not isinstance(only, list) or one.value in only]
    asked = [one for one in _live(device.health(wanted), running) if one.server == server]
    down = [f"{one.service} ({one.said})" for one in asked if not one.up]
    detail = f"{server} is not up for {', '.join(down)}" if down else f"{server} is up for {len(asked)} services"
    return CheckResult(passed=not down, detail=detail, evidence={"services": [one.service.value for one in asked]})


def _spare(device: Device, check: Check) -> CheckResult:
    server, needed = str(check.args["server"]), number(check.args.get("min"), 1)
    running = _running(device)
    short: list[str] = []
    asked = _live(device.health(), running)
    for service in device.spec.services:
        up = [one.server for one in asked if one.service is service and one.up and one.server not in running.state.down]
        others = [name for name in up if name != server]
        if up and len(others) < needed:  # a service without any server up loses nothing by one server less
            short.append(f"{service}: {', '.join(others) or 'nobody'}")
    if short:
        return CheckResult(passed=False, detail=f"{needed} others must be up; there are for {'; '.join(short)}")
    return CheckResult(passed=True, detail=f"at least {needed} others are up for every service")


def _drained(device: Device, check: Check) -> CheckResult:
    server = str(check.args["server"])
    running = device.running()
    if running is not None and server not in running.state.down:
        return CheckResult(passed=False, detail=f"{server} still gets new connections")
    # First: whoever is still to come may have come by the next look.
    if coming := to_come(device.host, device.spec, device.settings):
        return CheckResult(passed=False, detail=f"{server}: {coming}")
    busy = sum(count for (name, _), count in device.connections().items() if name == server)
    what = "1 connection is" if busy == 1 else f"{busy} connections are"
    detail = f"{what} open to {server}, those of old workers included"
    return CheckResult(passed=busy == 0, detail=detail, evidence={"connections": busy})


def _running(device: Device) -> Running:
    running = device.running()
    if running is None:
        raise Unreachable("NGINX does not run our listener", where=device.spec.name)
    return running


def _live(asked: Iterable[Health], running: Running) -> list[Health]:
    """Only the answers that count now: those in the mode each service is in."""
    return [one for one in asked if running.state.modes.get(one.service) is one.mode]


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
