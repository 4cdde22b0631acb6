"""A real NGINX in front of a simulated farm: ``directory/nginx.conf``; ``lbsync`` and ``conf.d`` beside it are for lbsync.

Rule of this room: as for every balancer of the lab. It passes connections on whole unless told otherwise, since the farm offers
NTLM as real ones do; MRSProxy then has a host name of its own.
"""

from __future__ import annotations

from pathlib import Path

from lbsync.lab.balancer import LabBalancer, NoBalancer, Proxy, Running
from lbsync.testing.nginx import RunningNginx, nginx_program, stream_module

MRSPROXY_HOST = "mrs.contoso.test"
"""The servers' certificate must carry it: its connections go through to their TLS."""
_INSTALL = "Install it (Debian, Ubuntu: apt-get install nginx libnginx-mod-stream), or name "


class LabNginx(LabBalancer):
    """NGINX with two workers, its stream module loaded where ``proxy`` needs it."""

    provider = "nginx"
    product = "NGINX"

    def __init__(self, directory: Path, proxy: Proxy = "stream") -> None:
        """Raises NoBalancer where NGINX or the stream module it needs is not installed."""
        program = nginx_program()
        if program is None:
            raise NoBalancer(
                "NGINX is not installed, and the rehearsal runs through a real one.",
                remedy=f"{_INSTALL}it in LBSYNC_NGINX.",
                code="no_nginx",
            )
        super().__init__(directory, "nginx.conf")
        self._proxy: Proxy = proxy
        try:
            if proxy == "stream":
                stream_module(program)
        except OSError as missing:
            raise NoBalancer(
                f"{missing}, and the rehearsal needs it.",
                remedy=f"{_INSTALL}its folder in LBSYNC_NGINX_MODULES; or rehearse requests: --proxy http.",
                code="no_nginx_stream",
            ) from missing

    def make(self) -> Running:
        """See LabBalancer."""
        return _Nginx(self.directory, self._proxy)


class _Nginx(RunningNginx):
    """With the settings of what it does for the farm."""

    def __init__(self, directory: Path, proxy: Proxy) -> None:
        super().__init__(directory, stream=proxy == "stream", own_session=True)
        self._proxy: Proxy = proxy

    @property
    def settings(self) -> dict[str, object]:
        """See RunningNginx. With ``http`` it is declared that nobody logs on by NTLM, which NGINX would mix up."""
        match self._proxy:
            case "stream":
                return {**super().settings, "proxy": "stream", "mrsproxy_host": MRSPROXY_HOST}
            case "http":
                return {**super().settings, "proxy": "http", "ntlm": "unused"}
