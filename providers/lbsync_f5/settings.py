"""Settings of one BIG-IP (or pair), as ``[balancers.settings]`` has them.

Rule of this room: every name and address that becomes part of an object or of a URL is checked here, letter by letter.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator

from lbsync.kit.settings import Port
from lbsync.model import Value

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\Z")
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
_FULL_PATH = r"^/[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?/[A-Za-z0-9][A-Za-z0-9_.-]*$"


def _host(text: str) -> str:
    bare = text.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        if not _HOST.match(text):
            raise ValueError("must be a DNS name or an address, without a scheme or a port") from None
        return text.lower()


def _dns(text: str) -> str:
    if not _HOST.match(text) or "." not in text:
        raise ValueError("must be one DNS name")
    return text.lower()


def _address(text: str) -> str:
    found = ipaddress.ip_address(text)
    if found.is_unspecified:
        raise ValueError("must be one address: a BIG-IP owns the addresses of its virtual servers")
    return str(found)


ManagementHost = Annotated[str, AfterValidator(_host)]
VirtualAddress = Annotated[str, AfterValidator(_address)]
DnsName = Annotated[str, AfterValidator(_dns)]
ObjectName = Annotated[str, Field(pattern=_NAME)]
FullPath = Annotated[str, Field(pattern=_FULL_PATH)]
"""``/Partition/name`` or ``/Partition/folder/name``."""


class F5Settings(Value):
    """How the BIG-IP is reached, and what lbsync publishes on it."""

    model_config = ConfigDict(hide_input_in_errors=True)  # all settings, the password among them, would be shown

    hosts: tuple[ManagementHost, ...] = Field(
        min_length=1, description="Management names or addresses; of a pair both: lbsync works on the active device."
    )
    port: Port = Field(default=443, description="Management port.")
    user: str = Field(min_length=1, description="Account on the BIG-IP, with the role administrator.")
    password: SecretStr = Field(description="A reference to its password, as in env:LBSYNC_BIGIP_PASSWORD.")
    login_provider: str = Field(default="tmos", min_length=1, description="Login provider; tmos is the local one.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of the CA of the management certificates; default: the CAs of this system."
    )
    server_name: DnsName | None = Field(
        default=None, description="Name that the management certificates carry, where it is not the one in hosts."
    )
    partition: ObjectName = Field(default="Common", description="Partition of lbsync's objects; it must exist.")
    folder: ObjectName | None = Field(
        default=None, description="Folder below the partition for lbsync's objects; it must exist."
    )
    device_group: FullPath | None = Field(
        default=None, description="Sync-failover group to synchronise; default: the only one there is."
    )
    attach: FullPath | None = Field(
        default=None,
        description="Existing virtual server to publish on, instead of one of lbsync's own; everything else of it is kept.",
    )
    bind_address: VirtualAddress | None = Field(
        default=None, description="Address of the virtual servers; not with attach."
    )
    https_port: Port = Field(default=443, description="Port of the TLS virtual server.")
    http_port: int = Field(
        default=80, ge=0, le=65535, description="Port that redirects to https; 0 for none. None with attach."
    )
    snat: Literal["automap", "none"] | FullPath = Field(
        default="automap", description="Source address towards the servers: automap, none, or a SNAT pool."
    )
    vlans: tuple[FullPath, ...] = Field(default=(), description="VLANs to listen on; default: all.")
    ntlm: Literal["used", "unused"] = Field(
        default="used",
        description="used: clients keep a connection to a server of their own, in one mode for all services. "
        "unused: declared that nobody logs on by NTLM or Negotiate; each request goes its own way, a mode per service.",
    )
    mrsproxy_host: DnsName | None = Field(
        default=None, description="With ntlm = used: host name of MRSProxy's own virtual server, always bridged."
    )
    mrsproxy_address: VirtualAddress | None = Field(default=None, description="Address of that virtual server.")
    mrsproxy_port: Port = Field(default=443, description="Port of that virtual server.")
    resumption: bool = Field(
        default=True, description="False: no TLS session of clients is resumed; wanted under Extended Protection."
    )
    monitor_interval_s: int = Field(default=10, ge=1, le=3600, description="Seconds between two health checks.")
    monitor_timeout_s: int = Field(default=31, ge=2, le=10800, description="Seconds until a silent server is down.")
    long_request_s: int = Field(
        default=1800,
        ge=60,
        le=86400,
        description="Longest silence of client or server: an ActiveSync ping waits 30 minutes.",
    )
    probe_address: str | None = Field(
        default=None, description="Address at which lbsync looks at the certificate served; default: bind_address."
    )
    connect_timeout_s: float = Field(default=10.0, gt=0, le=300, description="For one connection to the device.")
    request_timeout_s: float = Field(default=60.0, gt=0, le=3600, description="For one answer of the device.")
    busy_timeout_s: float = Field(
        default=180.0, ge=0, le=3600, description="How long a busy or restarting device is waited for."
    )
    sync_timeout_s: float = Field(default=180.0, gt=0, le=3600, description="How long a config-sync may take.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.attach is None and self.bind_address is None:
            raise ValueError("bind_address is needed, or attach")
        if self.attach is not None and self.bind_address is not None:
            raise ValueError("bind_address does not go with attach: the virtual server has its own")
        if self.attach is not None and self.probe_address is None:
            raise ValueError("attach needs probe_address: where lbsync looks at the certificate served")
        if (self.mrsproxy_host is None) is not (self.mrsproxy_address is None):
            raise ValueError("mrsproxy_host and mrsproxy_address go together")
        if self.mrsproxy_host is not None and self.ntlm == "unused":
            raise ValueError("mrsproxy_host goes with ntlm = used only: otherwise MRSProxy is told apart by its path")
        if self.monitor_timeout_s <= self.monitor_interval_s:
            raise ValueError("monitor_timeout_s must be longer than monitor_interval_s")
        self._ports_differ()
        return self

    def _ports_differ(self) -> None:
        taken = [(self.bind_address, self.https_port), (self.mrsproxy_address, self.mrsproxy_port)]
        if self.http_port:
            taken.append((self.bind_address, self.http_port))
        named = [place for place in taken if place[0] is not None]
        if len(set(named)) < len(named):
            raise ValueError("two virtual servers would have the same address and port")

    @property
    def probe(self) -> str:
        """The address at which lbsync looks at the TLS listener."""
        return self.probe_address or self.bind_address or ""
