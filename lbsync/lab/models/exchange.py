"""The scripts of the Exchange tier that read and write the directory: farm-facts, set-outlook-anywhere."""

from __future__ import annotations

from lbsync.lab.directory import OutlookAnywhere
from lbsync.lab.errors import ScriptError
from lbsync.lab.models.call import Call, Result
from lbsync.lab.state import ServerState
from lbsync_certs import Thumbprint

_CMDLETS = (
    "Get-OutlookAnywhere",
    "Set-OutlookAnywhere",
    "Get-WebServicesVirtualDirectory",
    "Get-OrganizationConfig",
    "Get-AuthServer",
    "Get-HybridConfiguration",
    "Get-ExchangeCertificate",
    "Export-ExchangeCertificate",
    "Import-ExchangeCertificate",
    "Enable-ExchangeCertificate",
    "New-ExchangeCertificate",
)


def need(missing: list[str]) -> None:
    """Raise what the scripts throw when the roles do not offer their cmdlets."""
    if missing:
        raise ScriptError.thrown(f"the account has no right to run {', '.join(missing)}")


def farm_facts(call: Call) -> Result:
    """What lives in AD."""
    missing = call.open_exchange(*_CMDLETS)
    told = not call.open_exchange("Get-TransportService")
    directory = call.farm.directory
    servers = [known(call, name) for name in call.texts("servers")]
    with call.farm.changes.lock:
        outlook = [] if "Get-OutlookAnywhere" in missing else [_record(call, server) for server in servers]
        mrsproxy: list[object] = []
        if "Get-WebServicesVirtualDirectory" not in missing:
            mrsproxy = [{"server": s.name, "enabled": directory.mrsproxy_enabled[s.name]} for s in servers]
        certificates: list[object] = []
        if "Get-ExchangeCertificate" not in missing:
            transport = directory.names.transport if told else {}
            certificates = [
                record for server in servers for record in _certificates(server, transport.get(server.name))
            ]
        return {
            "outlook_anywhere": outlook,
            "mrsproxy": mrsproxy,
            "oauth": {
                "oauth2_client_profile_enabled": directory.oauth2_client_profile_enabled
                and "Get-OrganizationConfig" not in missing,
                "evosts_is_default": directory.evosts_is_default and "Get-AuthServer" not in missing,
                "hybrid_configuration": directory.hybrid_configuration and "Get-HybridConfiguration" not in missing,
            },
            "certificates": certificates,
            "missing_cmdlets": list(missing),
        }


def set_outlook_anywhere(call: Call) -> Result:
    """Set just the fields given; read back what AD holds. The service host carries it to IIS later."""
    need(call.open_exchange("Get-OutlookAnywhere", "Set-OutlookAnywhere"))
    answer: list[object] = []
    for setting in call.records("settings"):
        server = known(call, str(setting.get("server", "")))
        with call.farm.changes.lock:
            call.farm.directory.set_outlook_anywhere(server.name, setting)
            call.farm.changes.announce()
            answer.append(_record(call, server))
        call.farm.on_directory_change(server.name)
    return {"outlook_anywhere": answer}


def known(call: Call, name: str) -> ServerState:
    """A server that a cmdlet was pointed at by name. Raises ScriptError where there is none."""
    server = call.farm.server(name)
    if server is None:
        raise ScriptError(
            f"The operation couldn't be performed because object '{name}' couldn't be found on \"DC01.contoso.test\".",
            fqid="[FailureCategory=Cmdlet-ManagementObjectNotFoundException] 7A3B1C52",
            category="InvalidData",
            target=name,
        )
    return server


def _record(call: Call, server: ServerState) -> Result:
    outlook: OutlookAnywhere = call.farm.directory.outlook_anywhere[server.name]
    return {
        "server": server.name,
        "ssl_offloading": outlook.ssl_offloading,
        "internal_hostname": outlook.internal_hostname,
        "external_hostname": outlook.external_hostname,
        "internal_clients_require_ssl": outlook.internal_clients_require_ssl,
        "external_clients_require_ssl": outlook.external_clients_require_ssl,
        "internal_authentication": outlook.internal_authentication,
        "external_authentication": outlook.external_authentication,
        "iis_authentication": list(outlook.iis_authentication),
    }


def _certificates(server: ServerState, internal: Thumbprint | None) -> list[object]:
    return [
        {
            "server": server.name,
            "thumbprint": thumbprint,
            "services": list(entry.services),
            "status": entry.status,
            "exportable": entry.exportable,
            "internal_transport": None if internal is None else thumbprint == internal,
        }
        for thumbprint, entry in server.store.entries.items()
    ]
