"""Why nothing may be changed on an NGINX, each reason with its way out.

Rule of this room: pure. What a run would only meet half-way is told here, before a plan.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.kit.endpoints import endpoint, first_clash
from lbsync.kit.seal import seal_of
from lbsync.target import BalancerSpec
from lbsync_nginx.inherited import refusing
from lbsync_nginx.layout import HTTP, STREAM, Layout
from lbsync_nginx.listens import Listen, Module, conflicts
from lbsync_nginx.seen import Seen
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.version import OLDEST

_TAMPERED = {"edited": "was edited by somebody after lbsync wrote it", "foreign": "was not written by lbsync"}


def blockers(spec: BalancerSpec, settings: NginxSettings, seen: Seen) -> Iterator[str]:
    """Every reason, as sentences."""
    home = Layout.of(settings)
    yield from _program(settings, seen)
    if not seen.disk.exists:
        yield f"The directory {home.directory} does not exist: `install -d -m 0755 {home.directory}`."
    yield from _tampered(home, seen)
    yield from _members(spec)
    tested = seen.host.tested
    if tested is None:
        return
    if not tested.passed:
        words = "; ".join(tested.errors) or "no reason was given"
        yield f"NGINX does not accept its configuration as it is: {words}. Correct that first (nginx -t)."
        return
    yield from (
        f"{path} was changed after NGINX loaded it: a reload of lbsync's would put that change live. Finish it or put "
        "it back, and reload NGINX yourself (nginx -t, then systemctl reload nginx)."
        for path in seen.host.not_loaded
    )
    if not seen.host.unclear:
        yield from _not_included(settings, home, seen)
        yield from conflicts(listens_wanted(spec, settings), seen.host.theirs, _name(settings, home))
        yield from refusing(seen.host.tree, modules_of(settings))
    yield from _foreign_listeners(spec, settings, seen)


def modules_of(settings: NginxSettings) -> tuple[Module, ...]:
    """The blocks of NGINX's configuration that our files stand in."""
    return ("http",) if settings.proxy == "http" else ("stream",)


def listens_wanted(spec: BalancerSpec, settings: NginxSettings) -> tuple[Listen, ...]:
    """Where our files listen."""
    names = tuple(host.lower() for host in spec.hosts)
    address = settings.bind_address
    found = [Listen(settings.proxy, address, settings.https_port, tls=True, names=names)]
    found.append(Listen(settings.proxy, "127.0.0.1", settings.status_port, tls=False, names=("lbsync-status",)))
    if settings.mrsproxy_host is not None:
        found.append(Listen("stream", "127.0.0.1", settings.inner_port, tls=True))
    if settings.http_port:
        found.append(Listen("http", address, settings.http_port, tls=False, names=names))
    return tuple(found)


def _name(settings: NginxSettings, home: Layout) -> str:
    return home.stream if settings.proxy == "stream" else home.http_file


def _program(settings: NginxSettings, seen: Seen) -> Iterator[str]:
    program = seen.host.program
    if program is None:
        yield f"{settings.nginx} does not exist: set nginx to the path of the program."
    elif program.version is None:
        yield f"The version of NGINX cannot be understood ({program.said or 'it said nothing'})."
    elif not program.version.supported:
        oldest = ".".join(map(str, OLDEST))
        yield f"NGINX {program.version.text} is too old: {oldest} is the oldest that is supported. Upgrade it."
    elif settings.ntlm == "plus" and not program.version.plus:
        yield 'ntlm = "plus" needs NGINX Plus, and this is the open-source NGINX. Set proxy = "stream" instead.'
    if seen.host.upgrading:
        yield (
            "An upgrade of NGINX's program is under way: two masters serve side by side. Finish it (SIGQUIT to the old one, by "
            f"{settings.pid_file}.oldbin), or go back."
        )
    if seen.host.master is None:
        yield f"NGINX does not run (by {settings.pid_file}). Start it, or correct pid_file."


def _tampered(home: Layout, seen: Seen) -> Iterator[str]:
    for name, text in seen.disk.files.items():
        state = seal_of(text)
        if state in _TAMPERED:
            yield (
                f"{home.file(name)} {_TAMPERED[state]}: it is not overwritten. Keep what you need of it elsewhere, remove it, "
                "plan again."
            )


def _members(spec: BalancerSpec) -> Iterator[str]:
    names = {member.tls_name for member in spec.members}
    if len(names) > 1:
        yield (
            f"NGINX verifies one name for all members, and these have several: {', '.join(sorted(names))}. Set tls_name of every "
            "server to a name that all their certificates carry, as the first of publish.hosts."
        )


def _not_included(settings: NginxSettings, home: Layout, seen: Seen) -> Iterator[str]:
    includes = seen.host.includes
    needs_http = settings.proxy == "http" or settings.http_port
    if needs_http and not any(one.within == ("http",) and one.covers(home.file(HTTP)) for one in includes):
        yield (
            f"NGINX does not load {home.http_file}. Put this line into the http block of {settings.config_file}: "
            f"include {home.http_file.rpartition('/')[0]}/*.conf;"
        )
    if settings.proxy == "stream" and not any(
        one.within == ("stream",) and one.covers(home.file(STREAM)) for one in includes
    ):
        mask = f"{home.directory}/stream*.conf"
        yield (
            f"NGINX does not load {home.stream}. Put this at the end of {settings.config_file}, outside the http block, or the "
            f"include alone into the stream block that is there: stream {{ include {mask}; }} (the stream module is Debian's "
            "package libnginx-mod-stream)."
        )


def _foreign_listeners(spec: BalancerSpec, settings: NginxSettings, seen: Seen) -> Iterator[str]:
    """Another process on a port of ours: NGINX's own test passes it, and the reload fails silently."""
    own = [one.at for one in (*seen.host.theirs, *seen.host.ours)]
    for wanted in listens_wanted(spec, settings):
        if first_clash(own, wanted.address, wanted.port):
            continue  # NGINX has it
        clash = first_clash(seen.host.listening, wanted.address, wanted.port)
        if clash is not None:
            yield (
                f"Something listens on {endpoint(clash.address, clash.first)} already, where our listener "
                f"{endpoint(wanted.address, wanted.port)} shall be: find it with `ss -ltnp 'sport = :{wanted.port}'` and stop "
                "it, or give lbsync another address or port."
            )
