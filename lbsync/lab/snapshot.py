"""A farm's state as JSON: what ``lbsync lab state`` shows and what kill tests compare.

Rule of this room: it reads under the farm's lock and tells no secret.
"""

from __future__ import annotations

from dataclasses import asdict

from lbsync.lab.state import FarmState, ServerState


def farm(state: FarmState) -> dict[str, object]:
    """Everything, by server."""
    with state.changes.lock:
        directory = state.directory
        return {
            "servers": {name: server(state, entry) for name, entry in state.servers.items()},
            "oauth": {
                "oauth2_client_profile_enabled": directory.oauth2_client_profile_enabled,
                "evosts_is_default": directory.evosts_is_default,
                "hybrid_configuration": directory.hybrid_configuration,
            },
            "locked": sorted(name for name in state.accounts.wrong if state.accounts.locked(name)),
        }


def server(state: FarmState, entry: ServerState) -> dict[str, object]:
    """One server: ``iis`` is what a rollback has to leave exactly as it was."""
    iis, web, winrm = entry.iis, entry.web, entry.winrm
    outlook = asdict(state.directory.outlook_anywhere[entry.name])
    return {
        "iis": {
            "own_ssl_flags": iis.own_values(),
            "token_checking": {at.path: iis.token_checking(at.path).value for at in iis.locations.values()},
            "bound": iis.bound,
        },
        "pools": {pool.name: {"state": pool.state, "recycles": pool.recycles} for pool in iis.pools.values()},
        "certificates": {
            thumbprint: {"services": list(c.services), "exportable": c.exportable, "status": c.status}
            for thumbprint, c in entry.store.entries.items()
        },
        "internal_transport": state.directory.names.transport.get(entry.name),
        "mail": {one.name: asdict(one) for one in entry.mail.services},
        "components": dict(entry.components),
        "setup_running": entry.setup_running,
        "key_containers": len(entry.containers),
        "outlook_anywhere": {**outlook, "iis_authentication": list(outlook["iis_authentication"])},
        "mrsproxy_enabled": state.directory.mrsproxy_enabled[entry.name],
        "web": {
            "requests": [[*key, count] for key, count in sorted(web.requests.items())],
            "mrsproxy_plain_requests": web.mrsproxy_plain_requests,
            "cut": web.cut,
        },
        "winrm": {
            "requests": winrm.requests,
            "shells_open": winrm.shells_opened - winrm.shells_closed,
            "rejected_logons": winrm.rejected_logons,
            "scripts": dict(winrm.scripts),
            "faults": dict(winrm.faults),
        },
    }
