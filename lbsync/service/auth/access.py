"""How the service may be reached, and by whom: what logins and the web need of ``[service]``, with secrets resolved.

Rule of this file: a frozen value and its judgement; whatever would carry passwords in clear over a network is refused here,
before a socket is opened.
"""

from __future__ import annotations

import ipaddress
from functools import cached_property
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from lbsync.errors import ConfigError
from lbsync.model import Value
from lbsync.service.values import Role

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class OidcAccess(Value):
    """An identity provider: OpenID Connect, authorization code with PKCE.

    ``issuer`` is where ``/.well-known/openid-configuration`` lies, ``public_url`` this service as browsers reach it. The claim
    ``role_claim`` (a text or a list of texts) is looked up in ``roles``; who has none of them is not let in.
    """

    issuer: str
    client_id: str
    client_secret: SecretStr | None = None
    public_url: str
    scopes: tuple[str, ...] = ("openid", "profile")
    name_claim: str = "preferred_username"
    role_claim: str = "groups"
    roles: dict[str, Role]
    ca_file: str | None = None
    """The provider's CA, where the system does not know it."""


class ProxyAccess(Value):
    """A proxy in front that says who somebody is. Believed only from these networks (``10.0.0.5``, ``10.1.0.0/24``)."""

    networks: tuple[str, ...]
    user_header: str | None = None
    """None: the proxy carries requests, and people log in here."""
    role_header: str | None = None
    roles: dict[str, Role] = Field(default_factory=dict[str, Role])
    """What the proxy calls a role, where it is not the role's own name."""
    default_role: Role | None = None
    """Of people whom the proxy names without a role; None: they are not let in."""


class Access(Value):
    """Where the service listens, under which names, and who says who somebody is. Times are seconds."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8440
    tls: bool = False
    hosts: tuple[str, ...] = ()
    """Names and addresses that a Host header may have, beside the one listened on; without a port."""
    token: SecretStr | None = None
    """The generated token of a service on loopback; None off loopback."""
    users_file: Path | None = None
    proxy: ProxyAccess | None = None
    oidc: OidcAccess | None = None
    idle_s: Annotated[float, Field(ge=60)] = 2 * 3600
    """A session that asks nothing for so long is over; a page's open event stream counts for nothing."""
    lasting_s: Annotated[float, Field(ge=60)] = 12 * 3600
    """Every session is over after so long."""

    @property
    def loopback(self) -> bool:
        """Whether only this host reaches it."""
        return is_loopback(self.host)

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """The trusted proxies'. Raises ConfigError."""
        return tuple(_network(text) for text in (self.proxy.networks if self.proxy else ()))

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name a Host header may have, in lower case. Names of other hosts that point here are not among them."""
        own = () if self.host in {"0.0.0.0", "::", ""} else (self.host,)  # noqa: S104  # compared, not bound
        # Health is asked for from this host, whatever the service listens on.
        public = (urlsplit(self.oidc.public_url).hostname or "",) if self.oidc else ()
        return frozenset(name.lower() for name in (*_LOOPBACK_NAMES, *own, *self.hosts, *public) if name)

    def trusts(self, address: str) -> bool:
        """Whether a peer is a trusted proxy."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        return any((mapped or parsed) in network for network in self.networks)

    def checked(self) -> Access:
        """This value, where it is safe to serve like this. Raises ConfigError."""
        where = "[service] listen"
        if not self.loopback and not self.tls and not self.networks:
            raise ConfigError(
                f"{self.host} can be reached from other hosts, and passwords would travel in clear",
                where=where,
                state="nothing is served",
                remedy="set certificate_file and key_file, name the trusted_proxies in front of it, or listen on 127.0.0.1",
            )
        if not self.loopback and not (self.names - set(_LOOPBACK_NAMES)):
            raise ConfigError(
                "it is not known under which names browsers reach the service",
                where=where,
                state="nothing is served",
                remedy='list them: hosts = ["lbsync.example.com"]',
            )
        if not self.loopback and self.users_file is None and self.oidc is None and not self._proxy_names:
            raise ConfigError(
                "nobody could log in",
                where="[service]",
                state="nothing is served",
                remedy="set users_file (see lbsync serve-user), [service.oidc], or user_header with trusted_proxies",
            )
        if self.oidc is not None:
            _check_oidc(self.oidc)
        return self

    @property
    def _proxy_names(self) -> bool:
        return self.proxy is not None and self.proxy.user_header is not None


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, is this host only."""
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower() == "localhost"
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no address and no network",
            where="[service] trusted_proxies",
            remedy='write "10.0.0.5" or "10.0.0.0/24" (no bits behind the mask)',
        ) from None


def _check_oidc(oidc: OidcAccess) -> None:
    """Who somebody is must come over TLS, or from this host."""
    for key, url in (("issuer", oidc.issuer), ("public_url", oidc.public_url)):
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ConfigError(f"{url} is no https address", where=f"[service.oidc] {key}", remedy="use https")
