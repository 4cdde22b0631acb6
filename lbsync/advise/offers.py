"""Who offers to log on by connection: NTLM and Negotiate authenticate a connection, not a request.

Rule of this room: facts in, offers out; what a balancer makes of them is judged in ``logon``. All is found in one pass.

Sources: applicationHost.config of Exchange 2013, 2016 and 2019 (Windows authentication on EWS, Autodiscover, OAB, MAPI, Rpc,
owa/Integrated and ActiveSync/Proxy; not on OWA, ECP and ActiveSync); IIS, Windows Authentication Providers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lbsync.advice import listed
from lbsync.desired import FactSet
from lbsync.facts import ServerFacts, VdirFacts
from lbsync.services import SERVICES, Service

_NEGOTIATE_NTLM = ("Negotiate", "NTLM")
_CONNECTION_BOUND = frozenset(name.lower() for name in _NEGOTIATE_NTLM)

# Servers proxy ActiveSync to each other there, straight and not through a balancer; no client is ever sent there.
_BETWEEN_SERVERS = frozenset({f"{SERVICES[Service.ACTIVESYNC].location}/Proxy".lower()})
_ABOVE = {spec.location.lower(): spec.service for spec in SERVICES.values() if spec.service is not Service.MRSPROXY}

_Found = tuple[str, str, tuple[str, ...]]
_Pairs = Sequence[tuple[ServerFacts, VdirFacts]]


@dataclass(frozen=True, slots=True)
class Offer:
    """Something that logs on by connection: what, by which schemes, on which servers."""

    what: str
    schemes: tuple[str, ...]
    servers: tuple[str, ...]

    def __str__(self) -> str:
        verb = "offer" if "," in self.what else "offers"
        return f"{self.what} {verb} {', '.join(self.schemes)} ({listed(self.servers)})"


def offers(
    facts: FactSet, vdirs: Mapping[Service, _Pairs], asked: Iterable[str], mrsproxy: bool | None
) -> dict[Service, tuple[Offer | None, Offer | None]]:
    """By service: what it offers itself, and what locations below it do.

    A location below (owa/Integrated) has authentication of its own, which the service's clients do not meet: OWA asks by form.
    ``asked`` are the methods that Set-OutlookAnywhere is about to add to Rpc; ``mrsproxy`` tells whether it is enabled on
    all servers, on none, or nobody knows.
    """
    wanted = {name.lower() for name in asked}
    added = tuple(name for name in _NEGOTIATE_NTLM if name.lower() in wanted)
    below = _below(facts.servers)
    found: dict[Service, tuple[Offer | None, Offer | None]] = {}
    for service, spec in SERVICES.items():
        if service is Service.MRSPROXY:
            found[service] = (None if mrsproxy is False else _mrsproxy(facts, vdirs[service]), None)
            continue
        extra = added if service is Service.OUTLOOK_ANYWHERE else ()
        own = [(server.server, spec.location, (*offered(vdir), *extra)) for server, vdir in vdirs[service]]
        found[service] = (_joined(own), _joined(below[service]))
    return found


def _below(servers: Iterable[ServerFacts]) -> dict[Service, list[_Found]]:
    found: dict[Service, list[_Found]] = {service: [] for service in Service}
    for server in servers:
        for vdir in server.vdirs:
            place = vdir.location.lower()
            above = None if vdir.services or place in _BETWEEN_SERVERS else _parent(place)
            if above is not None:
                found[above].append((server.server, vdir.location, offered(vdir)))
    return found


def _parent(place: str) -> Service | None:
    return next((service for start, service in _ABOVE.items() if place.startswith(f"{start}/")), None)


def _mrsproxy(facts: FactSet, vdirs: _Pairs) -> Offer | None:
    """MRSProxy logs on by Negotiate or NTLM whatever else EWS offers; where it is disabled everywhere it needs nothing."""
    told = {name.lower(): enabled for name, enabled in facts.farm.mrsproxy_enabled.items()}
    return _joined(
        (server.server, "MRSProxy", _NEGOTIATE_NTLM)
        for server, _ in vdirs
        if told.get(server.server.lower()) is not False
    )


def offered(vdir: VdirFacts) -> tuple[str, ...]:
    """The connection-bound schemes of a location. Without a list of providers, those that IIS has by itself."""
    if "windows" not in vdir.authentication:
        return ()
    if not vdir.providers:
        return _NEGOTIATE_NTLM
    # Negotiate:Kerberos and the like are Negotiate to whoever looks at the connection only.
    return tuple(name for name in vdir.providers if name.partition(":")[0].lower() in _CONNECTION_BOUND)


def _joined(found: Iterable[_Found]) -> Offer | None:
    """One offer of several servers and locations, or ``None`` where nothing is offered."""
    offering = [(server, what, schemes) for server, what, schemes in found if schemes]
    if not offering:
        return None
    return Offer(
        what=", ".join(dict.fromkeys(what for _, what, _ in offering)),
        schemes=tuple(dict.fromkeys(name for _, _, schemes in offering for name in schemes)),
        servers=tuple(dict.fromkeys(server for server, _, _ in offering)),
    )
