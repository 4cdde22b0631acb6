"""Settings of one NGINX, as ``[balancers.settings]`` has them.

Rule of this room: every value that reaches NGINX's configuration or a command line is checked here or in ``render``; a space,
a quote or a ``$`` in one could otherwise become a directive or a variable.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from lbsync.kit.settings import AbsolutePath, AccountName, ListenerSettings, Port

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+\Z")


def _host(text: str) -> str:
    name = text.lower()
    if not _HOST.match(name):
        raise ValueError("must be one DNS name")
    return name


class NginxSettings(ListenerSettings):
    """Where NGINX runs, what it listens on, how it treats NTLM, and how lbsync reaches it."""

    proxy: Literal["http", "stream"] = Field(
        default="http",
        description="http: requests are routed by path, each service in its own mode. stream: connections are passed on "
        "whole, in one mode for all services; what NTLM needs.",
    )
    ntlm: Literal["refuse", "unused", "plus"] = Field(
        default="refuse",
        description="With proxy = http, for services that offer NTLM or Negotiate: refuse to publish them; unused: you declare "
        "that clients log on by Basic or OAuth only; plus: NGINX Plus, by its ntlm directive (not tried).",
    )
    mrsproxy_host: Annotated[str, AfterValidator(_host)] | None = Field(
        default=None,
        description="With proxy = stream: a host name of MRSProxy's own, passed through to the servers' TLS by SNI; what "
        "offloading needs where MRSProxy is enabled.",
    )
    certificate_form: Literal["static", "variable"] = Field(
        default="static",
        description="static: a new certificate is loaded by a reload. variable: it is read at each handshake, so that no "
        "reload is needed; costs CPU, and the workers can read the key.",
    )
    status_port: Port = Field(
        default=24443,
        description="Port on 127.0.0.1 of NGINX's host where the workers tell which configuration of ours they run.",
    )
    inner_port: Port = Field(
        default=24444, description="With mrsproxy_host: port on 127.0.0.1 where TLS is ended behind the fork by name."
    )
    directory: AbsolutePath = Field(
        default="/etc/nginx/lbsync", description="Directory that lbsync owns: certificates, CA, the file for stream."
    )
    http_file: AbsolutePath = Field(
        default="/etc/nginx/conf.d/lbsync.conf", description="The file lbsync owns inside NGINX's http block."
    )
    config_file: AbsolutePath = Field(
        default="/etc/nginx/nginx.conf", description="NGINX's main file, the administrator's own: read only."
    )
    nginx: AbsolutePath = Field(default="/usr/sbin/nginx", description="The program, to test a configuration.")
    reload: Literal["systemd", "signal"] | tuple[str, ...] = Field(
        default="systemd",
        description="How NGINX is reloaded: systemd, signal (SIGHUP to pid_file), or a command as a list.",
    )
    unit: str = Field(default="nginx", pattern=r"^[A-Za-z0-9@._-]+$", description="systemd unit for reload = systemd.")
    pid_file: AbsolutePath = Field(default="/run/nginx.pid", description="File with the master's process id.")
    proof_s: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="After each reload, ten full handshakes in a row over so many seconds must show the wanted certificate.",
    )
    group: AccountName | None = Field(
        default=None,
        description="Group that shall own lbsync's files there; with certificate_form = variable that of the workers.",
    )
    resumption: bool = Field(
        default=True, description="False: no TLS session is resumed on our listeners; wanted under Extended Protection."
    )
    health_timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="Seconds a member may take to answer a health check of lbsync's."
    )
    long_request_s: int = Field(
        default=3600,
        ge=60,
        description="Longest silence of client or server: an ActiveSync ping waits up to 30 minutes.",
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        ports = [port for port in (self.https_port, self.http_port, self.status_port, self.inner_port) if port]
        if len(set(ports)) != len(ports):
            raise ValueError("https_port, http_port, status_port and inner_port must differ")
        if self.reload == ():
            raise ValueError("reload as a command must not be empty")
        if self.proxy == "stream" and self.ntlm != "refuse":
            raise ValueError("ntlm goes with proxy = http only: stream carries NTLM as it is")
        if self.proxy == "http" and self.mrsproxy_host is not None:
            raise ValueError("mrsproxy_host goes with proxy = stream only")
        if self.certificate_form == "variable" and self.proxy == "stream":
            raise ValueError(
                "certificate_form = variable goes with proxy = http only: in stream a reload costs no connection"
            )
        if self.certificate_form == "variable" and self.group is None:
            raise ValueError("certificate_form = variable needs group: the workers must be able to read the key")
        if self.http_file.startswith(f"{self.directory}/"):
            raise ValueError("http_file must not lie in directory: NGINX loads it from elsewhere")
        return self
