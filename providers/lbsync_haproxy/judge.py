"""From what was seen to the facts a plan is made from.

Rule of this room: pure. Where disk and memory disagree (a killed run, somebody's hand) the structure is reported as unknown:
then a publish is due, which writes and loads everything anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from lbsync.facts import BalancerFacts, BalancerLive, MemberLive
from lbsync.kit.endpoints import endpoint, first_clash
from lbsync.kit.pools import pools_of
from lbsync.kit.seal import body_of, seal_of
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import BalancerSpec
from lbsync_certs import Fingerprint
from lbsync_haproxy import layout
from lbsync_haproxy.binds import parse_binds
from lbsync_haproxy.disk import Disk
from lbsync_haproxy.host_view import HostView
from lbsync_haproxy.layout import Layout
from lbsync_haproxy.pools import PREFIX, modes_of, parse_map_body, pool_name
from lbsync_haproxy.render import render, structure_of
from lbsync_haproxy.runtime import Running
from lbsync_haproxy.settings import HaproxySettings
from lbsync_haproxy.wire import ServerRow, version_of

OLDEST = (2, 6)
PROVIDER = "haproxy"


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at everything. ``running`` is ``None`` when HAProxy does not answer; ``silence`` then says how."""

    disk: Disk
    running: Running | None
    silence: str
    host: HostView


def judge(spec: BalancerSpec, settings: HaproxySettings, seen: Seen, services: Iterable[Service]) -> BalancerFacts:
    """The facts; ``services`` limits modes and members to those asked for."""
    asked = [service for service in spec.services if service in frozenset(services)]
    disk, running = seen.disk, seen.running
    loaded = running is not None and running.loaded
    problems = [*_disagreements(spec, disk, running), *_oddities(disk, running, seen.host)]
    consistent = running is None or not _disagreements(spec, disk, running)
    entries = _entries(disk, running)
    return BalancerFacts(
        balancer=spec.name,
        provider=PROVIDER,
        version=running.version if running else "",
        published=loaded and disk.structure is not None,
        structure=disk.structure if consistent else None,
        wanted_structure=structure_of(render(spec, settings, {})) or "",
        modes=modes_of(entries, asked),
        leaf=_leaf(disk, running),
        installed=disk.installed,
        marker=disk.marker,
        blockers=(*_blockers(settings, seen), *_map_blockers(entries, running)),
        problems=tuple(problems),
        image=image_of(disk),
        live=BalancerLive(members=_members(asked, running)),
    )


def image_of(disk: Disk) -> dict[str, JsonValue]:
    """Before-images of the text files, the live link, and whether the certificate folder is there."""
    return {"files": {**disk.files}, "live": disk.live, "certs_directory": disk.certs_directory}


def _entries(disk: Disk, running: Running | None) -> dict[str, str]:
    if running is not None and running.map is not None:
        return running.map
    return parse_map_body(body_of(disk.files[layout.MAP] or ""))


def _leaf(disk: Disk, running: Running | None) -> Fingerprint | None:
    if running is None or not running.loaded or running.thumbprint == disk.live_thumbprint:
        return disk.live
    return None


def _disagreements(spec: BalancerSpec, disk: Disk, running: Running | None) -> list[str]:
    """Where memory and disk differ, in words."""
    if running is None:
        return []
    if not running.loaded:
        left = disk.structure is not None
        return ["Our configuration is on disk, but HAProxy does not run it yet: it was not reloaded."] if left else []
    found: list[str] = []
    if disk.structure is None:
        found.append("HAProxy still runs our configuration, which is not (wholly) on disk any more.")
    elif running.structure != disk.structure:
        found.append("HAProxy runs another configuration of ours than the one on disk: it was not reloaded.")
    if running.thumbprint != disk.live_thumbprint:
        found.append(
            f"HAProxy serves the certificate {running.thumbprint} from memory, on disk is {disk.live_thumbprint}: "
            "the next reload would change it."
        )
    on_disk = modes_of(parse_map_body(body_of(disk.files[layout.MAP] or "")), spec.services)
    in_memory = modes_of(running.map or {}, spec.services)
    found += [
        f"{service} is in mode {in_memory.get(service, 'unknown')} in memory, {on_disk.get(service, 'unknown')} on disk: "
        "the next reload would change it."
        for service in spec.services
        if on_disk.get(service) != in_memory.get(service)
    ]
    return found


def _oddities(disk: Disk, running: Running | None, host: HostView) -> list[str]:
    found = [
        f"{line} cannot be understood: make sure that it is not our address and port." for line in host.unclear_binds
    ]
    if host.loads is None and running is not None:
        found.append("The command line of HAProxy cannot be seen: make sure that it loads our directory with -f.")
    if disk.stale_ocsp:
        found.append(
            "An OCSP answer (certs/live.pem.ocsp) lies beside the live certificate: refresh it with the certificate."
        )
    rows = [row for row in (running.rows if running else ()) if row.pool.startswith(PREFIX)]
    maintained = {row.server for row in rows if row.maintenance}
    found += [f"{server} is in maintenance in HAProxy, set by somebody else." for server in sorted(maintained)]
    drained = {row.server for row in rows if row.draining} - maintained
    found += [f"{server} is drained in HAProxy: it takes no requests." for server in sorted(drained)]
    if running is not None and running.loaded:
        found += _next_start(rows, disk)
    return found


def _next_start(rows: Iterable[ServerRow], disk: Disk) -> list[str]:
    """Where a reload or a start, by whomever, would change which servers take requests."""
    forgotten = {row.server for row in rows if row.draining and (row.pool, row.server) not in disk.begins}
    stale = {row.server for row in rows if row.kept == "ready" and (row.pool, row.server) in disk.begins}
    return [
        *(
            f"{server} would be ready again after a reload: {layout.STATES} does not say otherwise."
            for server in sorted(forgotten)
        ),
        *(f"{server} would not be ready after a reload: {layout.STATES} says so." for server in sorted(stale)),
    ]


def _blockers(settings: HaproxySettings, seen: Seen) -> list[str]:
    home, disk, running, host = Layout(settings.directory), seen.disk, seen.running, seen.host
    found: list[str] = []
    if running is None:
        found.append(
            f"HAProxy does not answer on {settings.socket} ({seen.silence}). Start it, and have "
            f"`stats socket {settings.socket} mode 660 level admin` in its global section."
        )
    else:
        version = version_of(running.version)
        if version is None or version < OLDEST:
            found.append(f"HAProxy {running.version} is too old: 2.6 is the oldest that is supported. Upgrade it.")
        if running.level != "admin":
            found.append(
                f"The socket {settings.socket} has level {running.level or 'unknown'}: put `level admin` on its "
                "`stats socket` line and reload HAProxy."
            )
    if not disk.exists:
        found.append(f"The directory {home.directory} does not exist: `install -d -m 0755 {home.directory}`.")
    if running is not None and host.loads_directory(home.directory) is False:
        found.append(
            f"HAProxy does not load {home.directory}. On Debian and Ubuntu put this line into /etc/default/haproxy: "
            f'EXTRAOPTS="-S /run/haproxy-master.sock -f {home.directory}" and restart (not reload) HAProxy once.'
        )
    found += [f"{path} does not exist: correct config_file." for path in host.missing_files]
    found += host.missing_tools
    found += [
        f"{home.file(name)} is not one of ours, and HAProxy loads it with our directory: move it elsewhere."
        for name in disk.foreign
    ]
    found += _tampered(home, disk)
    found += _foreign_binds(settings, seen)
    return found


def _tampered(home: Layout, disk: Disk) -> list[str]:
    said = {"edited": "was edited by somebody after lbsync wrote it", "foreign": "was not written by lbsync"}
    return [
        f"{home.file(name)} {said[state]}: it is not overwritten. Keep what you need of it elsewhere, remove it, plan again."
        for name, text in disk.files.items()
        if (state := seal_of(text)) in said
    ]


def _foreign_binds(settings: HaproxySettings, seen: Seen) -> list[str]:
    ports = [port for port in (settings.https_port, settings.http_port) if port]
    loaded = seen.running is not None and seen.running.loaded
    own, _ = parse_binds(seen.disk.files[layout.CFG] or "", "") if loaded else ((), ())
    found: list[str] = []
    for port in ports:
        place = endpoint(settings.bind_address, port)
        if clash := first_clash(seen.host.binds, settings.bind_address, port):
            found.append(
                f"{clash.where} binds {clash.address}:{port}, which is our {place}: HAProxy would share connections between "
                "both. Remove that bind, or give lbsync another address."
            )
        elif not first_clash(own, settings.bind_address, port) and not (loaded and seen.disk.structure is None):
            clash = first_clash(seen.host.listening, settings.bind_address, port)
            if clash:
                found.append(
                    f"Something listens on {clash.address}:{port} already, where our listener {place} shall be: "
                    f"find it with `ss -ltnp 'sport = :{port}'` and stop it, or give lbsync another address."
                )
    return found


def _map_blockers(entries: Mapping[str, str], running: Running | None) -> list[str]:
    if running is None or running.map is None:
        return []
    return [
        f"The map in HAProxy's memory sends {key} to {value}, which is no backend (503 to clients): somebody set it. "
        "Reload HAProxy to take the map on disk again, or set the entry right, then plan again."
        for key, value in entries.items()
        if value not in running.proxies
    ]


def _members(services: Iterable[Service], running: Running | None) -> tuple[MemberLive, ...]:
    if running is None:
        return ()
    wanted: dict[str, tuple[Service, Mode]] = {pool_name(s, m): (s, m) for s, m in pools_of(services)}
    return tuple(
        MemberLive(
            server=row.server,
            service=wanted[row.pool][0],
            mode=wanted[row.pool][1],
            up=row.up,
            draining=row.draining or row.maintenance,
            sessions=row.sessions,
        )
        for row in running.rows
        if row.pool in wanted
    )
