"""F5 BIG-IP as an lbsync balancer: objects over iControl REST, changed in transactions, modes switched by LTM policy."""

from __future__ import annotations

from lbsync.target import Plugin
from lbsync_f5.provider import connect
from lbsync_f5.settings import F5Settings

__all__ = ["F5Settings", "plugin"]

plugin = Plugin(name="bigip", settings=F5Settings, connect=connect)
