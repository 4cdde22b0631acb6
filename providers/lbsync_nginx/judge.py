"""From what was seen to the facts a plan is made from.

Rule of this room: pure. Where disk and workers disagree (a killed run, somebody's hand, a reload that failed) the structure is
reported as unknown: then a publish is due, which writes and loads everything anew.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from pydantic import JsonValue

from lbsync.facts import BalancerFacts, BalancerLive, MemberLive
from lbsync.services import Service
from lbsync.target import BalancerSpec
from lbsync_certs import Fingerprint
from lbsync_nginx.blockers import blockers, listens_wanted, modules_of
from lbsync_nginx.inherited import changing
from lbsync_nginx.layout import Layout, main_file
from lbsync_nginx.listens import speaks_http2, with_default, without_default
from lbsync_nginx.notes import notes
from lbsync_nginx.render import render, structure_of
from lbsync_nginx.seen import Seen
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import NO_LEAF, Links, NginxState, served_by
from lbsync_nginx.version import OLDEST, Version

PROVIDER = "nginx"


def judge(spec: BalancerSpec, settings: NginxSettings, seen: Seen, services: Iterable[Service]) -> BalancerFacts:
    """The facts; ``services`` limits modes and members to those asked for."""
    asked = [service for service in spec.services if service in frozenset(services)]
    version = version_in(seen)
    state = seen.running.state if seen.running else seen.disk.state(main_file(settings))
    apart = tuple(_disagreements(settings, seen))
    return BalancerFacts(
        balancer=spec.name,
        provider=PROVIDER,
        version=version.text if seen.host.program else "",
        published=seen.running is not None and seen.disk.structure is not None,
        structure=None if apart else seen.disk.structure,
        wanted_structure=structure_of(render(spec, settings, version)) or "",
        modes={service: mode for service in asked if state and (mode := state.modes.get(service))},
        leaf=_leaf(settings, seen),
        installed=seen.disk.installed,
        marker=seen.disk.marker,
        blockers=tuple(blockers(spec, settings, seen)),
        problems=(*apart, *_oddities(settings, seen), *_named_members(spec), *_beside_others(spec, settings, seen)),
        notes=tuple(notes(settings, version)),
        image=_image(settings, seen),
        live=BalancerLive(members=_members(asked, seen)),
    )


def version_in(seen: Seen) -> Version:
    """The version to write for; the oldest supported where it is unknown."""
    program = seen.host.program
    return program.version if program and program.version else Version(OLDEST)


def _image(settings: NginxSettings, seen: Seen) -> dict[str, JsonValue]:
    """Before-images of our files and the link, the administrator's files as a digest, and what NGINX warns of already."""
    home = Layout.of(settings)
    tested = seen.host.tested
    ours = (home.file(name) for name in seen.disk.files)
    return {
        "files": {**seen.disk.files},
        "link": seen.disk.link(main_file(settings)),
        "certs_directory": seen.disk.certs_directory,
        "foreign": tested.dump.digest(ours) if tested is not None and tested.passed else None,
        "log": seen.host.program.default_error_log if seen.host.program else None,
        "warnings": [*sorted(tested.warnings)] if tested is not None else [],
    }


def _leaf(settings: NginxSettings, seen: Seen) -> Fingerprint | None:
    disk = seen.disk.state(main_file(settings))
    found = served_by(disk, seen.disk.links) if disk else None
    if found == NO_LEAF or (seen.running is not None and served_by(seen.running.state, seen.disk.links) != found):
        return None
    return found


def _disagreements(settings: NginxSettings, seen: Seen) -> Iterator[str]:
    """Where the workers and the disk differ, in words."""
    disk = seen.disk.state(main_file(settings))
    running = seen.running.state if seen.running else None
    if seen.host.master is None:
        return
    if running is None:
        if disk is not None:
            yield "Our configuration is on disk, but NGINX does not run it: it was not reloaded, or the reload failed."
        return
    if disk is None or seen.disk.structure is None:
        yield "NGINX still runs our configuration, which is not (wholly) on disk any more."
        return
    if seen.disk.structure != disk.structure:
        yield "Our files on disk are not of one piece: they come from different moments."
    if running.structure != disk.structure:
        yield "NGINX runs another configuration of ours than the one on disk: it was not reloaded, or the reload failed."
    yield from _other_state(running, disk, seen.disk.links)


def _other_state(running: NginxState, disk: NginxState, links: Links) -> Iterator[str]:
    served, due = served_by(running, links), served_by(disk, links)
    if served != due:
        yield f"NGINX serves {_short(served)}, on disk is {_short(due)}: the next reload would change it."
    for service, mode in disk.modes.items():
        if running.modes.get(service) is not mode:
            now = running.modes.get(service, "unknown")
            yield f"{service} is in mode {now} in NGINX, {mode} on disk: the next reload would change it."
    for server in sorted(set(running.down) ^ set(disk.down)):
        word = "drained" if server in running.down else "taking requests"
        yield f"{server} is {word} in NGINX, not so on disk: the next reload would change it."


def _oddities(settings: NginxSettings, seen: Seen) -> Iterator[str]:
    state = seen.running.state if seen.running else None
    for server in state.down if state else ():
        yield f"{server} is drained in NGINX: it gets nothing new."
    if seen.host.program_replaced:
        yield "NGINX's program was replaced since it was started: restart it, or lbsync writes for the version on the disk."
    if seen.host.unclear:
        yield f"NGINX's configuration could not be understood ({seen.host.unclear}): look for conflicts yourself."
    limit = [one.args[0] for one in seen.host.tree if one.name == "worker_shutdown_timeout" and one.args]
    if limit and _seconds(limit[-1]) < settings.long_request_s:
        yield (
            f"worker_shutdown_timeout {limit[-1]} cuts requests that are still under way that long after each reload "
            f"(ActiveSync waits up to 30 min): take it out, or set it above {settings.long_request_s}s."
        )


def _beside_others(spec: BalancerSpec, settings: NginxSettings, seen: Seen) -> Iterator[str]:
    """What the administrator's other servers and blocks mean for ours."""
    ours, theirs = listens_wanted(spec, settings), seen.host.theirs
    for other in speaks_http2(ours, theirs):
        yield f"{other.where} brings HTTP/2 to our address too: clients may speak it to Exchange's names."
    for other in without_default(ours, theirs):
        yield (
            f"{other.where} shares an address with us, and no server there is the default_server: names that nobody has are "
            "answered by whichever is included first. Mark the one that shall."
        )
    if settings.tls_min != "TLSv1.2" or not settings.resumption:
        for other in with_default(ours, theirs):
            yield (
                f"{other.where} is the default server of our address: NGINX may take its ssl_protocols and session settings for "
                "ours. Set tls_min and resumption there alike."
            )
    yield from changing(seen.host.tree, modules_of(settings))


def _named_members(spec: BalancerSpec) -> Iterator[str]:
    for member in spec.members:
        try:
            ipaddress.ip_address(member.address)
        except ValueError:
            yield (
                f"{member.name} is reached by the name {member.address}, which NGINX resolves only when it loads: without DNS at "
                "a restart it would not start. Set the server's address."
            )


def _seconds(text: str) -> float:
    """A time as NGINX writes it, for one unit; endless for what is not understood."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
    number = text.rstrip("smhd")
    unit = text[len(number) :]
    return float(number) * units[unit] if number.isdigit() and unit in units else float("inf")


def _short(leaf: Fingerprint | None) -> str:
    return f"certificate {leaf[:12]}" if leaf and leaf != NO_LEAF else "no certificate"


def _members(services: Iterable[Service], seen: Seen) -> tuple[MemberLive, ...]:
    wanted, down = frozenset(services), seen.running.state.down if seen.running else ()
    return tuple(
        MemberLive(
            server=one.server,
            service=one.service,
            mode=one.mode,
            up=one.up,
            draining=one.server in down,
            sessions=seen.connections.get((one.server, one.mode), 0),
        )
        for one in seen.health
        if one.service in wanted
    )
