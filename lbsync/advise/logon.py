"""Rules about balancers that may not carry every mode, nor every way to log on.

Rule of this room: what counts is what the virtual directories offer. A client chooses among that, and a balancer that shares
connections between clients, or opens one for each request, mixes up who they are or asks for passwords without end.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advise.case import Case
from lbsync.advise.offers import Offer
from lbsync.advise.rule import CAPTURED, PROVIDER, Asked, Rule, Seen, ServiceRule, seen_on
from lbsync.model import Mode
from lbsync.services import Service
from lbsync.target import Capabilities

_NTLM = f"{CAPTURED}; NTLM and Negotiate authenticate a connection, not a request"


def _unable(case: Case, mode: Mode) -> tuple[Seen, ...]:
    return seen_on(tuple(name for name, able in case.capabilities.items() if mode not in able.modes))


def _unsafe(asked: Asked) -> Iterator[tuple[str, Capabilities]]:
    """Balancers that can do the mode, and do not keep connections apart in it."""
    for name, able in asked.case.capabilities.items():
        if asked.mode in able.modes and asked.mode not in able.ntlm_safe:
            yield name, able


def _every(case: Case) -> str:
    """What all services offer, MRSProxy aside: each of them is told the same, so that it is read once and not five times."""
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for service, (own, _) in case.offers.items():
        if own is not None and service is not Service.MRSPROXY:
            alike.setdefault((own.schemes, own.servers), []).append(own.what)
    return "; ".join(str(Offer(", ".join(names), schemes, servers)) for (schemes, servers), names in alike.items())


def _offer(asked: Asked) -> str | None:
    own, _ = asked.case.offers[asked.service]
    if own is None:
        return None
    return str(own) if asked.service is Service.MRSPROXY else _every(asked.case)


def _carried(asked: Asked) -> Iterator[Seen]:
    offer = _offer(asked)
    way_out = (
        "Disable MRSProxy where no mailbox is moved (seen with farm.exchange set). Or: "
        if asked.service is Service.MRSPROXY
        else ""
    )
    for name, able in _unsafe(asked):
        if offer is not None and not able.ntlm_unused:
            yield Seen(
                (name,), {"who_offers_it": offer, "way_out": way_out + (able.ntlm_remedy or "Use another balancer.")}
            )


def _unused(asked: Asked) -> Iterator[Seen]:
    offer = _offer(asked)
    if asked.service is Service.MRSPROXY:
        told = "mailbox moves over this balancer cannot authenticate", "Disable MRSProxy"
    else:
        told = (
            "a client that chooses it gets 401 without end, or its connection is closed; no identity is ever mixed",
            "Turn Windows authentication off on these virtual directories",
        )
    for name, able in _unsafe(asked):
        if offer is not None and able.ntlm_unused:
            yield Seen((name,), {"who_offers_it": offer, "what_happens": told[0], "way_out": told[1]})


def _below(asked: Asked) -> Iterator[Seen]:
    """It forbids nothing, else OWA could never go over such a balancer; but it is told."""
    _, below = asked.case.offers[asked.service]
    for name, _able in _unsafe(asked):
        if below is not None:
            yield Seen((name,), {"who_offers_it": str(below)})


CANNOT_OFFLOAD = Rule(
    id="balancer-cannot-offload",
    about="offload",
    condition="A balancer cannot offload.",
    verdict="must",
    applies=lambda case: _unable(case, Mode.OFFLOAD),
    reason="This balancer cannot offload.",
    remedy='Set the mode to "bridge".',
    source=PROVIDER,
)
CANNOT_BRIDGE = Rule(
    id="balancer-cannot-bridge",
    about="bridge",
    condition="A balancer cannot bridge.",
    verdict="must not",
    applies=lambda case: _unable(case, Mode.BRIDGE),
    reason="This balancer cannot bridge.",
    remedy="Use another balancer.",
    source=PROVIDER,
)
NTLM = ServiceRule(
    id="balancer-ntlm",
    about="either mode",
    condition="The service offers NTLM or Negotiate, and a balancer does not keep connections apart in this mode.",
    verdict="must not",
    applies=_carried,
    reason="{who_offers_it}; this balancer shares or breaks connection-bound authentication in this mode.",
    remedy="{way_out}",
    source=_NTLM,
)
NTLM_UNUSED = ServiceRule(
    id="balancer-ntlm-unused",
    about="either mode",
    condition="The same, and you declared to the balancer that no client uses it.",
    verdict="recommended",
    applies=_unused,
    reason="{who_offers_it}, though this was declared unused: {what_happens}.",
    remedy="{way_out}, or have connections passed on whole (stream).",
    source=_NTLM,
)
NTLM_BELOW = ServiceRule(
    id="balancer-ntlm-below",
    about="either mode",
    condition="A location below the service (owa/Integrated) offers NTLM or Negotiate, and a balancer does not keep connections "
    "apart in this mode.",
    verdict="recommended",
    applies=_below,
    reason="{who_offers_it}, too. Clients are not sent there; one that goes there by itself cannot log on safely in this mode.",
    remedy="Turn Windows authentication off there, if nothing uses it.",
    source=_NTLM,
)

RULES = (NTLM, NTLM_UNUSED, NTLM_BELOW)
