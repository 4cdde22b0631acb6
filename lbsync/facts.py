"""Facts: what was read from a server, the directory or a balancer.

Rule of this room: a fact is what was seen, never what was concluded. Everything that may differ between two looks at an
unchanged system (health, sessions, time) stands in a field called ``live``; a plan's basis leaves those out.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from lbsync.model import Mode, Value
from lbsync.services import FRONT_END_SITE, HTTPS_PORT, Service
from lbsync_certs import CertificateInfo, Fingerprint, Thumbprint


class TokenChecking(StrEnum):
    """IIS extendedProtection tokenChecking."""

    NONE = "None"
    ALLOW = "Allow"
    REQUIRE = "Require"


class VdirFacts(Value):
    """One front-end location. ``own_ssl_flags`` is ``None`` when inherited; ``ssl_flags`` is what IIS applies.

    ``services`` is empty for locations that belong to no service (``/``, ActiveSync/Proxy, PowerShell).
    """

    location: str
    services: tuple[Service, ...] = ()
    own_ssl_flags: str | None
    ssl_flags: str
    token_checking: TokenChecking
    authentication: tuple[str, ...] = ()
    """Enabled methods: anonymous, basic, windows, digest, forms."""
    providers: tuple[str, ...] = ()
    """Windows authentication providers in order: Negotiate, NTLM."""
    pool: str = ""
    redirect: str | None = None
    rewrite_rules: tuple[str, ...] = ()

    @property
    def requires_ssl(self) -> bool:
        """True when plain HTTP is answered with 403."""
        return "ssl" in {flag.strip().lower() for flag in self.ssl_flags.split(",")}

    @property
    def client_certificates(self) -> bool:
        """True when client certificates are negotiated or required."""
        flags = {flag.strip().lower() for flag in self.ssl_flags.split(",")}
        return bool(flags & {"sslnegotiatecert", "sslrequirecert", "sslmapcert"})


class BindingFacts(Value):
    """One IIS site binding; ``address`` is ``*`` for all; ``thumbprint`` only for https."""

    site: str
    protocol: str
    address: str
    port: int
    host: str = ""
    thumbprint: Thumbprint | None = None


class StoredCertificate(Value):
    """A certificate in a server's store. ``services`` and ``status`` are ``None`` when only the local tier was read.

    ``internal_transport`` is true for the one that servers use for SMTP among themselves, ``None`` where nobody said.
    """

    info: CertificateInfo
    has_private_key: bool
    exportable: bool | None
    services: tuple[str, ...] | None = None
    status: str | None = None
    internal_transport: bool | None = None


class ServerLive(Value):
    """What may change by itself: pool states and component states."""

    pools: dict[str, str] = Field(default_factory=dict)
    components: dict[str, str] = Field(default_factory=dict)


class ServerFacts(Value):
    """One client access server, read by one local script.

    ``version`` is the cumulative update (15.2.986.5), ``build`` the security update as ExSetup.exe's file version shows it.
    """

    kind: Literal["server"] = "server"
    server: str
    fqdn: str
    version: str
    build: str
    setup_running: bool = False
    setup_incomplete: bool = False
    administrator: bool = True
    suppress_extended_protection: int = 0
    vdirs: tuple[VdirFacts, ...] = ()
    bindings: tuple[BindingFacts, ...] = ()
    certificates: tuple[StoredCertificate, ...] = ()
    problems: tuple[str, ...] = ()
    """Oddities the readers met (two sources disagree, a part could not be read), in plain words."""
    live: ServerLive = ServerLive()

    def vdir(self, service: Service) -> VdirFacts | None:
        """The location that carries a service, or ``None`` where the server has none."""
        return next((vdir for vdir in self.vdirs if service in vdir.services), None)

    def certificate(self, thumbprint: Thumbprint) -> StoredCertificate | None:
        """A stored certificate by its SHA-1 thumbprint."""
        return next((item for item in self.certificates if item.info.thumbprint == thumbprint), None)

    @property
    def front_end_leaf(self) -> StoredCertificate | None:
        """The certificate that IIS serves on port 443 of the front-end site, for any address."""
        found = [
            b for b in self.bindings if b.site == FRONT_END_SITE and b.protocol == "https" and b.port == HTTPS_PORT
        ]
        best = next((b for b in found if b.address == "*"), found[0] if found else None)
        return self.certificate(best.thumbprint) if best and best.thumbprint else None


class OutlookAnywhereFacts(Value):
    """Get-OutlookAnywhere -ADPropertiesOnly of one server."""

    server: str
    ssl_offloading: bool
    internal_hostname: str | None = None
    external_hostname: str | None = None
    internal_clients_require_ssl: bool
    external_clients_require_ssl: bool
    internal_authentication: str | None = None
    external_authentication: str | None = None
    iis_authentication: tuple[str, ...] = ()


class OAuthFacts(Value):
    """In use means one of these; a vdir's OAuthAuthentication flag alone says nothing (true on EWS out of the box)."""

    oauth2_client_profile_enabled: bool = False
    evosts_is_default: bool = False
    hybrid_configuration: bool = False

    @property
    def in_use(self) -> bool:
        """True when clients may authenticate with OAuth."""
        return self.oauth2_client_profile_enabled or self.evosts_is_default or self.hybrid_configuration


class ExchangeCertificate(Value):
    """What Get-ExchangeCertificate adds to a server's stored certificate; ``None`` where Exchange did not say."""

    server: str
    thumbprint: Thumbprint
    services: tuple[str, ...] | None = None
    status: str | None = None
    exportable: bool | None = None
    internal_transport: bool | None = None


class FarmFacts(Value):
    """What lives in AD, read once per farm. ``read`` is false when the Exchange tier is not configured."""

    kind: Literal["farm"] = "farm"
    read: bool = True
    outlook_anywhere: tuple[OutlookAnywhereFacts, ...] = ()
    mrsproxy_enabled: dict[str, bool] = Field(default_factory=dict)
    oauth: OAuthFacts = OAuthFacts()
    certificates: tuple[ExchangeCertificate, ...] = ()
    """Joined into the servers' certificates by ``lbsync.exchange.facts.with_exchange``."""
    missing_cmdlets: tuple[str, ...] = ()
    """Cmdlets the account's RBAC roles do not offer."""
    problems: tuple[str, ...] = ()

    def outlook_anywhere_of(self, server: str) -> OutlookAnywhereFacts | None:
        """Outlook Anywhere of one server; names compare without case."""
        return next((item for item in self.outlook_anywhere if item.server.lower() == server.lower()), None)

    def mrsproxy_of(self, servers: Iterable[str]) -> bool | None:
        """Whether MRSProxy is enabled on all of these servers (true) or on none (false); ``None`` where nobody knows.

        Names compare without case. Servers that differ, or one that AD does not list, make ``None``.
        """
        told = {name.lower(): enabled for name, enabled in self.mrsproxy_enabled.items()}
        found = {told.get(server.lower()) for server in servers}
        return found.pop() if len(found) == 1 else None


class MemberLive(Value):
    """One server in the pool of one service and mode, as the balancer judges it."""

    server: str
    service: Service
    mode: Mode
    up: bool
    draining: bool = False
    sessions: int = 0


class BalancerLive(Value):
    """What may change by itself. ``unit`` is the device of a pair that answered, ``None`` where there is no pair."""

    members: tuple[MemberLive, ...] = ()
    unit: str | None = None


class BalancerFacts(Value):
    """One balancer. ``published`` is false until our listeners and pools exist and are loaded.

    ``structure`` is a digest of what is on the device of ours (files, objects), without modes and certificate;
    ``wanted_structure`` of what this configuration calls for: they differ when a publish is due.
    """

    kind: Literal["balancer"] = "balancer"
    balancer: str
    provider: str
    version: str = ""
    published: bool = False
    structure: str | None = None
    wanted_structure: str = ""
    modes: dict[Service, Mode] = Field(default_factory=dict)
    """The live mode per service; on disk and in memory agree, else it is told in ``problems``."""
    leaf: Fingerprint | None = None
    """The leaf our listeners are set to serve."""
    installed: tuple[Fingerprint, ...] = ()
    """Certificates whose files or objects are on the device."""
    marker: str | None = None
    """Identity of the run that says it is at work here."""
    blockers: tuple[str, ...] = ()
    """Why nothing may be changed here (foreign bind on our address, no admin socket, too old ...), with the remedy."""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What a plan must tell of this device: what a reload costs here, what it cannot keep from the servers."""
    image: dict[str, JsonValue] = Field(default_factory=dict)
    """Provider-private facts its own ``lower`` needs (before-images of owned text files, digests). No key material."""
    live: BalancerLive = BalancerLive()


Facts = Annotated[ServerFacts | FarmFacts | BalancerFacts, Field(discriminator="kind")]
