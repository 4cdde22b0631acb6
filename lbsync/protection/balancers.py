"""Demands on the balancers: TLS all the way, one client per connection, and a way to renew the certificate later.

Rule of this file: what a device can do is asked of its capabilities, what runs there is read from its facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lbsync.advise import reasons
from lbsync.desired import Desired, FactSet
from lbsync.model import Mode
from lbsync.protection.demand import Demand
from lbsync.services import SERVICES
from lbsync.target import Capabilities

_LOGON = frozenset({"balancer-ntlm", "balancer-ntlm-unused", "balancer-cannot-bridge"})
"""Rules of the adviser about logging on. Declaring NTLM unused forbids no bridging, but nobody can bind a channel there."""


def bridging(facts: FactSet) -> Demand:
    """Offloading is not supported under Extended Protection, for no service and on no balancer."""
    demand = Demand(id="bridging", question="every service is bridged on every balancer", state="met", lbsync_can=True)
    if not facts.balancers:
        remedy = "See that whatever stands before the servers takes TLS up again with the servers' certificate, or passes it on."
        return demand.model_copy(
            update={
                "state": "not known",
                "lbsync_can": False,
                "reason": "No balancer is configured.",
                "remedy": remedy,
            }
        )
    found = [
        f"{one.balancer} offloads {', '.join(services)}"
        for one in facts.balancers
        if (services := [name.value for name in SERVICES if one.modes.get(name) is Mode.OFFLOAD])
    ]
    found += [
        f"{one.balancer} does not say how it sends {', '.join(services)}"
        for one in facts.balancers
        if one.published
        and (services := [name.value for name, spec in SERVICES.items() if spec.offloadable and name not in one.modes])
    ]
    found += [f"nothing of lbsync's runs on {one.balancer} yet" for one in facts.balancers if not one.published]
    if not found:
        return demand
    remedy = "lbsync bridges all of them."
    return demand.model_copy(update={"state": "not met", "reason": f"{'; '.join(found)}.", "remedy": remedy})


def logon(desired: Desired, facts: FactSet, capabilities: Mapping[str, Capabilities], now: datetime) -> Demand:
    """Channel bindings hold a connection: each client needs its own to the server, from the first request to the last."""
    bridged = [
        finding
        for (_, mode), findings in reasons(desired, facts, capabilities, now).items()
        for finding in findings
        if mode is Mode.BRIDGE and finding.rule in _LOGON
    ]
    found = tuple(dict.fromkeys(bridged))
    told = dict.fromkeys(f"{', '.join(finding.where)}: {finding.reason}" for finding in found)
    return Demand(
        id="logon",
        question="each client's connection is its own up to the server (NTLM, Negotiate)",
        state="not met" if found else "met",
        reason=" ".join(told),
        remedy=" ".join(dict.fromkeys(finding.remedy for finding in found)),
    )


def rotation(facts: FactSet, capabilities: Mapping[str, Capabilities]) -> Demand:
    """Under Extended Protection a renewed certificate goes half by half, and no resumed session may bring the old one back."""
    demand = Demand(
        id="rotation",
        question="later a renewed certificate can be rotated without a failed request",
        state="met",
        decides=False,
        source="A resumed session keeps the certificate it was opened with",
    )
    able = {one.balancer: capabilities[one.balancer] for one in facts.balancers}
    resuming = [name for name, one in able.items() if one.switches_sides and one.resumes_sessions]
    stiff = [name for name, one in able.items() if not one.switches_sides]
    found: list[str] = []
    ways: list[str] = []
    if resuming:
        found.append(f"{', '.join(resuming)}: clients may resume TLS sessions")
        told = dict.fromkeys(able[name].resumption_remedy or "Turn resumption off" for name in resuming)
        ways.append(f"{'; '.join(told)}, then lbsync apply.")
    if stiff:
        found.append(f"{', '.join(stiff)}: certificate and side cannot change in one moment")
    if len(facts.servers) == 1:
        found.append("there is one server only")
    if len(found) > len(ways):
        ways.append("Renew in a maintenance window: lbsync rotate --maintenance.")
    if not found:
        return demand
    return demand.model_copy(update={"state": "not met", "reason": f"{'; '.join(found)}.", "remedy": " ".join(ways)})
