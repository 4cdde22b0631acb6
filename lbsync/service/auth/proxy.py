"""What a proxy in front says about a request: who, from where, and whether over TLS.

Rule of this file: pure; headers of anybody but a listed proxy are as if they were not there, and a header that was sent twice
is believed by nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from lbsync.service.auth.access import Access, ProxyAccess
from lbsync.service.values import Role, Who

Headers = Sequence[tuple[bytes, bytes]]


def values_of(headers: Headers, name: str) -> list[str]:
    """Every value of a header (names are compared without case), in the order they were sent."""
    wanted = name.lower().encode("latin-1", "replace")
    return [value.decode("latin-1").strip() for key, value in headers if key.lower() == wanted]


def single(headers: Headers, name: str) -> str | None:
    """A header that was sent once and is not empty, else None."""
    values = values_of(headers, name)
    return values[0] or None if len(values) == 1 else None


def named_by(access: Access, peer: str, headers: Headers) -> Who | None:
    """Whom a trusted proxy names; None for nobody, or where the peer is no trusted proxy."""
    proxy = access.proxy
    if proxy is None or proxy.user_header is None or not access.trusts(peer):
        return None
    name, role = single(headers, proxy.user_header), _role(proxy, headers)
    if name is None or role is None or not name.isprintable():
        return None
    return Who(name=name[:128], role=role, via="web")


def _role(proxy: ProxyAccess, headers: Headers) -> Role | None:
    if proxy.role_header is None or not values_of(headers, proxy.role_header):
        return proxy.default_role
    text = single(headers, proxy.role_header)
    return highest((text or "").split(","), {role.value: role for role in Role} | proxy.roles)


def highest(names: Sequence[str], roles: dict[str, Role]) -> Role | None:
    """The role that allows most among those that these names stand for; None for none."""
    found = [roles[name.strip()] for name in names if name.strip() in roles]
    return max(found, key=tuple(Role).index, default=None)


def address_of(access: Access, peer: str, headers: Headers) -> str:
    """Where a request comes from: the last address in X-Forwarded-For that is no trusted proxy, or the peer."""
    if not access.trusts(peer):
        return peer
    hops = [hop.strip() for value in values_of(headers, "x-forwarded-for") for hop in value.split(",")]
    return next((hop[:64] for hop in reversed(hops) if hop and not access.trusts(hop)), peer)


def is_secure(access: Access, peer: str, headers: Headers) -> bool:
    """Whether the browser spoke TLS: to us, or to a trusted proxy (which says so, or says nothing)."""
    if access.tls:
        return True
    if not access.trusts(peer):
        return False
    return single(headers, "x-forwarded-proto") in {None, "https"}
