"""What to do about a drift: the ordinary plan where it may be made, a decision where it may not, and what only a hand mends.

Rule of this file: pure; nothing is offered that would be refused, and nothing is said to be mended by a plan that does not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from lbsync.advice import Advice
from lbsync.desired import Desired, FactSet
from lbsync.difference import flag_changes, outlook_anywhere_change
from lbsync.drift.difference import Difference, Kind
from lbsync.drift.directories import label
from lbsync.model import Plan, Value
from lbsync.services import SERVICES, Service

_RPC = label(SERVICES[Service.OUTLOOK_ANYWHERE].location)
_LEVEL = "drift"
"""The adviser's rule that members must be alike; ``limits.allow_drift`` lifts it."""


class Offer(Value):
    """``kind``: nothing to do, a plan that repairs, a decision to make first, or only what hands do.

    ``steps`` of the plan; ``reasons`` why a person must decide; ``commands`` in the order to give them.
    """

    kind: Literal["nothing", "repair", "decide", "by-hand"]
    text: str
    steps: int = 0
    reasons: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def offer(
    differences: Collection[Difference],
    advice: Advice,
    plan: Plan | None,
    *,
    level: Plan | None = None,
    may_bridge: bool = False,
) -> Offer:
    """What to do now. ``advice`` judged today's facts; ``plan`` is the ordinary plan, ``None`` where it is refused.

    ``level`` is the one with ``limits.allow_drift`` where only that is in the way; ``may_bridge``: bridging all would be planned.
    """
    adopt = ("lbsync drift --adopt",)
    if not differences:
        return Offer(kind="nothing", text="Nothing to do.")
    if level is not None and level.steps:
        return Offer(
            kind="repair", steps=len(level.steps), commands=("lbsync apply", *adopt),
            text=f"A plan of {len(level.steps)} steps makes it as wanted again, once [limits] allow_drift = true lets it: until "
            "then servers that differ from one another are refused.",
        )  # fmt: skip
    if plan is None:
        return _decide(advice, may_bridge=may_bridge)
    if not plan.steps:
        return Offer(
            kind="by-hand", commands=adopt,
            text="A plan would change nothing: what differs is as the configuration wants it, or not lbsync's to change.",
        )  # fmt: skip
    return Offer(
        kind="repair", steps=len(plan.steps), commands=("lbsync plan", "lbsync apply", *adopt),
        text=f"A plan of {len(plan.steps)} steps makes it as wanted again.",
    )  # fmt: skip


def only_levelling(advice: Advice) -> bool:
    """True where nothing but the difference between members refuses a plan."""
    return bool(advice.refusals) and {finding.rule for finding in advice.refusals} == {_LEVEL}


def _decide(advice: Advice, *, may_bridge: bool) -> Offer:
    way = ("lbsync plan --mode all=bridge",) if advice.corrections and may_bridge else ()
    told = (
        f"{', '.join(f.where)}: {f.reason} {f.remedy}" if f.where else f"{f.reason} {f.remedy}" for f in advice.refusals
    )
    return Offer(
        kind="decide", commands=("lbsync advise", *way), reasons=tuple(dict.fromkeys(one.strip() for one in told)),
        text="No repair is offered: what the configuration wants is refused as things are now. Decide first.",
    )  # fmt: skip


def mended(
    differences: Collection[Difference], desired: Desired, now: FactSet, plan: Plan | None
) -> frozenset[Difference]:
    """Those that this plan brings to what is wanted."""
    if plan is None:
        return frozenset()
    flags = {
        (server.server, label(SERVICES[change.service].location))
        for server in now.servers
        for change in flag_changes(desired, server)
    }
    change = outlook_anywhere_change(desired, now)
    outlook = frozenset(after.server for after in change.after) if change is not None else frozenset[str]()
    at_work = {step.target for step in plan.steps}
    return frozenset(one for one in differences if _is_mended(one, flags, outlook, at_work))


def _is_mended(
    one: Difference, flags: Collection[tuple[str, str]], outlook: Collection[str], at_work: Collection[str]
) -> bool:
    match one.kind:
        case Kind.REQUIRE_SSL:
            return (one.target, one.subject) in flags or (one.subject == _RPC and one.target in outlook)
        case Kind.OUTLOOK_ANYWHERE:
            return one.target in outlook
        case Kind.STRUCTURE | Kind.MODE | Kind.SERVED | Kind.PUBLISHED:
            return one.target in at_work
        case _:
            return False


_BY_HAND: Mapping[Kind, str] = {
    Kind.VDIR: "a virtual directory is made and removed with New- and Remove-...VirtualDirectory in Exchange's shell",
    Kind.FLAGS: "in IIS Manager, SSL Settings of this directory",
    Kind.INHERITANCE: "the effect is the same; nothing is needed",
    Kind.PROTECTION: "lbsync never sets Extended Protection: Microsoft's ExchangeExtendedProtectionManagement.ps1 does",
    Kind.LOGON: "with Set-...VirtualDirectory in Exchange's shell, or in IIS Manager",
    Kind.ROUTE: "in IIS Manager, at this directory",
    Kind.BINDING: "in IIS Manager, Bindings of Default Web Site",
    Kind.LEAF: "where all shall have the one before: lbsync rotate --force --thumbprint with it; "
    "where this one is the renewed: lbsync rotate takes it everywhere",
    Kind.BACK_END: "lbsync never touches the back end: in IIS Manager, Bindings of Exchange Back End, 444 needs the server's own "
    '"Microsoft Exchange" certificate',
    Kind.MAIL: "lbsync leaves it as it is: Enable-ExchangeCertificate -Server S -Thumbprint T -Services with that service, "
    "where the one before is wanted",
    Kind.MRSPROXY: "Set-WebServicesVirtualDirectory -MRSProxyEnabled in Exchange's shell",
    Kind.OAUTH: "in Exchange's shell; lbsync advise says what it means",
    Kind.OUTLOOK_ANYWHERE: "Set-OutlookAnywhere in Exchange's shell; lbsync sets just what [outlook_anywhere] asks for",
    Kind.SERVED: "lbsync rotate --thumbprint takes one certificate to every balancer and server",
}


def by_hand(one: Difference, *, is_mended: bool, matters: bool) -> str:
    """What a person does about it where the plan does not; empty where there is nothing to do."""
    if is_mended:
        return ""
    if one.kind is Kind.STORE:
        return "where it is still needed: Import-ExchangeCertificate from its PFX" if one.before else ""
    if one.kind is Kind.REQUIRE_SSL and not matters:
        return "nothing is needed: it is as the configuration wants it"
    return _BY_HAND.get(one.kind, "")
