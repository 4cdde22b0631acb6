"""What the simulated farm keeps in Active Directory: Outlook Anywhere, MRSProxy, OAuth, and the rules of its cmdlets.

Rule of this room: AD knows what was asked for; what a server's IIS does is copied there later by the service host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lbsync.lab.errors import ScriptError
from lbsync.lab.naming import Names


@dataclass(frozen=True, slots=True)
class OutlookAnywhere:
    """Get-OutlookAnywhere of one server, in the names of ``farm-facts``."""

    ssl_offloading: bool = False
    internal_hostname: str | None = None
    external_hostname: str | None = None
    internal_clients_require_ssl: bool = True
    external_clients_require_ssl: bool = True
    internal_authentication: str | None = "Ntlm"
    external_authentication: str | None = "Negotiate"
    iis_authentication: tuple[str, ...] = ("Basic", "Ntlm", "Negotiate")


@dataclass(slots=True)
class Directory:
    """AD of one farm. ``names`` is what names certificates there."""

    outlook_anywhere: dict[str, OutlookAnywhere] = field(default_factory=dict[str, OutlookAnywhere])
    mrsproxy_enabled: dict[str, bool] = field(default_factory=dict[str, bool])
    oauth2_client_profile_enabled: bool = False
    evosts_is_default: bool = False
    hybrid_configuration: bool = False
    names: Names = field(default_factory=Names)

    def set_outlook_anywhere(self, server: str, given: Mapping[str, object]) -> OutlookAnywhere:
        """Set-OutlookAnywhere: only the fields given. Raises ScriptError where Exchange would refuse."""
        before = self.outlook_anywhere[server]
        after = replace(
            before,
            ssl_offloading=_flag(given, "ssl_offloading", before.ssl_offloading),
            internal_clients_require_ssl=_flag(
                given, "internal_clients_require_ssl", before.internal_clients_require_ssl
            ),
            external_clients_require_ssl=_flag(
                given, "external_clients_require_ssl", before.external_clients_require_ssl
            ),
            internal_hostname=_text(given, "internal_hostname", before.internal_hostname),
            external_hostname=_text(given, "external_hostname", before.external_hostname),
            internal_authentication=_text(given, "internal_authentication", before.internal_authentication),
            external_authentication=_text(given, "external_authentication", before.external_authentication),
            iis_authentication=_list(given, "iis_authentication", before.iis_authentication),
        )
        # Set-OutlookAnywhere: "$true is required when either ...RequireSsl is $false"; the wording is ours [u].
        if not after.ssl_offloading and not (after.internal_clients_require_ssl and after.external_clients_require_ssl):
            raise ScriptError(
                "SSLOffloading can't be $false while InternalClientsRequireSsl or ExternalClientsRequireSsl is $false.",
                fqid="[FailureCategory=Cmdlet-InvalidOperationException] 6F2A7D11,"
                "Microsoft.Exchange.Management.SystemConfigurationTasks.SetRpcHttp",
                category="InvalidOperation",
                target=f"{server}\\Rpc (Default Web Site)",
            )
        self.outlook_anywhere[server] = after
        return after


def _flag(given: Mapping[str, object], name: str, before: bool) -> bool:
    value = given.get(name, before)
    if not isinstance(value, bool):
        raise ScriptError.unconvertible(name)
    return value


def _text(given: Mapping[str, object], name: str, before: str | None) -> str | None:
    value = given.get(name, before)
    if value is not None and not isinstance(value, str):
        raise ScriptError.unconvertible(name)
    return value or None


def _list(given: Mapping[str, object], name: str, before: tuple[str, ...]) -> tuple[str, ...]:
    value = given.get(name, before)
    if not isinstance(value, list | tuple):
        raise ScriptError.unconvertible(name)
    return tuple(str(item) for item in value)  # pyright: ignore[reportUnknownArgumentType]
