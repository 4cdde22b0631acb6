"""Rules about balancers that may not carry every way to log on: NTLM and Negotiate authenticate a connection, not a request.

Rule of this room: what counts is what the virtual directories offer. A client chooses among that, and a balancer that shares
connections between clients, or opens one for each request, mixes up who they are or asks for passwords without end.

Sources: applicationHost.config of Exchange 2013, 2016 and 2019 (Windows authentication on EWS, Autodiscover, OAB, MAPI, Rpc,
owa/Integrated and ActiveSync/Proxy; not on OWA, ECP and ActiveSync); IIS, Windows Authentication Providers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lbsync.advice import Finding
from lbsync.advise.case import Case, ServiceRule
from lbsync.facts import VdirFacts
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import Capabilities

_NEGOTIATE_NTLM = ("Negotiate", "NTLM")
_CONNECTION_BOUND = frozenset(name.lower() for name in _NEGOTIATE_NTLM)

# Servers proxy ActiveSync to each other there, straight and not through a balancer; no client is ever sent there.
_BETWEEN_SERVERS = frozenset({f"{SERVICES[Service.ACTIVESYNC].location}/Proxy".lower()})

_CANNOT = {
    Mode.OFFLOAD: ("This balancer cannot offload.", 'Set the mode to "bridge".'),
    Mode.BRIDGE: ("This balancer cannot bridge.", "Use another balancer."),
}


@dataclass(frozen=True, slots=True)
class _Offer:
    """Something that logs on by connection: what, by which schemes, on which servers."""

    what: str
    schemes: tuple[str, ...]
    servers: tuple[str, ...]

    def __str__(self) -> str:
        verb = "offer" if "," in self.what else "offers"
        return f"{self.what} {verb} {', '.join(self.schemes)} ({', '.join(self.servers)})"


def balancer_modes(mode: Mode) -> ServiceRule:
    """The rule for ``mode``: each device must be able to, and must keep connections apart where a service depends on it."""

    def rule(case: Case, service: Service) -> Iterator[Finding]:
        own, below = _offers(case, service)
        for name, able in case.capabilities.items():
            if mode not in able.modes:
                reason, remedy = _CANNOT[mode]
                yield Finding(
                    rule=f"balancer-cannot-{mode}", severity="refuse", where=(name,), reason=reason, remedy=remedy
                )
            elif mode not in able.ntlm_safe:
                if own is not None:
                    yield _carried(name, able, service, own if service is Service.MRSPROXY else _every(case))
                if below is not None:
                    yield _below(name, below)

    return rule


def _every(case: Case) -> str:
    """What all services offer, MRSProxy aside: each of them is told the same, so that it is read once and not five times."""
    found = [own for service in SERVICES if service is not Service.MRSPROXY and (own := _offers(case, service)[0])]
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for offer in found:
        alike.setdefault((offer.schemes, offer.servers), []).append(offer.what)
    return "; ".join(str(_Offer(", ".join(names), schemes, servers)) for (schemes, servers), names in alike.items())


def _carried(name: str, able: Capabilities, service: Service, offer: _Offer | str) -> Finding:
    if not able.ntlm_unused:
        way_out = (
            "Disable MRSProxy where no mailbox is moved (seen with farm.exchange set). Or: "
            if service is Service.MRSPROXY
            else ""
        )
        return Finding(
            rule="balancer-ntlm",
            severity="refuse",
            where=(name,),
            reason=f"{offer}; this balancer shares or breaks connection-bound authentication in this mode.",
            remedy=way_out + (able.ntlm_remedy or "Use another balancer."),
        )
    if service is Service.MRSPROXY:
        reason, way_out = "mailbox moves over this balancer cannot authenticate", "disable MRSProxy"
    else:
        reason = "a client that chooses it gets 401 without end, or its connection is closed; no identity is ever mixed"
        way_out = "turn Windows authentication off on these virtual directories"
    return Finding(
        rule="balancer-ntlm-unused",
        severity="warn",
        where=(name,),
        reason=f"{offer}, though this was declared unused: {reason}.",
        remedy=f"{way_out[0].upper()}{way_out[1:]}, or have connections passed on whole (stream).",
    )


def _below(name: str, offer: _Offer) -> Finding:
    return Finding(
        rule="balancer-ntlm-below",
        severity="warn",
        where=(name,),
        reason=f"{offer}, too. Clients are not sent there; one that goes there by itself cannot log on safely in this mode.",
        remedy="Turn Windows authentication off there, if nothing uses it.",
    )


def _offers(case: Case, service: Service) -> tuple[_Offer | None, _Offer | None]:
    """What the service itself offers, and what locations below it do.

    A location below (owa/Integrated) has authentication of its own, which the service's clients do not meet: OWA asks by form.
    So it forbids nothing, else OWA could never go over such a balancer; but it is told.
    """
    if service is Service.MRSPROXY:
        return _mrsproxy(case), None
    spec = SERVICES[service]
    own = [(server.server, spec.location, _schemes(case, service, vdir)) for server, vdir in case.vdirs(service)]
    start = f"{spec.location}/".lower()
    below = [
        (server.server, vdir.location, offered(vdir))
        for server in case.facts.servers
        for vdir in server.vdirs
        if vdir.location.lower().startswith(start) and vdir.location.lower() not in _BETWEEN_SERVERS
    ]
    return _joined(own), _joined(below)


def _mrsproxy(case: Case) -> _Offer | None:
    """MRSProxy logs on by Negotiate or NTLM whatever else EWS offers; where it is disabled everywhere it needs nothing."""
    if case.mrsproxy is False:
        return None
    told = {name.lower(): enabled for name, enabled in case.facts.farm.mrsproxy_enabled.items()}
    return _joined(
        (server.server, "MRSProxy", _NEGOTIATE_NTLM)
        for server, _ in case.vdirs(Service.MRSPROXY)
        if told.get(server.server.lower()) is not False
    )


def _schemes(case: Case, service: Service, vdir: VdirFacts) -> tuple[str, ...]:
    """What a service's location offers now, and what Set-OutlookAnywhere is about to add to it."""
    asked = case.desired.outlook_anywhere.iis_authentication or ()
    if service is not Service.OUTLOOK_ANYWHERE:
        return offered(vdir)
    return (*offered(vdir), *(name for name in _NEGOTIATE_NTLM if name.lower() in {each.lower() for each in asked}))


def offered(vdir: VdirFacts) -> tuple[str, ...]:
    """The connection-bound schemes of a location. Without a list of providers, those that IIS has by itself."""
    if "windows" not in vdir.authentication:
        return ()
    if not vdir.providers:
        return _NEGOTIATE_NTLM
    # Negotiate:Kerberos and the like are Negotiate to whoever looks at the connection only.
    return tuple(name for name in vdir.providers if name.partition(":")[0].lower() in _CONNECTION_BOUND)


def _joined(found: Iterable[tuple[str, str, tuple[str, ...]]]) -> _Offer | None:
    """One offer of several servers and locations, or ``None`` where nothing is offered."""
    offering = [(server, what, schemes) for server, what, schemes in found if schemes]
    if not offering:
        return None
    return _Offer(
        what=", ".join(dict.fromkeys(what for _, what, _ in offering)),
        schemes=tuple(dict.fromkeys(name for _, _, schemes in offering for name in schemes)),
        servers=tuple(dict.fromkeys(server for server, _, _ in offering)),
    )
