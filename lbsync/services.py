"""The one table of the nine services an Exchange front end publishes.

Rule of this room: whatever is said of a virtual directory, its pool, its paths or its health page is said here and nowhere
else. It knows nothing of targets, plans or balancers.

Sources: Microsoft's SSL-offload how-to for Exchange 2013 and its CSS-Exchange scripts; own sslFlags and pools read in
captured applicationHost.config files of Exchange 2013, 2016 and 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

FRONT_END_SITE = "Default Web Site"
BACK_END_SITE = "Exchange Back End"
"""Never touched: lbsync reads its bindings and nothing more."""

HTTP_PORT = 80
HTTPS_PORT = 443

REQUIRE_SSL = "Ssl, Ssl128"
NO_SSL = "None"


class Service(StrEnum):
    """The nine services; the value is the key used in configuration files and reports."""

    OWA = "owa"
    ECP = "ecp"
    OUTLOOK_ANYWHERE = "outlook_anywhere"
    OAB = "oab"
    ACTIVESYNC = "activesync"
    EWS = "ews"
    AUTODISCOVER = "autodiscover"
    MAPI = "mapi"
    MRSPROXY = "mrsproxy"


class MailService(StrEnum):
    """What Exchange has a certificate for besides IIS and may be given another; named as Enable-ExchangeCertificate does."""

    SMTP = "SMTP"
    IMAP = "IMAP"
    POP = "POP"


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What Exchange says of one service.

    ``vdir`` is the virtual directory below the front-end site, ``prefix`` the canonical lower-case path clients ask for,
    ``own_ssl_flags`` the sslFlags the vdir carries out of the box (``None``: inherited from the site), ``recycle_gap`` is
    true where recycling the pool answers 503 for some seconds (disallowOverlappingRotation). ``extended_protection`` is the
    tokenChecking that ExchangeExtendedProtectionManagement.ps1 gives the vdir when it turns Extended Protection on.
    """

    service: Service
    vdir: str
    pool: str
    prefix: str
    health_path: str
    component: str
    own_ssl_flags: str | None
    offloadable: bool = True
    pool_shared_with_back_end: bool = True
    recycle_gap: bool = False
    extended_protection: str = "Require"

    @property
    def location(self) -> str:
        """The IIS location path, ``Default Web Site/<vdir>``."""
        return f"{FRONT_END_SITE}/{self.vdir}"


_TABLE = (
    ServiceSpec(Service.OWA, "owa", "MSExchangeOWAAppPool", "/owa", "/owa/healthcheck.htm", "OwaProxy", None),
    ServiceSpec(Service.ECP, "ecp", "MSExchangeECPAppPool", "/ecp", "/ecp/healthcheck.htm", "EcpProxy", None),
    ServiceSpec(
        Service.OUTLOOK_ANYWHERE, "Rpc", "MSExchangeRpcProxyFrontEndAppPool", "/rpc", "/rpc/healthcheck.htm", "RpcProxy",
        NO_SSL, pool_shared_with_back_end=False, recycle_gap=True,
    ),
    ServiceSpec(
        Service.OAB, "OAB", "MSExchangeOABAppPool", "/oab", "/oab/healthcheck.htm", "OabProxy", REQUIRE_SSL,
        extended_protection="Allow",
    ),
    ServiceSpec(
        Service.ACTIVESYNC, "Microsoft-Server-ActiveSync", "MSExchangeSyncAppPool", "/microsoft-server-activesync",
        "/Microsoft-Server-ActiveSync/healthcheck.htm", "ActiveSyncProxy", REQUIRE_SSL, extended_protection="Allow",
    ),
    ServiceSpec(
        Service.EWS, "EWS", "MSExchangeServicesAppPool", "/ews", "/ews/healthcheck.htm", "EwsProxy", None,
        extended_protection="Allow",
    ),
    ServiceSpec(
        Service.AUTODISCOVER, "Autodiscover", "MSExchangeAutodiscoverAppPool", "/autodiscover",
        "/autodiscover/healthcheck.htm", "AutoDiscoverProxy", None, extended_protection="None",
    ),
    ServiceSpec(
        Service.MAPI, "mapi", "MSExchangeMapiFrontEndAppPool", "/mapi", "/mapi/healthcheck.htm", "MapiProxy",
        REQUIRE_SSL, pool_shared_with_back_end=False, recycle_gap=True,
    ),
    ServiceSpec(
        Service.MRSPROXY, "EWS", "MSExchangeServicesAppPool", "/ews/mrsproxy.svc", "/ews/healthcheck.htm", "EwsProxy",
        None, offloadable=False, extended_protection="Allow",
    ),
)  # fmt: skip

SERVICES = MappingProxyType({spec.service: spec for spec in _TABLE})
"""Service to its specification, in the order of the table."""

ALL_SERVICES: frozenset[Service] = frozenset(SERVICES)

FLAG_SERVICES: tuple[Service, ...] = tuple(
    spec.service for spec in _TABLE if spec.offloadable and spec.service is not Service.OUTLOOK_ANYWHERE
)
"""Services whose Require SSL is written in IIS. Outlook Anywhere's lives in AD; MRSProxy shares that of EWS."""
