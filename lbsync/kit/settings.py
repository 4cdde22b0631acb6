"""Settings that every balancer's provider has: what its listeners bind to, whose its files are, and how its host is reached.

Rule of this room: whatever reaches a configuration or a command line is checked letter by letter; a space, a quote or a ``$`` in
one could otherwise become a directive. Only what is true of every product stands here.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lbsync.kit.endpoints import ANY
from lbsync.kit.host import SshSettings
from lbsync.model import Value

_PATH = re.compile(r"/[A-Za-z0-9._/@+-]*[A-Za-z0-9._@+-]\Z")
_ACCOUNT = r"^[A-Za-z_][A-Za-z0-9_.-]*$"


def _path(text: str) -> str:
    if not _PATH.match(text) or "/../" in f"{text}/":
        raise ValueError("must be an absolute path of letters, digits and . _ / @ + -")
    return text


def _address(text: str) -> str:
    return text if text == "*" else str(ipaddress.ip_address(text))


AbsolutePath = Annotated[str, AfterValidator(_path)]
"""An absolute path that can stand unquoted in a configuration."""
Port = Annotated[int, Field(ge=1, le=65535)]
AccountName = Annotated[str, Field(pattern=_ACCOUNT)]
"""The name of a user or a group."""
BindAddress = Annotated[str, AfterValidator(_address)]
"""An IPv4 or IPv6 address, or ``*`` for all of them."""


class ListenerSettings(Value):
    """What a balancer listens on, whose lbsync's files there are, and how lbsync reaches it; providers derive theirs."""

    bind_address: BindAddress = Field(
        default="*",
        description="Address that the balancer listens on for Exchange; * for every IPv4, :: for every IPv6 address.",
    )
    https_port: Port = Field(default=443, description="Port of the TLS listener.")
    http_port: int = Field(default=80, ge=0, le=65535, description="Port that redirects to https; 0 for none.")
    public_https_port: Port | None = Field(
        default=None, description="Port clients see in redirects, where it is not https_port (address translation)."
    )
    tls_min: Literal["TLSv1.2", "TLSv1.3"] = Field(default="TLSv1.2", description="Oldest TLS version for clients.")
    probe_address: str | None = Field(
        default=None,
        description="Address lbsync asks to see the certificate served; default: bind_address, else the host's own.",
    )
    reload_timeout_s: float = Field(
        default=30.0, gt=0, description="Seconds a reload may take until new workers answer everywhere."
    )
    owner: AccountName | None = Field(
        default=None, description="User that shall own lbsync's files there; default: who writes."
    )
    group: AccountName | None = Field(default=None, description="Group that shall own lbsync's files there.")
    ssh: SshSettings | None = Field(default=None, description="Reach the balancer's host over SSH; default: this host.")

    @property
    def public_port(self) -> int:
        """The https port as clients write it."""
        return self.public_https_port or self.https_port

    @property
    def probe(self) -> str:
        """The address at which lbsync looks at the TLS listener."""
        if self.probe_address:
            return self.probe_address
        if self.bind_address not in ANY:
            return self.bind_address
        if self.ssh is not None:
            return self.ssh.host
        return "::1" if self.bind_address == "::" else "127.0.0.1"
