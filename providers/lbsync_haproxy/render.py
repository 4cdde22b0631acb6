"""The text of our configuration: from the farm and the settings to four files.

Rule of this room: pure, and nothing from outside becomes a directive: names and addresses are checked word by word.

Why the configuration is as it is (HAProxy 2.6 to 3.2; sources: its documentation, and tests against the real program):

- Both pools of every service stand ready and are health-checked; the map says which one is live, so a mode flips without a
  reload.
- The map decides only for a canonical path: an allow-list of characters, no empty segment, none that ends in a dot (Windows
  drops those). Any other spelling is decoded and resolved just to choose a pool, and goes to the service's TLS pool.
- NTLM authenticates a connection: HTTP/1.1 only, keep-alive, ``http-reuse never``; ``prefer-last-server`` keeps a client's
  requests on the connection they have. A drained server loses them all the same.
- A new worker reads the server state file before it listens: what is drained stays so through a reload (see ``states``).
- A reload closes idle keep-alive connections under clients' feet unless ``idle-close-on-response`` is set.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping

from lbsync.errors import ConfigError
from lbsync.kit.endpoints import endpoint
from lbsync.kit.pools import pools_of
from lbsync.kit.seal import body_of, seal
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec, Member
from lbsync_haproxy import layout
from lbsync_haproxy.layout import Layout
from lbsync_haproxy.pools import CLOSED, HTTP_FRONTEND, HTTPS_FRONTEND, map_body, parse_map_body, pool_name
from lbsync_haproxy.settings import HaproxySettings

STRUCTURE_VARIABLE = "LBSYNC_STRUCTURE"
"""Set by our configuration so that the running worker can be asked which structure it loaded (``show env``)."""

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_SETENV = re.compile(rf"^ *setenv {STRUCTURE_VARIABLE} .*\n", re.MULTILINE)

_CANONICAL = "^(/[A-Za-z0-9_@.,=+-]*[A-Za-z0-9_@,=+-])+/?$"
_NOT_FOUND = 'http-request return status 404 content-type text/plain string "Nothing is published here."'
# Only to choose a pool: decoded, lower case, backslashes and path parameters gone, slashes merged, dot segments resolved,
# dots and blanks at the end of a segment dropped as Windows does.
_RESOLVED = ",".join(
    (
        "path",
        "url_dec",
        "lower",
        "concat(/)",
        r"""'regsub("[\\\\]","/",g)'""",
        """'regsub(";[^/]*","",g)'""",
        """'regsub("/+","/",g)'""",
        r"""'regsub("/(\./)+","/",g)'""",
        *[r"""'regsub("/[^/]+/\.\./","/")'"""] * 4,
        r"""'regsub("^(/\.\.)+/","/")'""",
        r"""'regsub("[. ]+/","/",g)'""",
    )
)


def render(spec: BalancerSpec, settings: HaproxySettings, modes: Mapping[Service, Mode]) -> dict[str, str]:
    """The four text files by name, sealed; a service that ``modes`` leaves out is bridged.

    Raises ConfigError for a name that cannot stand in a configuration.
    """
    at = Layout(settings.directory)
    bodies = {
        layout.CA: spec.server_ca_pem.strip() + "\n",
        layout.MAP: map_body({service: modes.get(service, Mode.BRIDGE) for service in spec.services}),
        layout.CRT_LIST: f"{at.live}\n",
        layout.CFG: _configuration(spec, settings, at),
    }
    digest = structure_of(bodies)
    bodies[layout.CFG] = f"global\n    setenv {STRUCTURE_VARIABLE} {digest}\n{bodies[layout.CFG]}"
    return {name: seal(body) for name, body in bodies.items()}


def structure_of(files: Mapping[str, str | None]) -> str | None:
    """Digest of our files without modes and certificate; ``None`` where one of them is missing."""
    texts = [files.get(name) for name in layout.TEXT_FILES]
    ca, table, crt_list, cfg = (None if text is None else body_of(text) for text in texts)
    if ca is None or table is None or crt_list is None or cfg is None:
        return None
    # The line that sets the digest is no part of it; neither is the section header above it.
    plain = _SETENV.sub("", cfg).removeprefix("global\n")
    parts = [plain, crt_list, ca, *sorted(parse_map_body(table))]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _configuration(spec: BalancerSpec, settings: HaproxySettings, at: Layout) -> str:
    _refuse_bad_names(spec)
    blocks = ["" if settings.resumption else "    tune.ssl.cachesize 0\n", _defaults(settings)]
    blocks.append(_https(spec, settings, at))
    if settings.http_port:
        blocks.append(_http(spec, settings))
    blocks += [_pool(spec, settings, service, mode, at) for service, mode in pools_of(spec.services)]
    return "\n".join(blocks)


def _refuse_bad_names(spec: BalancerSpec) -> None:
    words: list[tuple[str, str, re.Pattern[str]]] = [("publish.hosts", host, _HOST) for host in spec.hosts]
    for member in spec.members:
        words.append(("servers.name", member.name, _WORD))
        words.append(("servers.fqdn", member.tls_name, _HOST))
        if not _is_address(member.address):
            words.append(("servers.address", member.address, _HOST))
    for key, word, pattern in words:
        if not pattern.match(word):
            raise ConfigError(
                f"{word!r} cannot stand in an HAProxy configuration",
                where=f"{spec.name}: {key}",
                remedy="use letters, digits, dots and hyphens only",
            )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _defaults(settings: HaproxySettings) -> str:
    return f"""\
defaults lbsync
    mode http
    log global
    option httplog
    option dontlognull
    option http-keep-alive
    option idle-close-on-response
    option redispatch
    retries 3
    balance leastconn
    http-reuse never
    option prefer-last-server
    timeout connect 5s
    timeout http-request 15s
    timeout http-keep-alive 300s
    timeout client {settings.long_request_s}s
    timeout server {settings.long_request_s}s
    timeout tunnel {settings.long_request_s}s
    timeout queue 30s
    timeout check 5s
"""


def _https(spec: BalancerSpec, settings: HaproxySettings, at: Layout) -> str:
    bind = (
        f"bind {endpoint(settings.bind_address, settings.https_port)} ssl crt-list {at.crt_list} "
        f"alpn http/1.1 ssl-min-ver {settings.tls_min}"
    )
    lookup = f"var(txn.path),map_beg({at.map})"
    lines = [
        f"frontend {HTTPS_FRONTEND} from lbsync",
        bind if settings.resumption else f"{bind} no-tls-tickets",
        "# A worker of before a reload may be told to end its connections: a client takes the close for one while idle.",
        f"http-request reject if {{ str({CLOSED}),map({at.map}) -m found }}",
        "option forwardfor",
        "http-request set-header X-Forwarded-Proto https",
        "http-request set-header Front-End-Https on",
        "# Only a canonical path may be routed by mode.",
        f"http-request set-var(txn.canonical) bool(true) if {{ path -m reg '{_CANONICAL}' }}",
        "http-request set-var(txn.path) path,lower,concat(/) if { var(txn.canonical) -m bool }",
        f"http-request set-var(txn.pool) {lookup} if {{ var(txn.canonical) -m bool }}",
        "# Any other spelling of what is published goes to its TLS pool.",
        f"http-request set-var(txn.path) {_RESOLVED} unless {{ var(txn.canonical) -m bool }}",
        f"""http-request set-var(txn.pool) {lookup},'regsub("_offload$","_bridge")' unless {{ var(txn.canonical) -m bool }}""",
        f"{_NOT_FOUND} if !{{ var(txn.canonical) -m bool }} {{ var(txn.path) -m sub powershell }}",
        "# What Windows would resolve in another way: dots or nothing before a parameter, more steps up than were taken here.",
        f"{_NOT_FOUND} if !{{ var(txn.canonical) -m bool }} {{ path,url_dec -m reg '[/\\\\][. ]*;' }}",
        f"{_NOT_FOUND} if !{{ var(txn.canonical) -m bool }} {{ var(txn.path) -m sub // }}",
        "# And an encoded slash beside dots: one reader takes it for a step up, another for a name.",
        f"{_NOT_FOUND} if {{ path,lower -m sub %2f }} {{ path,lower -m reg '(\\.|%2e)(\\.|%2e)' }}",
    ]
    if Service.OWA in spec.services:
        lines.append(f"http-request set-var(txn.pool) str({pool_name(Service.OWA, Mode.BRIDGE)}) if {{ path / }}")
    if Service.MRSPROXY not in spec.services:
        lines.append(f"{_NOT_FOUND} if {{ var(txn.path) -m beg {SERVICES[Service.MRSPROXY].prefix} }}")
    lines += [f"{_NOT_FOUND} unless {{ var(txn.pool) -m found }}", "use_backend %[var(txn.pool)]"]
    return _block(lines)


def _http(spec: BalancerSpec, settings: HaproxySettings) -> str:
    port = "" if settings.public_port == 443 else f":{settings.public_port}"  # noqa: PLR2004 -- https
    redirect = "http-request redirect location https://"
    return _block(
        [
            f"frontend {HTTP_FRONTEND} from lbsync",
            f"bind {endpoint(settings.bind_address, settings.http_port)}",
            f"{redirect}%[req.hdr(host),host_only]{port}%[pathq] code 302 if {{ req.hdr(host) -m found }}",
            f"{redirect}{spec.hosts[0]}{port}%[pathq] code 302",
        ]
    )


def _pool(spec: BalancerSpec, settings: HaproxySettings, service: Service, mode: Mode, at: Layout) -> str:
    lines = [f"backend {pool_name(service, mode)} from lbsync"]
    if mode is Mode.OFFLOAD:
        lines += _plain_guards()
        lines += _https_again(spec.hosts, settings.public_port)
    lines += [
        "option httpchk",
        f"http-check send meth GET uri {SERVICES[service].health_path} ver HTTP/1.1 hdr Host {spec.hosts[0]}",
        "http-check expect status 200",
        "load-server-state-from-file local",
        f"server-state-file-name {at.states}",
    ]
    lines += [_server(member, mode, settings, at) for member in spec.members]
    return _block(lines)


def _plain_guards() -> list[str]:
    """A second lock on port 80: whatever the map says, MRSProxy and odd spellings stop here."""
    return [
        "http-request deny deny_status 404 unless { var(txn.canonical) -m bool }",
        f"http-request deny deny_status 404 if {{ path,lower -m beg {SERVICES[Service.MRSPROXY].prefix} }}",
    ]


def _https_again(hosts: Iterable[str], public_port: int) -> list[str]:
    """Exchange behind offload may build http links and plain cookies from the request's scheme."""
    names = "|".join(re.escape(host).replace("\\-", "-") for host in hosts)
    port = "" if public_port == 443 else f":{public_port}"  # noqa: PLR2004 -- https
    return [
        rf"http-response replace-header Location '(?i)^http://({names})(:80)?(/.*)?$' 'https://\1{port}\3'",
        rf"http-response replace-header Location '(?i)^http://({names})(:[0-9]+)(/.*)?$' 'https://\1\2\3'",
        r"http-response replace-header Set-Cookie '^(.*)$' '\1; Secure'",
        r"http-response replace-header Set-Cookie '(?i)^(.*); *secure( *;.*)?; secure$' '\1\2; Secure'",
    ]


def _server(member: Member, mode: Mode, settings: HaproxySettings, at: Layout) -> str:
    port = member.http_port if mode is Mode.OFFLOAD else member.https_port
    every = f"{round(settings.check_interval_s * 1000)}ms"
    line = f"server {member.name} {endpoint(member.address, port)} check inter {every} fall 2 rise 2"
    if not _is_address(member.address):
        line += " init-addr last,libc,none"  # a name that does not resolve must not keep HAProxy from starting
    if mode is Mode.BRIDGE:
        # Without check-sni and verifyhost the health check stays UP on a wrong name.
        name = member.tls_name
        line += f" ssl verify required ca-file {at.ca} sni str({name}) check-sni {name} verifyhost {name}"
    return line


def _block(lines: Iterable[str]) -> str:
    first, *rest = lines
    return "\n".join([first, *(f"    {line}" for line in rest), ""])


def staged(files: Mapping[str, str], settings: HaproxySettings, certificate: str) -> dict[str, str]:
    """The same files as they must read in the staging directory, serving the PEM file ``certificate``, to be tried there."""
    home = Layout(settings.directory)
    trial = Layout(home.staging)
    moved = {name: body_of(text) for name, text in files.items()}
    for name in layout.TEXT_FILES:
        moved[layout.CFG] = moved[layout.CFG].replace(home.file(name), trial.file(name))
    moved[layout.CFG] = moved[layout.CFG].replace(home.states, trial.states)
    moved[layout.CRT_LIST] = moved[layout.CRT_LIST].replace(home.live, certificate)
    return {name: seal(body) for name, body in moved.items()}
