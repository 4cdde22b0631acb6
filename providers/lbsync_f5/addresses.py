"""From the settings to where the devices are reached, and by whom.

Rule of this room: importing it proves that f5-sdk is here.
"""

from __future__ import annotations

from importlib.util import find_spec

from lbsync_f5.session import Address
from lbsync_f5.session.adapter import Patience
from lbsync_f5.settings import F5Settings

if find_spec("icontrol") is None or find_spec("f5") is None:
    raise ImportError("f5-sdk")


def addresses(settings: F5Settings) -> tuple[Address, ...]:
    """One for each host."""
    patience = Patience(settings.connect_timeout_s, settings.request_timeout_s, settings.busy_timeout_s)
    return tuple(
        Address(
            host=host,
            port=settings.port,
            user=settings.user,
            password=settings.password,
            provider=settings.login_provider,
            ca=str(settings.ca_file) if settings.ca_file is not None else True,
            server_name=settings.server_name,
            patience=patience,
        )
        for host in settings.hosts
    )
