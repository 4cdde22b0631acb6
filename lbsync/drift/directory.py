"""What differs in AD: Outlook Anywhere and MRSProxy of each server, OAuth of the farm.

Rule of this file: pure; a server that AD did not list on either side is no difference here, the configuration tells it.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.drift.baseline import DIRECTORY
from lbsync.drift.difference import Difference, Kind
from lbsync.facts import FarmFacts
from lbsync.services import Service

_OUTLOOK_ANYWHERE = {
    "ssl_offloading": "SSLOffloading",
    "internal_hostname": "InternalHostname",
    "external_hostname": "ExternalHostname",
    "internal_clients_require_ssl": "InternalClientsRequireSsl",
    "external_clients_require_ssl": "ExternalClientsRequireSsl",
    "internal_authentication": "InternalClientAuthenticationMethod",
    "external_authentication": "ExternalClientAuthenticationMethod",
    "iis_authentication": "IISAuthenticationMethods",
}
_OAUTH = {
    "oauth2_client_profile_enabled": "OAuth2ClientProfileEnabled",
    "evosts_is_default": "EvoSTS as default authorization endpoint",
    "hybrid_configuration": "hybrid configuration",
}


def compare_directory(before: FarmFacts, now: FarmFacts) -> Iterator[Difference]:
    """Server by server, then the farm."""
    for found in now.outlook_anywhere:
        was = before.outlook_anywhere_of(found.server)
        if was is None:
            continue
        for field, name in _OUTLOOK_ANYWHERE.items():
            old, new = _told(getattr(was, field)), _told(getattr(found, field))
            if old != new:
                yield Difference(
                    target=found.server, kind=Kind.OUTLOOK_ANYWHERE, subject="Outlook Anywhere (AD)", text=name,
                    before=old, now=new, services=(Service.OUTLOOK_ANYWHERE,),
                )  # fmt: skip
    for server, enabled in now.mrsproxy_enabled.items():
        if before.mrsproxy_enabled.get(server, enabled) is not enabled:
            yield Difference(
                target=server, kind=Kind.MRSPROXY, subject="MRSProxy (AD)", text=f"is {'on' if enabled else 'off'}",
                before=_told(not enabled), now=_told(enabled), services=(Service.MRSPROXY,),
            )  # fmt: skip
    for field, name in _OAUTH.items():
        old, new = _told(getattr(before.oauth, field)), _told(getattr(now.oauth, field))
        if old != new:
            yield Difference(
                target=DIRECTORY, kind=Kind.OAUTH, subject="OAuth", text=name, before=old, now=new, services=tuple(Service)
            )  # fmt: skip


def _told(value: object) -> str:
    """As Exchange's cmdlets take it."""
    if isinstance(value, bool):
        return "$true" if value else "$false"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
    return str(value or "")
