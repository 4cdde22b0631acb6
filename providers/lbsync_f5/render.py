"""From the farm and the settings to the objects that publish it.

Rule of this room: pure. The same wish gives the same objects, down to the last property; certificate and modes are not part of
them. Values are those of F5's own template for Exchange 2016/2019, where it has them.
"""

from __future__ import annotations

import hashlib
import ipaddress

from pydantic import JsonValue

from lbsync.errors import ConfigError
from lbsync.kit.pools import pools_of
from lbsync.model import Mode
from lbsync.services import SERVICES
from lbsync.target import BalancerSpec, Member
from lbsync_f5 import things
from lbsync_f5.names import Names
from lbsync_f5.settings import F5Settings
from lbsync_f5.things import Thing

_SLOW_RAMP_S = 300
_IDLE_REUSE_S = "2"
"""A drain waits as long for connections to a server that nobody uses; where requests are few, a handshake more is no matter."""
_CIPHERS = "DEFAULT:!SSLv3:!TLSv1:!TLSv1_1"
"""TLS 1.2 only, on every version: TLS 1.3 wants a cipher group, and then another set of options on each version."""
_END = r"\r\n"
"""As monitors have it: the device reads the escapes."""


def names_of(spec: BalancerSpec, settings: F5Settings) -> Names:
    """The names of this balancer's objects."""
    return Names(settings.partition, settings.folder, spec.name)


def render(spec: BalancerSpec, settings: F5Settings) -> tuple[Thing, ...]:
    """Every object with its mark, in the order in which they can be made; certificate files and policies aside."""
    names = names_of(spec, settings)
    found = [
        *_monitors(spec, settings, names),
        *_profiles(spec, settings, names),
        *_pools(spec, names),
        *_virtuals(settings, names),
    ]
    return tuple(thing.marked(spec.name) for thing in sorted(found, key=lambda one: things.ORDER.index(one.collection)))


def node(balancer: str, settings: F5Settings, address: str) -> Thing:
    """A server's address as a node of ours; used only where no node has that address yet."""
    path = f"/{settings.partition}/{address}"
    return Thing(collection=things.NODE, path=path, body={"address": address}).marked(balancer)


def refuse_unsuited(spec: BalancerSpec) -> None:
    """Raises ConfigError for members that a BIG-IP cannot have, or not together."""
    for member in spec.members:
        try:
            ipaddress.ip_address(member.address)
        except ValueError:
            raise ConfigError(
                f"a BIG-IP needs the address of {member.name}, not the name {member.address}",
                where=spec.name,
                remedy=f"set address of the server {member.name} to its IP address",
            ) from None
    verified = sorted({member.tls_name for member in spec.members})
    if len(verified) > 1:
        raise ConfigError(
            f"a BIG-IP verifies all servers of a pool by one name, and these are several: {', '.join(verified)}",
            where=spec.name,
            remedy="give all servers the same tls_name: a name on the certificate they share",
        )


def server_ca_digest(spec: BalancerSpec) -> str:
    """Which CA the servers are verified against, in 16 hexadecimal digits."""
    return hashlib.sha256(spec.server_ca_pem.encode()).hexdigest()[:16]


def plain_address(text: str) -> str:
    """An address in its one canonical spelling. Raises ValueError for a name."""
    return str(ipaddress.ip_address(text))


def port_of(member: Member, mode: Mode) -> int:
    """The port of a server in the pools of a mode."""
    return member.http_port if mode is Mode.OFFLOAD else member.https_port


def member_name(node_path: str, port: int) -> str:
    """The full path of a server in a pool: that of its node, and the port; after a dot where the node's name is IPv6."""
    return f"{node_path}{_separator(node_path)}{port}"


def profiles_of(names: Names, settings: F5Settings) -> list[JsonValue]:
    """What a TLS virtual server of ours has."""
    found: list[tuple[str, str]] = [
        (names.own("tcp"), "all"),
        (names.own("http"), "all"),
        (names.client_ssl, "clientside"),
        (names.server_ssl, "serverside"),
    ]
    if settings.ntlm == "unused":
        found.append((names.own("one-connect"), "all"))
    return [{"name": name, "context": context} for name, context in sorted(found)]


def _separator(address: str) -> str:
    return "." if ":" in address else ":"


def _monitors(spec: BalancerSpec, settings: F5Settings, names: Names) -> list[Thing]:
    return [
        Thing(
            collection=things.MONITOR_HTTP if mode is Mode.OFFLOAD else things.MONITOR_HTTPS,
            path=names.monitor(service, mode),
            body={
                "defaultsFrom": "/Common/http" if mode is Mode.OFFLOAD else "/Common/https",
                "send": _END.join(
                    (
                        f"GET {SERVICES[service].health_path} HTTP/1.1",
                        f"Host: {spec.hosts[0]}",
                        "Connection: Close",
                        "",
                        "",
                    )
                ),
                "recv": "200 OK",
                "interval": settings.monitor_interval_s,
                "timeout": settings.monitor_timeout_s,
            },
        )
        for service, mode in pools_of(spec.services)
    ]


def _profiles(spec: BalancerSpec, settings: F5Settings, names: Names) -> list[Thing]:
    found = [
        Thing(
            collection=things.HTTP,
            path=names.own("http"),
            body={"defaultsFrom": "/Common/http", "insertXforwardedFor": "enabled", "redirectRewrite": "all"},
        ),
        Thing(
            collection=things.TCP,
            path=names.own("tcp"),
            body={"defaultsFrom": "/Common/tcp", "idleTimeout": settings.long_request_s},
        ),
        Thing(
            collection=things.SERVER_SSL,
            path=names.server_ssl,
            body={
                "defaultsFrom": "/Common/serverssl",
                "caFile": names.server_ca(server_ca_digest(spec)),
                "peerCertMode": "require",
                "authenticateName": spec.members[0].tls_name,
                "serverName": spec.members[0].tls_name,
                "expireCertResponseControl": "drop",
                "untrustedCertResponseControl": "drop",
            },
        ),
        Thing(
            collection=things.CLIENT_SSL,
            path=names.client_ssl,
            body={
                "defaultsFrom": "/Common/clientssl",
                "serverName": spec.hosts[0],
                "sniDefault": "true",
                "ciphers": _CIPHERS,
                "cacheSize": 262144 if settings.resumption else 0,
                "sessionTicket": "disabled",
            },
        ),
    ]
    if settings.ntlm == "unused":
        # One mask for all clients: an Exchange farm sees many of them behind few addresses anyway.
        # A drain must end: idle connections to servers are kept for moments only.
        body: dict[str, JsonValue] = {
            "defaultsFrom": "/Common/oneconnect", "sourceMask": "any", "idleTimeoutOverride": _IDLE_REUSE_S,
        }  # fmt: skip
        found.append(Thing(collection=things.ONE_CONNECT, path=names.own("one-connect"), body=body))
    return found


def _pools(spec: BalancerSpec, names: Names) -> list[Thing]:
    """``members`` has addresses and ports: which nodes they are is found on the device, who takes requests is set there."""
    return [
        Thing(
            collection=things.POOL,
            path=path,
            body={
                "loadBalancingMode": "least-connections-member",
                "slowRampTime": _SLOW_RAMP_S,
                "serviceDownAction": "none",
                "monitor": names.monitor(service, mode),
                "members": _members(spec, mode),
            },
        )
        for service, mode in pools_of(spec.services)
        for path in dict.fromkeys((names.pool(service, mode), names.turned.pool(service, mode)))
    ]


def _members(spec: BalancerSpec, mode: Mode) -> list[JsonValue]:
    """Sorted, as a device lists them in an order of its own."""
    found = sorted((plain_address(member.address), port_of(member, mode)) for member in spec.members)
    return [{"address": address, "port": port} for address, port in found]


def _virtuals(settings: F5Settings, names: Names) -> list[Thing]:
    found: list[Thing] = []
    if settings.bind_address is not None:
        found.append(_tls_virtual(settings, names, names.virtual, settings.bind_address, settings.https_port))
        if settings.http_port:
            body: dict[str, JsonValue] = {
                **_common(settings, settings.bind_address, settings.http_port),
                "profiles": [{"name": "/Common/http", "context": "all"}, {"name": "/Common/tcp", "context": "all"}],
                # The device's own rule: to https on the same host.
                "rules": ["/Common/_sys_https_redirect"],
            }
            found.append(Thing(collection=things.VIRTUAL, path=names.redirect, body=body))
    if settings.mrsproxy_address is not None:
        apart = _tls_virtual(settings, names, names.mrsproxy, settings.mrsproxy_address, settings.mrsproxy_port)
        found.append(apart)
    return found


def _tls_virtual(settings: F5Settings, names: Names, path: str, address: str, port: int) -> Thing:
    profiles = profiles_of(names, settings)
    return Thing(
        collection=things.VIRTUAL,
        path=path,
        body={**_common(settings, address, port), "profiles": profiles, "rules": []},
    )


def _common(settings: F5Settings, address: str, port: int) -> dict[str, JsonValue]:
    snat: dict[str, JsonValue] = {"type": settings.snat}
    if settings.snat not in {"automap", "none"}:
        snat = {"type": "snat", "pool": settings.snat}
    width = ipaddress.ip_address(address).max_prefixlen
    return {
        "destination": f"/{settings.partition}/{address}{_separator(address)}{port}",
        "mask": str(ipaddress.ip_network(f"{address}/{width}").netmask),
        "ipProtocol": "tcp",
        "sourceAddressTranslation": snat,
        "vlans": [*sorted(settings.vlans)],
    }
