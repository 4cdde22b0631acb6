"""How IIS looks after Exchange set-up: sites, locations, pools, per version.

Rule of this room: data only, written afresh from what captured applicationHost.config files of Exchange 2013, 2016 and
2019 show (own sslFlags, authentication methods, providers, bindings, pools).
"""

from __future__ import annotations

from dataclasses import dataclass

from lbsync.lab.spec import Version
from lbsync.services import BACK_END_SITE, FRONT_END_SITE, NO_SSL, REQUIRE_SSL

NEGOTIATE_NTLM = ("Negotiate", "NTLM")

EXTENDED_PROTECTION = {
    "owa": "Require",
    "ecp": "Require",
    "Rpc": "Require",
    "mapi": "Require",
    "OAB": "Allow",
    "Microsoft-Server-ActiveSync": "Allow",
    "Microsoft-Server-ActiveSync/Proxy": "Allow",
    "EWS": "Allow",
    "Autodiscover": "None",
    "API": "Require",
    "PowerShell": "None",
}
"""tokenChecking per virtual directory once Extended Protection is configured."""


@dataclass(frozen=True, slots=True)
class LocationTemplate:
    """One ``<location>`` of the front-end site.

    ``methods`` are the enabled ones of windows, anonymous, digest, basic; ``None`` writes no such elements at all.
    ``providers`` ``None`` writes no providers element; an empty tuple clears them. ``spns`` writes extendedProtection with
    ``flags`` and ``clearSpns`` as set-up does for EWS and Autodiscover.
    """

    path: str
    own_ssl_flags: str | None = None
    methods: tuple[str, ...] | None = ()
    providers: tuple[str, ...] | None = None
    spns: bool = False
    kernel_mode: bool | None = None
    logon_method: bool = False
    mappings: bool = True
    """Certificate mapping elements come with own sslFlags, except at API."""


_ACTIVESYNC = "Microsoft-Server-ActiveSync"

_LOCATIONS = (
    LocationTemplate("", REQUIRE_SSL, methods=None),
    LocationTemplate("owa", methods=("basic",), providers=()),
    LocationTemplate("owa/auth", methods=("anonymous",), logon_method=True),
    LocationTemplate("owa/Calendar", NO_SSL, methods=("anonymous",), providers=NEGOTIATE_NTLM),
    LocationTemplate("owa/Integrated", REQUIRE_SSL, methods=("windows",), providers=NEGOTIATE_NTLM),
    LocationTemplate("owa/oma", REQUIRE_SSL, methods=("basic",), providers=NEGOTIATE_NTLM),
    LocationTemplate("ecp", methods=("anonymous", "basic"), providers=()),
    LocationTemplate("EWS", methods=("windows", "anonymous"), providers=NEGOTIATE_NTLM, spns=True),
    LocationTemplate("API", REQUIRE_SSL, methods=("windows", "anonymous"), mappings=False),
    LocationTemplate("Autodiscover", methods=("windows", "anonymous", "basic"), providers=NEGOTIATE_NTLM, spns=True),
    LocationTemplate(_ACTIVESYNC, REQUIRE_SSL, methods=("basic",), providers=()),
    LocationTemplate(f"{_ACTIVESYNC}/Proxy", methods=("windows",), providers=NEGOTIATE_NTLM),
    LocationTemplate("OAB", REQUIRE_SSL, methods=("windows",), providers=NEGOTIATE_NTLM),
    LocationTemplate("PowerShell", "SslNegotiateCert", methods=(), providers=("Negotiate",)),
    LocationTemplate("mapi", REQUIRE_SSL, methods=("windows",), kernel_mode=False),
    LocationTemplate("Rpc", NO_SSL, methods=("windows", "basic"), kernel_mode=False),
)


def locations(version: Version) -> tuple[LocationTemplate, ...]:
    """The front end's locations out of the box."""
    match version:
        case "2016" | "2019" | "se":
            return _LOCATIONS
        case "2013" | "2013rtm":
            absent = {"API", "mapi"} if version == "2013rtm" else {"API"}
            return tuple(_older(entry) for entry in _LOCATIONS if entry.path not in absent)


def _older(entry: LocationTemplate) -> LocationTemplate:
    """2013: ActiveSync inherits, and keeps the providers its Proxy then has from the root."""
    if entry.path == _ACTIVESYNC:
        return LocationTemplate(entry.path, None, methods=entry.methods, providers=NEGOTIATE_NTLM)
    if entry.path == f"{_ACTIVESYNC}/Proxy":
        return LocationTemplate(entry.path, None, methods=entry.methods, providers=None)
    return entry


APPLICATIONS = (
    ("/", "MSExchangeOWAAppPool", r"%SystemDrive%\inetpub\wwwroot"),
    ("/owa", "MSExchangeOWAAppPool", "owa"),
    ("/owa/Calendar", "MSExchangeOWACalendarAppPool", "owa"),
    ("/owa/Integrated", "MSExchangeOWAAppPool", "owa"),
    ("/owa/oma", "MSExchangeOWAAppPool", "owa"),
    ("/ecp", "MSExchangeECPAppPool", "ecp"),
    ("/EWS", "MSExchangeServicesAppPool", "EWS"),
    ("/API", "MSExchangeRestFrontEndAppPool", "Rest"),
    ("/Autodiscover", "MSExchangeAutodiscoverAppPool", "Autodiscover"),
    (f"/{_ACTIVESYNC}", "MSExchangeSyncAppPool", "sync"),
    ("/OAB", "MSExchangeOABAppPool", "OAB"),
    ("/PowerShell", "MSExchangePowerShellFrontEndAppPool", "PowerShell"),
    ("/mapi", "MSExchangeMapiFrontEndAppPool", "mapi"),
    ("/Rpc", "MSExchangeRpcProxyFrontEndAppPool", "rpc"),
)
"""Front-end applications: path, pool, folder below FrontEnd\\HttpProxy."""

BACK_END_APPLICATIONS = (
    ("/PowerShell", "MSExchangePowerShellAppPool", "PowerShell-Proxy"),
    ("/mapi/emsmdb", "MSExchangeMapiMailboxAppPool", r"mapi\emsmdb"),
    ("/mapi/nspi", "MSExchangeMapiAddressBookAppPool", r"mapi\nspi"),
    ("/owa", "MSExchangeOWAAppPool", "owa"),
    ("/ecp", "MSExchangeECPAppPool", "ecp"),
    ("/OAB", "MSExchangeOABAppPool", "OAB"),
    ("/EWS", "MSExchangeServicesAppPool", r"exchweb\EWS"),
    ("/Autodiscover", "MSExchangeAutodiscoverAppPool", "Autodiscover"),
    (f"/{_ACTIVESYNC}", "MSExchangeSyncAppPool", "sync"),
    ("/Rpc", "MSExchangeRpcProxyAppPool", "RpcProxy"),
)

BINDINGS = (
    (FRONT_END_SITE, "http", "*:80:"),
    (FRONT_END_SITE, "net.tcp", "808:*"),
    (FRONT_END_SITE, "net.pipe", "*"),
    (FRONT_END_SITE, "https", ":443:"),
    (FRONT_END_SITE, "http", "127.0.0.1:80:"),
    (FRONT_END_SITE, "https", "127.0.0.1:443:"),
    (BACK_END_SITE, "http", "*:81:"),
    (BACK_END_SITE, "https", "*:444:"),
    (BACK_END_SITE, "net.pipe", "*"),
)
"""Site, protocol, bindingInformation. ``:443:`` without a star is how captured servers have it."""

GAP_POOLS = frozenset(
    {"MSExchangeMapiFrontEndAppPool", "MSExchangeRpcProxyFrontEndAppPool", "MSExchangeRpcProxyAppPool"}
)
"""Pools with disallowOverlappingRotation: 503 while they are recycled."""

COMPONENTS = (
    "ServerWideOffline", "OwaProxy", "EcpProxy", "RpcProxy", "OabProxy", "ActiveSyncProxy", "EwsProxy", "AutoDiscoverProxy",
    "MapiProxy", "HubTransport", "FrontendTransport", "Monitoring", "RecoveryActionsEnabled",
)  # fmt: skip
