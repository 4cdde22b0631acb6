"""The configuration file's tables as values: the one place that says which keys there are.

Rule of this room: shapes, defaults and single-value rules only; what several keys must agree on stands in ``agree``.
The docstring below a key is its description in the published JSON schema.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import idna
from pydantic import AfterValidator, ConfigDict, Field, JsonValue, StringConstraints
from pydantic_core import PydanticCustomError

from lbsync.config.reference import SecretRef
from lbsync.config.service import ServiceSection
from lbsync.config.shapes import Section, Text
from lbsync.desired import Limits, OutlookAnywhereWish
from lbsync.model import Mode
from lbsync.watch.windows import WEEKDAYS, Weekday


def _thumbprint(text: str) -> str:
    """40 hexadecimal digits; blanks, and the invisible mark that Windows' certificate dialog copies along, are dropped."""
    bare = re.sub(r"[\s:\u200e\u200f]", "", text).upper()
    if not re.fullmatch(r"[0-9A-F]{40}", bare):
        raise PydanticCustomError(
            "thumbprint",
            "must be a SHA-1 thumbprint: 40 hexadecimal digits",
            {"remedy": "copy it from Get-ExchangeCertificate"},
        )
    return bare


def _host(text: str) -> str:
    """A DNS name as an A-label in lower case; no wildcard, no address, no URL."""
    try:
        name = idna.encode(text, uts46=True).decode().lower()
    except idna.IDNAError:
        name = ""
    if not name or _is_address(name):
        raise PydanticCustomError(
            "host", "must be one DNS name", {"remedy": 'write the bare name, as in "mail.contoso.com"'}
        )
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Host = Annotated[str, AfterValidator(_host)]
Thumb = Annotated[str, AfterValidator(_thumbprint)]


class WinrmSection(Section):
    """How the servers are reached."""

    user: Text | None = None
    """The account, as DOMAIN\\name or name@domain."""
    password: SecretRef | None = None
    """A reference to its password."""
    transport: Literal["ntlm", "kerberos", "credssp", "certificate"] = "ntlm"
    """How the account proves itself."""
    scheme: Literal["https", "http"] = "https"
    """http only with ntlm, kerberos or credssp, which then seal every message."""
    port: Port | None = None
    """Default: 5986 for https, 5985 for http; a server's winrm_port comes first."""
    ca_file: Text | None = None
    """PEM file of the CA that signed the servers' WinRM certificates; default: the CAs of this system."""
    certificate_file: Text | None = None
    """Client certificate (PEM) for the transport certificate."""
    key_file: Text | None = None
    """Its key (PEM)."""


class FarmSection(Section):
    """The farm as a whole."""

    name: Name
    """A name for reports and for the ledger."""
    trusted_leg: bool = False
    """Whether the leg from balancer to servers may carry credentials in clear; offload needs it."""
    directory_server: Name | None = None
    """The server through which Active Directory is read and set; default: the first one."""
    exchange: Literal["explicit", "delegated", "none"] = "explicit"
    """How Exchange's own cmdlets are reached: the account given explicitly, delegated (kerberos, credssp), or not at all."""
    winrm: WinrmSection
    """The account, and the way to the servers."""


class ServerSection(Section):
    """One client access server."""

    name: Name
    """Its Exchange name, as Get-ExchangeServer has it."""
    fqdn: Host
    """Its full name, which its WinRM certificate carries."""
    address: Text | None = None
    """Where it is reached; default: fqdn."""
    tls_name: Host | None = None
    """The name that balancers verify on its IIS certificate when they bridge; default: the first of publish.hosts."""
    http_port: Port = 80
    """IIS, plain."""
    https_port: Port = 443
    """IIS, TLS."""
    winrm_port: Port | None = None
    """Default: farm.winrm.port."""


class CertificateSection(Section):
    """The certificate that clients shall see."""

    source: Literal["server", "file"] = "server"
    """server: exported from the farm at each use; file: a PFX or PEM file."""
    thumbprint: Thumb | None = None
    """With source server: which one; default: the one that all servers' IIS serve on 443."""
    file: Text | None = None
    """With source file: the PFX or PEM file."""
    password: SecretRef | None = None
    """With source file: a reference to its password."""
    renewals: tuple[Text, ...] = ()
    """Where renewed certificates appear with their keys: PFX or PEM files, globs or folders."""
    renewals_password: SecretRef | None = None
    """A reference to the password of those files."""
    keep_days: Annotated[int, Field(ge=0, le=3650)] = 30
    """How many days lbsync prune leaves a certificate alone after it ceased to be served."""
    allow_self_signed: bool = False
    """Whether a self-signed certificate may be published."""


class PublishSection(Section):
    """What clients ask for."""

    hosts: Annotated[tuple[Host, ...], Field(min_length=1)]
    """The names clients use; health checks send the first."""
    server_ca_file: Text | None = None
    """PEM file of the CA that signed the servers' IIS certificates, against which balancers verify them."""
    client_ca_file: Text | None = None
    """PEM file of the CA that clients trust; default: server_ca_file where the servers' own certificate is published, else
    the CAs of this system."""


class ModesSection(Section):
    """Where TLS ends, service by service: offload (at the balancer) or bridge (again at the server)."""

    default: Mode = Mode.BRIDGE
    """For services not named here. MRSProxy stays bridged whatever the default."""
    owa: Mode | None = None
    """Outlook on the web."""
    ecp: Mode | None = None
    """Exchange admin center."""
    outlook_anywhere: Mode | None = None
    """RPC over HTTP; its SSLOffloading lives in Active Directory."""
    oab: Mode | None = None
    """Offline address book."""
    activesync: Mode | None = None
    """Exchange ActiveSync."""
    ews: Mode | None = None
    """Exchange Web Services."""
    autodiscover: Mode | None = None
    """Autodiscover."""
    mapi: Mode | None = None
    """MAPI over HTTP."""
    mrsproxy: Mode | None = None
    """Mailbox moves between forests; offload is refused always."""


class LimitsSection(Limits):
    """How careful to be, and how patient. Times are seconds."""

    model_config = ConfigDict(allow_inf_nan=False, use_attribute_docstrings=True)

    connect_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10
    """For one connection to a server or balancer."""
    parallel: Annotated[int, Field(ge=1, le=512)] = 64
    """How many servers are read at the same time."""


def _clock(text: str) -> str:
    """A time of day, ``HH:MM``."""
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise PydanticCustomError(
            "clock", "must be a time of day", {"remedy": 'write hours and minutes, as in "22:30"'}
        )
    return text


def _zone(text: str) -> str:
    """A time zone by its IANA name."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError(
            "zone", "must be a time zone this system knows", {"remedy": 'write its IANA name, as in "Europe/Berlin"'}
        ) from None
    return text


Clock = Annotated[str, AfterValidator(_clock)]
Zone = Annotated[str, AfterValidator(_zone)]


class WindowSection(Section):
    """A maintenance window: when lbsync watch may begin a rotation. What has begun is not stopped at its end."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS
    """On which it begins; default: every day."""
    begins: Clock
    """Time of day, HH:MM."""
    ends: Clock
    """The same; where it is not after begins, on the next day."""
    time_zone: Zone
    """Whose clocks these are: an IANA name, as Europe/Berlin."""


class WatchSection(Section):
    """What lbsync watch does, and when. Times are seconds."""

    model_config = ConfigDict(allow_inf_nan=False)

    rotate: bool = False
    """Whether it rotates by itself to the only renewed certificate that fits; else it only tells."""
    warn_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """So many days before its end a certificate is a warning."""
    critical_days: Annotated[int, Field(ge=0, le=3650)] = 7
    """And so many before it is critical."""
    every_s: Annotated[float, Field(ge=10, le=7 * 86400)] = 3600
    """How often the loop looks."""
    jitter_s: Annotated[float, Field(ge=0, le=86400)] = 300
    """Up to so much later, at random, so that not everybody looks at the same moment."""
    retry_first_s: Annotated[float, Field(ge=60, le=7 * 86400)] = 900
    """Wait before a rotation that failed is tried again; twice as long after each further failure."""
    retry_most_s: Annotated[float, Field(ge=60, le=30 * 86400)] = 86400
    """The longest such wait."""
    windows: tuple[WindowSection, ...] = ()
    """When a rotation may begin; default: always."""


class ListenSection(Section):
    """Where clients reach a balancer; asked from outside by verify and by the canary."""

    address: Text
    """Name or address of the listeners."""
    https_port: Port = 443
    """The TLS listener."""
    http_port: Port | None = 80
    """The plain listener that redirects to TLS."""


class BalancerSection(Section):
    """One balancer."""

    name: Name
    """A name for plans and reports."""
    provider: Name
    """Which kind: lbsync providers lists those installed."""
    listen: ListenSection
    """Its listeners as clients see them."""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """The provider's own settings; lbsync providers NAME lists them."""


class Config(Section):
    """The whole file."""

    version: Literal[1]
    """Of this format."""
    farm: FarmSection
    servers: Annotated[tuple[ServerSection, ...], Field(min_length=1)]
    certificate: CertificateSection = CertificateSection()
    publish: PublishSection
    modes: ModesSection = ModesSection()
    outlook_anywhere: OutlookAnywhereWish = OutlookAnywhereWish()
    """What else to set of Outlook Anywhere; only the keys given are changed, "" empties a host name."""
    limits: LimitsSection = LimitsSection()
    watch: WatchSection = WatchSection()
    service: ServiceSection = ServiceSection()
    balancers: tuple[BalancerSection, ...] = ()
