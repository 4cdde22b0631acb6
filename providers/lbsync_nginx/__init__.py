"""NGINX as an lbsync balancer: requests routed by path, or connections passed on whole; every change a reload that is proven."""

from __future__ import annotations

from lbsync.target import Plugin
from lbsync_nginx.provider import connect
from lbsync_nginx.settings import NginxSettings

__all__ = ["NginxSettings", "plugin"]

plugin = Plugin(name="nginx", settings=NginxSettings, connect=connect)
