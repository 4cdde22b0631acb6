"""What a look shows at a glance: every listener, every service's mode, every server, every certificate.

Rule of this file: pure, and values that are JSON: ``lbsync watch --once --json`` prints them and the service reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime

from lbsync.facts import FarmFacts, ServerFacts
from lbsync.model import Mode, Value
from lbsync.services import FLAG_SERVICES, SERVICES, Service
from lbsync.verdict import Greeting, Listener, judge_greeting
from lbsync.watch.items import Sight
from lbsync_certs import CertificateInfo, Fingerprint
from lbsync_certs.renewal import remaining

_DAY_S = 86400


class Lamp(StrEnum):
    """Green: ours. Yellow: another certificate. Red: no TLS, or no answer. Unknown: nobody could say."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    UNKNOWN = "unknown"


class ListenerState(Value):
    """One published name at one balancer, as clients meet it. ``days``: whole days left of what is served (negative: ended)."""

    balancer: str
    host: str
    address: str
    light: Lamp
    text: str
    thumbprint: str | None = None
    not_after: AwareDatetime | None = None
    days: int | None = None


class ModeState(Value):
    """Where a service's TLS ends at one balancer, and where it is wanted to; ``mode`` ``None``: nothing is published there."""

    balancer: str
    service: Service
    mode: Mode | None
    wanted: Mode


class ServerState(Value):
    """A server: its build, the certificate of its front end, and the services that it would take as plain HTTP."""

    name: str
    build: str
    thumbprint: str | None = None
    days: int | None = None
    prepared: tuple[Service, ...] = ()


class CertificateState(Value):
    """A certificate in use, and by whom: balancers where clients get it, servers whose front end has it."""

    thumbprint: str
    subject: str
    not_after: AwareDatetime
    days: int
    users: tuple[str, ...]


class Overview(Value):
    """All of it."""

    farm: str
    listeners: tuple[ListenerState, ...] = ()
    modes: tuple[ModeState, ...] = ()
    servers: tuple[ServerState, ...] = ()
    certificates: tuple[CertificateState, ...] = ()


def overview(
    sight: Sight, farm: str, wanted: Mapping[Service, Mode], listeners: Mapping[str, Listener], now: datetime
) -> Overview:
    """The look ``sight`` at ``now`` (aware). ``wanted`` is the mode of every service, ``listeners`` are by balancer."""
    stored = {seen.balancer: seen.leaf for seen in sight.facts.balancers if seen.published}
    return Overview(
        farm=farm,
        listeners=tuple(
            _listener(greeting, stored, listeners.get(greeting.balancer), now) for greeting in sight.greetings
        ),
        modes=tuple(
            ModeState(
                balancer=seen.balancer,
                service=service,
                mode=seen.modes.get(service) if seen.published else None,
                wanted=wanted[service],
            )
            for seen in sight.facts.balancers
            for service in SERVICES
        ),
        servers=tuple(_server(server, sight.facts.farm, now) for server in sight.facts.servers),
        certificates=_certificates(sight, now),
    )


def _listener(
    greeting: Greeting, stored: Mapping[str, Fingerprint | None], listener: Listener | None, now: datetime
) -> ListenerState:
    judged = judge_greeting(greeting, stored.get(greeting.balancer))
    served = greeting.served[0].info if greeting.served else None
    # With nothing to compare with, an answer says no more than that somebody answered.
    known = greeting.balancer in stored or served is None
    return ListenerState(
        balancer=greeting.balancer,
        host=greeting.host,
        address=f"{listener.address}:{listener.https_port}" if listener is not None else "",
        light=Lamp(judged.light.value) if known else Lamp.UNKNOWN,
        text=judged.reason if known else "something is served, and what was stored nobody could say",
        thumbprint=served.thumbprint if served is not None else None,
        not_after=served.not_after if served is not None else None,
        days=_days(served, now) if served is not None else None,
    )


def _server(server: ServerFacts, farm: FarmFacts, now: datetime) -> ServerState:
    leaf = server.front_end_leaf.info if server.front_end_leaf is not None else None
    return ServerState(
        name=server.server,
        build=server.build,
        thumbprint=leaf.thumbprint if leaf is not None else None,
        days=_days(leaf, now) if leaf is not None else None,
        prepared=tuple(_prepared(server, farm)),
    )


def _prepared(server: ServerFacts, farm: FarmFacts) -> Iterator[Service]:
    for service in SERVICES:
        if service in FLAG_SERVICES:
            vdir = server.vdir(service)
            if vdir is not None and not vdir.requires_ssl:
                yield service
        elif service is Service.OUTLOOK_ANYWHERE:
            found = farm.outlook_anywhere_of(server.server)
            if found is not None and found.ssl_offloading:
                yield service


def _certificates(sight: Sight, now: datetime) -> tuple[CertificateState, ...]:
    """Each in use once, the one that ends first in front."""
    infos: dict[Fingerprint, CertificateInfo] = {}
    users: dict[Fingerprint, dict[str, None]] = {}
    seen = [(one.info, greeting.balancer) for greeting in sight.greetings for one in greeting.served]
    seen += [(leaf.info, server.server) for server in sight.facts.servers if (leaf := server.front_end_leaf)]
    for info, name in seen:
        infos[info.fingerprint] = info
        users.setdefault(info.fingerprint, {})[name] = None
    return tuple(
        CertificateState(
            thumbprint=info.thumbprint,
            subject=info.subject,
            not_after=info.not_after,
            days=_days(info, now),
            users=tuple(users[info.fingerprint]),
        )
        for info in sorted(infos.values(), key=lambda info: info.not_after)
    )


def _days(info: CertificateInfo, now: datetime) -> int:
    return int(remaining(info, now).total_seconds() // _DAY_S)
