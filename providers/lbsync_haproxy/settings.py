"""Settings of one HAProxy, as ``[balancers.settings]`` has them.

Rule of this room: every value that reaches HAProxy's configuration or command line is checked here or in ``render``; a space or
a quote in one could otherwise become a directive.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

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
Port = Annotated[int, Field(ge=1, le=65535)]


class HaproxySettings(Value):
    """Where HAProxy runs, what it listens on, and how lbsync reaches it."""

    bind_address: Annotated[str, AfterValidator(_address)] = Field(
        default="*", description="Address that HAProxy listens on for Exchange; * for all of them."
    )
    https_port: Port = Field(default=443, description="Port of the TLS listener.")
    http_port: int = Field(default=80, ge=0, le=65535, description="Port that redirects to https; 0 for none.")
    public_https_port: Port | None = Field(
        default=None, description="Port clients see in redirects, where it is not https_port (address translation)."
    )
    directory: AbsolutePath = Field(
        default="/etc/haproxy/lbsync",
        description="Directory that lbsync owns; HAProxy must load it with a second -f.",
    )
    config_file: AbsolutePath | tuple[AbsolutePath, ...] = Field(
        default="/etc/haproxy/haproxy.cfg",
        description="The administrator's own file or files, read only: checked together with ours, and for foreign binds.",
    )
    socket: AbsolutePath = Field(
        default="/run/haproxy/admin.sock", description="Stats socket with `level admin`, as the global section has it."
    )
    master_socket: AbsolutePath | None = Field(
        default=None, description="Master socket (-S), needed for reload = master-socket; tells at once when one fails."
    )
    reload: Literal["systemd", "master-socket", "signal"] | tuple[str, ...] = Field(
        default="systemd",
        description="How HAProxy is reloaded: systemd, master-socket, signal (SIGUSR2 to pid_file), or a command as a list.",
    )
    unit: str = Field(
        default="haproxy", pattern=r"^[A-Za-z0-9@._-]+$", description="systemd unit for reload = systemd."
    )
    pid_file: AbsolutePath | None = Field(default=None, description="File with the master's pid, for reload = signal.")
    reload_timeout_s: float = Field(default=30.0, gt=0, description="Seconds a new worker may take to answer.")
    haproxy: AbsolutePath = Field(
        default="/usr/sbin/haproxy", description="The program, to check a configuration (-c)."
    )
    owner: str | None = Field(
        default=None, pattern=_ACCOUNT, description="User that shall own lbsync's files there; default: who writes."
    )
    group: str | None = Field(default=None, pattern=_ACCOUNT, description="Group that shall own lbsync's files there.")
    ssh: SshSettings | None = Field(default=None, description="Reach HAProxy's host over SSH; default: this host.")
    tls_min: Literal["TLSv1.2", "TLSv1.3"] = Field(default="TLSv1.2", description="Oldest TLS version for clients.")
    resumption: bool = Field(
        default=True,
        description="False: no TLS session is resumed, on any listener of this HAProxy; wanted under Extended Protection.",
    )
    check_interval_s: float = Field(default=2.0, ge=0.1, le=300, description="Seconds between two health checks.")
    long_request_s: int = Field(
        default=1800,
        ge=60,
        description="Longest silence of client or server: an ActiveSync ping waits up to 30 minutes.",
    )
    probe_address: str | None = Field(
        default=None,
        description="Address lbsync asks to see the certificate served; default: bind_address, else the host's own.",
    )

    @model_validator(mode="after")
    def _reload_has_what_it_needs(self) -> Self:
        if self.reload == "master-socket" and self.master_socket is None:
            raise ValueError("reload = master-socket needs master_socket")
        if self.reload == "signal" and self.pid_file is None:
            raise ValueError("reload = signal needs pid_file")
        if self.reload == ():
            raise ValueError("reload as a command must not be empty")
        if self.http_port == self.https_port:
            raise ValueError("http_port and https_port must differ")
        return self

    @property
    def config_files(self) -> tuple[str, ...]:
        """``config_file`` as a tuple."""
        return (self.config_file,) if isinstance(self.config_file, str) else self.config_file

    @property
    def public_port(self) -> int:
        """The https port as clients write it."""
        return self.public_https_port or self.https_port

    @property
    def probe(self) -> str:
        """The address at which lbsync looks at the TLS listener."""
        if self.probe_address:
            return self.probe_address
        if self.bind_address not in {"*", "0.0.0.0", "::"}:  # noqa: S104 -- compared, not bound
            return self.bind_address
        return self.ssh.host if self.ssh else "127.0.0.1"
