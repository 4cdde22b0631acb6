"""Pieces of configuration that both ways of proxying have: members, certificate, status listener.

Rule of this room: pure text; a line whose content is state ends in the mark that ``state`` looks for.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.kit.endpoints import endpoint
from lbsync.target import BalancerSpec, Member
from lbsync_nginx.layout import Layout
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.state import NO_LEAF

STATUS_TEXT = '\'lbsync $pid {"structure":""}\\n\''
"""What the status listener returns; ``state`` fills it in."""

GREETING_S = 30
"""Seconds for a client's handshake and its first request. So long may a worker that a reload replaced still send one on."""


def block(lines: Iterable[str]) -> str:
    """A block: the first line opens it, the rest stands inside."""
    first, *rest = lines
    return "\n".join([f"{first} {{", *(f"    {line}" for line in rest), "}", ""])


def upstream(name: str, members: Iterable[Member], *, plain: bool, more: Iterable[str] = ()) -> str:
    """All members on one of their ports. ``more`` stands last, as ``keepalive`` must."""
    lines = [f"upstream {name}", f"zone {name} 128k;", "least_conn;"]
    for member in members:
        port = member.http_port if plain else member.https_port
        lines.append(f"server {endpoint(member.address, port)}; # member {member.name}")
    return block([*lines, *more])


def listen(settings: NginxSettings) -> str:
    """Address and port of the TLS listener."""
    return endpoint(settings.bind_address, settings.https_port)


def certificate_lines(settings: NginxSettings, at: Layout, variable: str) -> list[str]:
    """Certificate and protocol for clients. ``variable`` is what names the file where certificates come by variable."""
    if settings.certificate_form == "variable":
        lines = [f"ssl_certificate {variable};", f"ssl_certificate_key {variable};"]
    else:
        path = at.certificate(NO_LEAF)
        lines = [f"ssl_certificate {path}; # leaf", f"ssl_certificate_key {path}; # leaf"]
    newer = " TLSv1.3" if settings.tls_min == "TLSv1.2" else ""
    lines.append(f"ssl_protocols {settings.tls_min}{newer};")
    if settings.resumption:
        return [*lines, "ssl_session_timeout 10m;"]
    return [*lines, "ssl_session_cache off;", "ssl_session_tickets off;"]


def verified_leg(spec: BalancerSpec, at: Layout) -> list[str]:
    """TLS to the members, verified by chain and name. NGINX verifies one name for all members of an upstream."""
    return [
        "proxy_ssl_verify on;",
        "proxy_ssl_verify_depth 3;",
        f"proxy_ssl_trusted_certificate {at.ca};",
        f"proxy_ssl_name {spec.members[0].tls_name};",
        "proxy_ssl_server_name on;",
        "proxy_ssl_protocols TLSv1.2 TLSv1.3;",
    ]
