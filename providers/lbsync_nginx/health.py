"""The members' health, asked by lbsync from NGINX's own host: open-source NGINX has no health checks.

Rule of this room: reads only. A member is up for a service when its health page answers 200 on that port, over verified TLS
where the mode is bridge; so 403 on port 80 (Require SSL is on) is down.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lbsync.errors import Rejected, TargetError
from lbsync.kit.endpoints import established
from lbsync.kit.host import Host
from lbsync.kit.stream import Stream
from lbsync.kit.stream_http import HttpAnswer, get_all
from lbsync.kit.stream_tls import TlsStream
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import BalancerSpec, Member
from lbsync_nginx.seen import Health
from lbsync_nginx.settings import NginxSettings
from lbsync_nginx.tables import read_connections_to

_AT_ONCE = 8
_OK = 200


def ask_health(
    host: Host, spec: BalancerSpec, settings: NginxSettings, services: Iterable[Service], modes: Iterable[Mode]
) -> tuple[Health, ...]:
    """Every member's pages of some services in some modes, members side by side. Where a member does not answer it is down."""
    wanted, asked = tuple(modes), tuple(services)
    errands = [(member, mode) for member in spec.members for mode in Mode if mode in wanted]
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        ask = partial(_member, host, spec, settings.health_timeout_s, services=asked)
        found = pool.map(ask, errands)
        return tuple(one for answers in found for one in answers)


def _member(
    host: Host, spec: BalancerSpec, timeout_s: float, errand: tuple[Member, Mode], services: tuple[Service, ...]
) -> list[Health]:
    member, mode = errand
    plain = mode is Mode.OFFLOAD

    def connect() -> Stream:
        stream = host.connect(member.address, member.http_port if plain else member.https_port, timeout_s)
        return stream if plain else TlsStream(stream, member.tls_name, spec.server_ca_pem)

    able = [service for service in services if SERVICES[service].offloadable or not plain]
    paths = {service: SERVICES[service].health_path for service in able}
    answers = get_all(connect, spec.hosts[0], paths.values(), timeout_s) if able else {}
    return [_judged(member.name, service, mode, answers[paths[service]]) for service in able]


def _judged(server: str, service: Service, mode: Mode, answer: HttpAnswer | TargetError) -> Health:
    if isinstance(answer, TargetError):
        return Health(server, service, mode, up=False, said=answer.message)
    return Health(server, service, mode, up=answer.status == _OK, said=f"answers {answer.status}")


def connections_of(host: Host, spec: BalancerSpec) -> dict[tuple[str, Mode], int]:
    """Connections open from this host to each member's two ports, whoever holds them: old workers' are among them.

    Raises TargetError where the kernel's tables cannot be read or a name does not resolve there.
    """
    table = read_connections_to(
        host, (port for member in spec.members for port in (member.http_port, member.https_port))
    )
    found: dict[tuple[str, Mode], int] = {}
    for member in spec.members:
        addresses = addresses_of(host, member.address)
        for mode, port in ((Mode.OFFLOAD, member.http_port), (Mode.BRIDGE, member.https_port)):
            found[member.name, mode] = sum(established([table], address, port) for address in addresses)
    return found


def addresses_of(host: Host, name: str) -> tuple[str, ...]:
    """The addresses a name has on NGINX's host; an address is its own. Raises Rejected where there is none."""
    try:
        return (str(ipaddress.ip_address(name)),)
    except ValueError:
        pass
    done = host.run(["getent", "ahosts", name])
    found = tuple(dict.fromkeys(line.split()[0] for line in done.stdout.decode().splitlines() if line.strip()))
    if not found:
        raise Rejected(
            f"{name} does not resolve there", where=host.name, remedy="set the server's address", code="no_name"
        )
    return found
