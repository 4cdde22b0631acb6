"""Values that the tests of the pure rooms share: a farm, settings of each way of proxying, versions, a look at an NGINX.

Rule of this file: values only; nothing runs.
"""

from __future__ import annotations

from lbsync.kit.endpoints import Endpoint
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec, Member
from lbsync_certs import Fingerprint
from lbsync_nginx.disk import Disk
from lbsync_nginx.dump import Dump, tree_of
from lbsync_nginx.host_view import HostView
from lbsync_nginx.layout import TEXT_FILES, Files, main_file
from lbsync_nginx.listens import Listen, listens_of
from lbsync_nginx.render import render
from lbsync_nginx.seen import Health, Running, Seen
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import NginxState, state_of
from lbsync_nginx.tested import Program, Tested
from lbsync_nginx.version import Version

LEAF, OTHER = Fingerprint("a" * 64), Fingerprint("b" * 64)
BRIDGED = dict.fromkeys(SERVICES, Mode.BRIDGE)
OFFLOADED = {service: Mode.OFFLOAD if spec.offloadable else Mode.BRIDGE for service, spec in SERVICES.items()}
NAME = "mail.contoso.test"
SPEC = BalancerSpec(
    name="lb1",
    hosts=(NAME, "autodiscover.contoso.test"),
    members=(
        Member(name="EX01", address="10.0.0.11", tls_name=NAME),
        Member(name="EX02", address="10.0.0.12", http_port=8080, https_port=8443, tls_name=NAME),
        Member(name="EX03", address="fd00::3", tls_name=NAME),
    ),
    services=tuple(SERVICES),
    server_ca_pem="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
)
HTTP = NginxSettings(bind_address="192.0.2.10", ntlm="unused")
VARIABLE = NginxSettings(bind_address="192.0.2.10", ntlm="unused", certificate_form="variable", group="www-data")
STREAM = NginxSettings(bind_address="192.0.2.10", proxy="stream", mrsproxy_host="mrs.contoso.test")
WAYS = {"http": HTTP, "variable": VARIABLE, "stream": STREAM}
OLD, V1_26, V1_27_4, V1_29_7 = (
    Version((1, 22, 1)),
    Version((1, 26, 3)),
    Version((1, 27, 4)),
    Version((1, 29, 7)),
)
MAIN = """\
worker_processes 2;
error_log /var/log/nginx/error.log;
http {
    include /etc/nginx/conf.d/*.conf;
}
stream {
    include /etc/nginx/lbsync/stream*.conf;
}
"""


def text_of(settings: NginxSettings, state: NginxState | None = None, version: Version = OLD) -> str:
    """The text of the file that carries the listener."""
    return render(SPEC, settings, version, state)[main_file(settings)] or ""


def state(settings: NginxSettings, **changes: object) -> NginxState:
    """The state that a rendered text is in: everything bridged, serving ``LEAF`` where a text can say so; with changes."""
    leaf = None if settings.certificate_form == "variable" else LEAF
    found = state_of(text_of(settings, NginxState(structure="", leaf=leaf, modes=BRIDGED)))
    assert found is not None
    return found.model_copy(update=changes)


def dumped(**files: str) -> str:
    """What ``nginx -T`` prints of files; ``_`` stands for ``/`` in names, ``__`` for a dot."""
    return "".join(
        f"# configuration file /{name.replace('__', '.').replace('_', '/')}:\n{text}\n" for name, text in files.items()
    )


def host_view(settings: NginxSettings, *, main: str = MAIN, files: Files | None = None, **changes: object) -> HostView:
    """An NGINX whose administrator has ``main``, with our ``files`` loaded into it."""
    paths = {"http.conf": settings.http_file, "stream.conf": f"{settings.directory}/stream.conf"}
    ours = {path: text for name, path in paths.items() if (text := (files or {}).get(name))}
    dump = Dump({"/etc/nginx/nginx.conf": main, **ours}, "/etc/nginx/nginx.conf")
    tree, includes = tree_of(dump)
    listens: dict[bool, tuple[Listen, ...]] = {
        mine: tuple(one for one in listens_of(tree) if (one.where.rpartition(" line ")[0] in ours) is mine)
        for mine in (True, False)
    }
    view: dict[str, object] = {
        "program": Program(OLD, "stderr", "nginx version: nginx/1.22.1"),
        "tested": Tested(passed=True, warnings=(), errors=(), dump=dump),
        "master": 7,
        "theirs": listens[False],
        "ours": listens[True],
        "includes": includes,
        "tree": tree,
        "listening": tuple(Endpoint(one.address, one.port, one.port, "another process") for one in listens[True]),
    }
    return HostView(**{**view, **changes})  # type: ignore[arg-type]  # a test's keywords


def disk(files: Files | None = None, **changes: object) -> Disk:
    """Our directory with these files in it."""
    view: dict[str, object] = {
        "exists": True,
        "files": {**dict.fromkeys(TEXT_FILES), **(files or {})},
        "certs_directory": files is not None,
        "installed": (LEAF,) if files is not None else (),
        "links": {},
        "marker": None,
    }
    return Disk(**{**view, **changes})  # type: ignore[arg-type]  # a test's keywords


def published(settings: NginxSettings, **changes: object) -> Seen:
    """A look at an NGINX that runs what is on the disk: everything bridged, EX02 drained and down for OWA."""
    now = state(settings, down=("EX02",))
    files = render(SPEC, settings, OLD, now)
    on_disk = state_of(files[main_file(settings)])
    assert on_disk is not None
    links = {"live": LEAF} if settings.certificate_form == "variable" else {}
    health = tuple(
        Health(member.name, service, mode, up=(member.name, service) != ("EX02", Service.OWA), said="")
        for member in SPEC.members
        for service in (Service.OWA, Service.EWS)
        for mode in Mode
    )
    view: dict[str, object] = {
        "disk": disk(files, links=links),
        "host": host_view(settings, files=files),
        "running": Running(8, on_disk),
        "health": health,
        "connections": {("EX02", Mode.BRIDGE): 3},
    }
    return Seen(**{**view, **changes})  # type: ignore[arg-type]  # a test's keywords


def nothing(settings: NginxSettings, **changes: object) -> Seen:
    """A look at an NGINX without anything of ours."""
    view: dict[str, object] = {"disk": disk(), "host": host_view(settings), "running": None}
    return Seen(**{**view, **changes})  # type: ignore[arg-type]  # a test's keywords
