"""The file for an NGINX stream block: TLS ended, and the connection passed on whole, plain or over TLS again.

Rule of this room: pure. Names were checked before (``render.refuse_bad_names``).

Why it is as it is: NTLM authenticates a connection, and here a client's connection has one connection of its own to one
member. No path is seen, so there is one mode for all services, and whatever the members publish is published. MRSProxy, which
works over TLS only, gets a host name of its own: the name is read from the greeting (``ssl_preread``) and the connection goes
to the members' TLS unopened. The TLS listener then stands behind that, on a loopback port.
"""

from __future__ import annotations

from lbsync.target import BalancerSpec
from lbsync_nginx.blocks import GREETING_S, STATUS_TEXT, block, certificate_lines, listen, upstream, verified_leg
from lbsync_nginx.layout import Layout
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import PLAIN, TLS

MRSPROXY = "lbsync_mrsproxy"


def stream_body(spec: BalancerSpec, settings: NginxSettings, at: Layout) -> str:
    """Upstreams, the status listener, the TLS listener, and the fork by name where MRSProxy has one of its own."""
    parts = [
        upstream(PLAIN, spec.members, plain=True),
        upstream(TLS, spec.members, plain=False),
        block(["server", f"listen 127.0.0.1:{settings.status_port};", f"return {STATUS_TEXT};"]),
    ]
    place = listen(settings)
    if settings.mrsproxy_host is not None:
        place = f"127.0.0.1:{settings.inner_port}"
        parts += [upstream(MRSPROXY, spec.members, plain=False), *_fork(settings, place)]
    parts.append(_listener(spec, settings, at, place))
    return "\n".join(parts)


def _fork(settings: NginxSettings, inner: str) -> list[str]:
    chosen = block(
        ["map $ssl_preread_server_name $lbsync_way", f"default {inner};", f"{settings.mrsproxy_host} {MRSPROXY};"]
    )
    server = block(
        [
            "server",
            f"listen {listen(settings)};",
            "ssl_preread on;",
            f"preread_timeout {GREETING_S}s;",
            "proxy_connect_timeout 5s;",
            f"proxy_timeout {settings.long_request_s}s;",
            "proxy_pass $lbsync_way;",
            "proxy_ssl off;",
            "proxy_protocol off;",
        ]
    )
    return [chosen, server]


def _listener(spec: BalancerSpec, settings: NginxSettings, at: Layout, place: str) -> str:
    return block(
        [
            "server",
            f"listen {place} ssl;",
            *certificate_lines(settings, at, ""),
            f"ssl_handshake_timeout {GREETING_S}s;",
            "ssl_alpn http/1.1;",
            "ssl_verify_client off;",
            "proxy_protocol off;",
            "proxy_connect_timeout 5s;",
            f"proxy_timeout {settings.long_request_s}s;",
            f"proxy_pass {TLS}; # listener",
            "proxy_ssl on; # listener",
            *verified_leg(spec, at),
        ]
    )
