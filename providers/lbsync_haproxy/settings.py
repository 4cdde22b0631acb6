"""Settings of one HAProxy, as ``[balancers.settings]`` has them.

Rule of this room: every value that reaches HAProxy's configuration or command line is checked here, in the kit or in ``render``;
a space or a quote in one could otherwise become a directive.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lbsync.kit.settings import AbsolutePath, ListenerSettings


class HaproxySettings(ListenerSettings):
    """Where HAProxy runs, what it listens on, and how lbsync reaches it."""

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
    haproxy: AbsolutePath = Field(
        default="/usr/sbin/haproxy", description="The program, to check a configuration (-c)."
    )
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
