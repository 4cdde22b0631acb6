"""The scripts that retire a certificate: who uses which, and its removal.

Remove-ExchangeCertificate refuses what the documentation says it refuses: a certificate that a send connector's name fits, also
where a renewed one shares the name. Its texts for federation and the internal transport are as people report them [u].
"""

from __future__ import annotations

from lbsync.lab.models.call import Call, Result
from lbsync.lab.models.certificates import refused
from lbsync.lab.models.exchange import known, need
from lbsync.lab.naming import tls_certificate_name
from lbsync.lab.state import ServerState
from lbsync.lab.store import StoredEntry

_CMDLETS = (
    "Get-ExchangeCertificate",
    "Remove-ExchangeCertificate",
    "Get-SendConnector",
    "Get-ReceiveConnector",
    "Get-AuthConfig",
    "Get-FederationTrust",
    "Get-HybridConfiguration",
    "Get-TransportService",
)

_EVERYWHERE = "0.0.0.0"  # noqa: S104  how HTTP.SYS writes it; nothing listens here


def certificate_uses(call: Call) -> Result:
    """Who names which certificate."""
    missing = call.open_exchange(*_CMDLETS)
    servers = [known(call, name) for name in call.texts("servers")]
    wanted = {server.name for server in servers}
    with call.farm.changes.lock:
        names = call.farm.directory.names
        told: dict[str, tuple[str, list[object]]] = {
            "certificates": (
                "Get-ExchangeCertificate",
                [_enabled(server, entry) for server in servers for entry in server.store.entries.values()],
            ),
            "send_connectors": (
                "Get-SendConnector",
                [{"identity": identity, "name": name} for identity, name in names.send_connectors.items()],
            ),
            "receive_connectors": (
                "Get-ReceiveConnector",
                [
                    {"server": server, "identity": identity, "name": name}
                    for (server, identity), name in names.receive_connectors.items()
                    if server in wanted
                ],
            ),
            "hybrid": (
                "Get-HybridConfiguration",
                [{"identity": "Hybrid Configuration", "name": names.hybrid}] if names.hybrid else [],
            ),
            "auth_config": (
                "Get-AuthConfig",
                [{"role": role, "thumbprint": thumbprint} for role, thumbprint in names.auth_config.items()],
            ),
            "federation": (
                "Get-FederationTrust",
                [
                    {"identity": trust, "role": role, "thumbprint": thumbprint}
                    for (trust, role), thumbprint in names.federation.items()
                ],
            ),
            "transport": (
                "Get-TransportService",
                [{"server": server, "thumbprint": thumbprint} for server, thumbprint in names.transport.items()],
            ),
        }
    answer: Result = {part: [] if cmdlet in missing else rows for part, (cmdlet, rows) in told.items()}
    return {**answer, "missing_cmdlets": missing}


def certificate_holders(call: Call) -> Result:
    """What HTTP.SYS has (the drive SslBindings of IIS), and what Remote Desktop was given."""
    server = call.server
    with call.farm.changes.lock:
        sites = {
            _listener(one.information): one.thumbprint for one in server.iis.bindings if one.thumbprint is not None
        }
        found = sites | server.tls_listeners
        holders: list[object] = [
            {"what": f"the TLS listener {place}", "thumbprint": thumbprint} for place, thumbprint in found.items()
        ]
        if server.remote_desktop is not None:
            holders.append({"what": "Remote Desktop", "thumbprint": server.remote_desktop})
    return {"holders": holders}


def remove_certificate(call: Call) -> Result:
    """Remove-ExchangeCertificate, unless a binding or a service has it."""
    thumbprint = call.text("thumbprint")
    released = call.texts("released")
    entry = call.server.store.find(thumbprint)
    if entry is None or entry.pending:
        return {"thumbprint": thumbprint, "outcome": "already", "held_by": []}
    held_by: list[object] = [
        f"the IIS binding {binding.information} of {binding.site}"
        for binding in call.server.iis.bindings
        if binding.thumbprint == thumbprint
    ]
    if not held_by:
        need(call.open_exchange("Get-ExchangeCertificate", "Remove-ExchangeCertificate"))
        server = call.named_server()
        with call.farm.changes.lock:
            held_by = [f"the Exchange service {name}" for name in entry.services if name not in released]
            if not held_by:
                _remove(call, server, entry)
    outcome = "in_use" if held_by else "removed"
    return {"thumbprint": thumbprint, "outcome": outcome, "held_by": held_by}


def _remove(call: Call, server: ServerState, entry: StoredEntry) -> None:
    names, thumbprint = call.farm.directory.names, entry.bundle.info.thumbprint
    tagged = names.tagged(entry.bundle.leaf)
    if tagged:
        raise refused(
            server,
            f"These certificates are tagged with following Send Connectors : {', '.join(tagged)}. Removing and replacing "
            "certificates from Send Connector would break the mail flow. If you still want to proceed then replace or remove "
            "these certificates from Send Connector and then try this command.",
            "Remove",
        )
    if names.transport.get(server.name) == thumbprint:
        raise refused(
            server,
            "The internal transport certificate cannot be removed because that would cause the Microsoft Exchange Transport "
            "service to stop. To replace the internal transport certificate, create a new certificate.",
            "Remove",
        )
    if thumbprint in names.federation.values():
        raise refused(
            server, f"The certificate with thumbprint {thumbprint} is used by the federation trust.", "Remove"
        )
    del server.store.entries[thumbprint]
    call.farm.changes.announce()


def _listener(information: str) -> str:
    """A binding of all addresses stands under 0.0.0.0 there."""
    address, port, _host = information.rsplit(":", 2)
    return f"{_EVERYWHERE if address in {'', '*'} else address}:{port}"


def _enabled(server: ServerState, entry: StoredEntry) -> object:
    return {
        "server": server.name,
        "thumbprint": entry.bundle.info.thumbprint,
        "name": tls_certificate_name(entry.bundle.leaf),
        "services": list(entry.services),
    }
