"""The scripts of the local tier: server-facts, read-flags, set-require-ssl."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding

from lbsync.lab import apphost
from lbsync.lab.errors import ScriptError
from lbsync.lab.iis import Iis
from lbsync.lab.models.call import Call, Result, b64
from lbsync.lab.state import ServerState
from lbsync.services import FRONT_END_SITE

_READ = (
    "",
    "owa",
    "ecp",
    "EWS",
    "Autodiscover",
    "Microsoft-Server-ActiveSync",
    "Microsoft-Server-ActiveSync/Proxy",
    "OAB",
    "mapi",
    "Rpc",
)


def server_facts(call: Call) -> Result:
    """Everything local about one server."""
    server, iis = call.server, call.server.iis
    with call.farm.changes.lock:
        return {
            "server": server.name,
            "fqdn": server.fqdn,
            "setup_version": server.setup_version,
            "exsetup_version": server.exsetup_version,
            "setup_running": server.setup_running,
            "setup_incomplete": server.setup_incomplete,
            "administrator": server.administrator,
            "suppress_extended_protection": server.suppress_extended_protection,
            "config": apphost.render(iis),
            "effective": _effective(iis),
            "redirects": [
                {"location": at.path, "destination": at.redirect} for at in iis.locations.values() if at.redirect
            ],
            "rewrites": [
                {"location": at.path, "name": rule} for at in iis.locations.values() for rule in at.rewrite_rules
            ],
            "bindings": bindings(iis),
            "pools": [{"name": pool.name, "state": iis.pool_state(pool.name)} for pool in iis.pools.values()],
            "components": [{"component": name, "state": state} for name, state in server.components.items()],
            "certificates": _certificates(server),
        }


def _effective(iis: Iis) -> list[object]:
    places = [f"{FRONT_END_SITE}/{name}".rstrip("/") for name in _READ]
    return [
        {"location": place, "ssl_flags": iis.ssl_flags(place), "token_checking": iis.token_checking(place).value}
        for place in places
        if place.lower() in iis.locations
    ]


def bindings(iis: Iis) -> list[object]:
    """Get-WebBinding."""
    return [
        {"site": b.site, "protocol": b.protocol, "information": b.information, "thumbprint": b.thumbprint}
        for b in iis.bindings
    ]


def _certificates(server: ServerState) -> list[object]:
    # A CNG key does not tell whether it may be exported; the lab's are keys of the old providers, which do.
    return [
        {
            "thumbprint": thumbprint,
            "raw": b64(entry.bundle.leaf.public_bytes(Encoding.DER)),
            "has_private_key": True,
            "exportable": entry.exportable,
        }
        for thumbprint, entry in server.store.entries.items()
        if not entry.pending
    ]


def read_flags(call: Call) -> Result:
    """SslFlags of some locations and the state of some pools."""
    with call.farm.changes.lock:
        return {
            "vdirs": [_vdir(call.server.iis, location) for location in call.texts("locations")],
            "pools": _pools(call.server.iis, call.texts("pools")),
        }


def _vdir(iis: Iis, location: str) -> Result:
    return {"location": location, "own": iis.own_ssl_flags(location), "effective": iis.ssl_flags(location)}


def _pools(iis: Iis, names: list[str]) -> list[object]:
    for name in names:
        if name.lower() not in iis.pools:
            raise ScriptError(
                f"Cannot find path 'IIS:\\AppPools\\{name}' because it does not exist.",
                fqid="PathNotFound,Microsoft.IIs.PowerShell.Provider.GetAppPoolStateCommand",
                category="ObjectNotFound",
                target=f"IIS:\\AppPools\\{name}",
            )
    return [{"name": name, "state": iis.pool_state(name)} for name in names]


def set_require_ssl(call: Call) -> Result:
    """Own sslFlags of some locations, the recycle of just the pools named, and a read-back."""
    iis = call.server.iis
    changes = call.records("changes")
    locations = [str(change.get("location", "")) for change in changes]
    recycle = call.texts("recycle")
    for change, location in zip(changes, locations, strict=True):
        _may_write(call.server, location)
        own = change.get("own")
        iis.write_ssl_flags(location, None if own is None else _normal(str(own)))
    _pools(iis, recycle)
    recycled: list[str] = []
    for name in recycle:
        if iis.pools[name.lower()].state == "Started":
            iis.recycle(name)
            recycled.append(name)
    with call.farm.changes.lock:
        return {
            "vdirs": [_vdir(iis, location) for location in locations],
            "pools": _pools(iis, recycle),
            "recycled": recycled,
        }


def _may_write(server: ServerState, location: str) -> None:
    lowered = location.lower()
    if not lowered.startswith(f"{FRONT_END_SITE.lower()}/") or lowered == f"{FRONT_END_SITE.lower()}/rpc":
        raise ScriptError.thrown(f"refused: {location} is not a location whose Require SSL is set in IIS")
    if lowered not in server.iis.locations:
        raise ScriptError.thrown(f"there is no {location} on this server")
    if not server.administrator:
        raise ScriptError(
            "Filename: redirection.config\r\nError: Cannot read configuration file due to insufficient permissions",
            fqid="System.UnauthorizedAccessException,Microsoft.IIs.PowerShell.Provider.SetConfigurationPropertyCommand",
            category="NotSpecified",
        )


def _normal(flags: str) -> str:
    """IIS writes a list of flags with a comma and a space."""
    return ", ".join(flag.strip() for flag in flags.split(","))
