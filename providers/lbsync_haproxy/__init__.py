"""HAProxy as an lbsync balancer: modes flipped by map, certificates swapped live, one reload when the structure changes."""

from __future__ import annotations

from lbsync.target import Plugin
from lbsync_haproxy.provider import connect
from lbsync_haproxy.settings import HaproxySettings

__all__ = ["HaproxySettings", "plugin"]

plugin = Plugin(name="haproxy", settings=HaproxySettings, connect=connect)
