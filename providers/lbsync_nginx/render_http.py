"""The file for NGINX's http block: TLS ended, each request routed by its path.

Rule of this room: pure. Names were checked before (``render.refuse_bad_names``).

Why it is as it is (NGINX 1.22 to 1.30; sources: its documentation, and trials against the real program):

- Only a canonical path may be routed by mode: an allow-list of characters in the request as sent, no empty segment, none that
  ends in a dot (Windows drops those). Any other spelling is decoded and resolved by NGINX just to choose where it goes, and
  goes to the members' TLS port. MRSProxy and ``/`` have no way to port 80 at all.
- ``proxy_pass`` with a variable and no path hands the request on as the client wrote it.
- Connections to members are used for one request (``keepalive 0``): shared ones would hand one client's NTLM session to
  another. So NTLM fails here, closed; ``proxy = "stream"`` carries it.
- With certificates by variable, ``$realpath_root`` resolves the link once per handshake, so that certificate and key are
  always of one file; a map keeps that answer for both.
"""

from __future__ import annotations

import re

from lbsync.kit.endpoints import endpoint
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec
from lbsync_nginx.blocks import GREETING_S, STATUS_TEXT, block, certificate_lines, listen, upstream, verified_leg
from lbsync_nginx.layout import Layout
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import LINKS, PLAIN, TLS
from lbsync_nginx.version import Version

_REST = r"[. ]*(?:;[^/]*)?"
"""How an odd spelling of a segment may go on: Windows drops dots and blanks, IIS path parameters."""

_NEXT_S = 15
"""Three servers that do not answer a connection, each for proxy_connect_timeout."""

_ALONE = (
    "gzip off;",
    "expires off;",
    "auth_basic off;",
    "ssl_verify_client off;",
    "ssl_stapling off;",
    "ssl_early_data off;",
    "merge_slashes on;",
    "mirror off;",
)
"""What an http block may set for all its servers and what must not hold for this one; the rest is told (``inherited``)."""
_PROXIED_ALONE = (
    "proxy_intercept_errors off;",
    "proxy_cache off;",
    "proxy_store off;",
    "proxy_method $request_method;",
    "proxy_next_upstream error timeout;",
    "# A member decides nothing about NGINX itself, least of all where a request goes next.",
    "proxy_ignore_headers X-Accel-Redirect X-Accel-Buffering X-Accel-Expires X-Accel-Limit-Rate X-Accel-Charset;",
)


def http_body(spec: BalancerSpec, settings: NginxSettings, version: Version, at: Layout) -> str:
    """Upstreams, maps, the status listener, the redirect and the TLS listener."""
    one_request = _one_request_each(settings, version)
    parts = [
        upstream(PLAIN, spec.members, plain=True, more=one_request),
        upstream(TLS, spec.members, plain=False, more=one_request),
        _canonical(),
        _route(spec),
        _way(spec),
        _hidden(),
        _status(settings),
    ]
    if settings.certificate_form == "variable":
        parts.insert(0, _live_certificate(at))
    if settings.http_port:
        parts.append(redirect_body(spec, settings))
    parts.append(_listener(spec, settings, version, at))
    return "\n".join(parts)


def redirect_body(spec: BalancerSpec, settings: NginxSettings) -> str:
    """Port 80, which sends to https and does nothing else."""
    port = "" if settings.public_port == 443 else f":{settings.public_port}"  # noqa: PLR2004 -- https
    return block(
        [
            "server",
            f"listen {endpoint(settings.bind_address, settings.http_port)};",
            f"server_name {' '.join(spec.hosts)};",
            f"return 302 https://$host{port}$request_uri;",
        ]
    )


def _one_request_each(settings: NginxSettings, version: Version) -> list[str]:
    if settings.ntlm == "plus":
        return ["ntlm;"]  # keeps a client's connection to a member for that client [u: documented, not tried]
    # Both: an upgrade of NGINX to 1.29.7 shares connections at once, before anything of ours is written anew.
    return (
        ["keepalive 0;", "keepalive_requests 1;"] if version.shares_upstream_connections else ["keepalive_requests 1;"]
    )


def _live_certificate(at: Layout) -> str:
    pattern = f"^{re.escape(at.certs)}/[0-9a-f]{{64}}\\.pem$"
    return block(["map $realpath_root $lbsync_certificate", 'default "";', f'"~{pattern}" $realpath_root;'])


def _canonical() -> str:
    return block(
        [
            "map $request_uri $lbsync_canonical",
            "default 0;",
            # No client sends these, and the members may read another path in them than the one NGINX goes by: it leaves a
            # fragment out, takes a backslash (by its number here, since NGINX unescapes a pair of them) for no slash as
            # Windows does, and an encoded slash for one where it resolves dots.
            '"~*^[^?]*(?:#|\\x5c|%5c)" none;',
            '"~*^(?=[^?]*%2f)[^?]*(?:\\.|%2e){2}" none;',
            # Possessive, and so without a stack that a long path could exhaust (pcre_jit).
            '"~^(?:/[A-Za-z0-9_@.,=+-]*+(?<![./]))++/?(?:\\?|$)" 1;',
            '"~^/(?:\\?|$)" root;',
        ]
    )


def _route(spec: BalancerSpec) -> str:
    """Which service a request is for: the longest prefix first, canonical ones at a segment's end."""
    lines = ['map "$lbsync_canonical $uri" $lbsync_route', 'default "";']
    published = sorted(spec.services, key=lambda service: -len(SERVICES[service].prefix))
    if Service.MRSPROXY not in spec.services:  # its path must not fall to EWS
        published.insert(0, Service.MRSPROXY)
    for service in published:
        name = service.value if service in spec.services else '""'
        segments = [re.escape(part) for part in SERVICES[service].prefix.strip("/").split("/")]
        odd = "".join(f"/+{segment}{_REST}" for segment in segments)
        lines.append(f'"~*^1 /{"/".join(segments)}(?:/|$)" {name};')
        lines.append(f'"~*^0 {odd}(?:/|$)" {name};')
        if service is Service.MRSPROXY:  # what only begins so is no path of Exchange's, and nothing to guess about
            lines.append(f'"~*^1 /{"/".join(segments)}" "";')
    if Service.OWA in spec.services:
        lines.append(f'"~^root " {Service.OWA};')
    return block(lines)


def _way(spec: BalancerSpec) -> str:
    """Where a canonical request of a service goes by its mode; everything else goes to TLS."""
    lines = ['map "$lbsync_canonical $lbsync_route" $lbsync_way', f"default https://{TLS};"]
    lines += [
        f'"1 {service}" https://{TLS}; # mode {service}' for service in spec.services if SERVICES[service].offloadable
    ]
    return block(lines)


def _hidden() -> str:
    """No odd spelling may lead to PowerShell, line ends in it or not; canonical ones are in no route.

    Nor may one climb once more where a member reads ``..`` in what NGINX did not take for it.
    """
    climbs = rf"/\.\.{_REST}(?:/|$)"
    hidden = ['"~*(?s)^0 .*powershell" 1;', f'"~(?s)^0 .*{climbs}" 1;']
    return block(['map "$lbsync_canonical $uri" $lbsync_hidden', 'default "";', *hidden])


def _status(settings: NginxSettings) -> str:
    return block(
        [
            "server",
            f"listen 127.0.0.1:{settings.status_port};",
            "server_name lbsync-status;",
            "access_log off;",
            f"return 200 {STATUS_TEXT};",
        ]
    )


def _listener(spec: BalancerSpec, settings: NginxSettings, version: Version, at: Layout) -> str:
    long_s = f"{settings.long_request_s}s"
    lines = ["server", f"listen {listen(settings)} ssl;", f"server_name {' '.join(spec.hosts)};"]
    lines += ["http2 off;"] if version.switches_http2 else []
    lines += certificate_lines(settings, at, "$lbsync_certificate")
    if settings.certificate_form == "variable":
        lines.append(f"root {at.link(LINKS[0])}; # link")
        # The path names the content, so what was read once may be kept.
        lines += ["ssl_certificate_cache max=16 inactive=60s valid=60s;"] if version.caches_certificates else []
    lines += [
        f"client_header_timeout {GREETING_S}s;",
        "keepalive_timeout 300s;",
        "keepalive_requests 100000;",
        *(["keepalive_min_timeout 10s;"] if version.keeps_idle_clients else []),
        "large_client_header_buffers 8 64k;",
        "client_max_body_size 0;",
        f"client_body_timeout {long_s};",
        f"send_timeout {long_s};",
        *_ALONE,
        "if ($lbsync_hidden) { return 404; }",
        'if ($lbsync_route = "") { return 404; }',
    ]
    return block([*lines, *_proxy(spec, settings, at)])


def _proxy(spec: BalancerSpec, settings: NginxSettings, at: Layout) -> list[str]:
    long_s = f"{settings.long_request_s}s"
    names = "|".join(re.escape(host).replace("\\-", "-") for host in spec.hosts)
    port = "" if settings.public_port == 443 else f":{settings.public_port}"  # noqa: PLR2004 -- https
    inside = [
        "location /",
        "proxy_pass $lbsync_way;",
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
        "proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "proxy_set_header X-Forwarded-Proto https;",
        "proxy_set_header Front-End-Https on;",
        "proxy_connect_timeout 5s;",
        f"proxy_read_timeout {long_s};",
        f"proxy_send_timeout {long_s};",
        # Under Extended Protection the next server may hold another certificate than the one before (an old worker does not know
        # who was drained since): a request that has been under way for a while ends with its server.
        *([] if settings.resumption else [f"proxy_next_upstream_timeout {_NEXT_S}s;"]),
        "proxy_request_buffering off;",
        "proxy_buffering off;",
        "proxy_buffer_size 32k;",
        "proxy_buffers 8 32k;",
        "proxy_busy_buffers_size 64k;",
        *_PROXIED_ALONE,
        *verified_leg(spec, at),
        "# Exchange behind offload may build http links and plain cookies from the request's scheme.",
        f'proxy_redirect "~*^http://({names})(?::80)?(/.*)?$" "https://$1{port}$2";',
        f'proxy_redirect "~*^http://({names})(:[0-9]+)(/.*)?$" "https://$1$2$3";',
        "proxy_cookie_flags ~ secure;",
    ]
    return block(inside).rstrip("\n").split("\n")
