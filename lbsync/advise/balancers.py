"""Rules about the balancers: what blocks them, and what they cannot do.

Rule of this room: a missing capability is told here, at plan time, and never met half-way.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advice import Finding
from lbsync.advise.case import Case, protected


def blocked(case: Case) -> Iterator[Finding]:
    """A provider's own reasons not to touch the device."""
    for balancer in case.facts.balancers:
        for blocker in balancer.blockers:
            yield Finding(rule="balancer-blocked", severity="refuse", where=(balancer.balancer,), reason=blocker)
        for problem in balancer.problems:
            yield Finding(rule="balancer-problem", severity="warn", where=(balancer.balancer,), reason=problem)


def another_run(case: Case) -> Iterator[Finding]:
    """A lock covers one host; the marker on the device covers all."""
    for balancer in case.facts.balancers:
        if balancer.marker is not None:
            yield Finding(
                rule="balancer-marked",
                severity="refuse",
                where=(balancer.balancer,),
                reason=f"A run is at work here or was left unfinished: {balancer.marker}.",
                remedy="Finish it where it was started: lbsync resume, or lbsync rollback. Only where its ledger is lost: see "
                "that all is right there, then remove the run marker by hand.",
            )


def mixed_modes(case: Case) -> Iterator[Finding]:
    """Some balancers see no path: one mode for all services of a listener."""
    if len(set(case.desired.modes.values())) == 1:
        return
    for name, capability in case.capabilities.items():
        if not capability.per_path_modes:
            yield Finding(
                rule="balancer-one-mode",
                severity="refuse",
                where=(name,),
                reason="It cannot offload some services and bridge others on one listener (MRSProxy is always bridged).",
                remedy="Bridge every service there, or use a balancer that routes by path.",
            )


def same_leaf_under_protection(case: Case) -> Iterator[Finding]:
    """Under Extended Protection a server's leaf and the balancer's must change together, half by half."""
    leaf = case.desired.leaf
    guarded = case.servers(lambda s: any(protected(vdir) for vdir in s.vdirs))
    for balancer in case.facts.balancers:
        if leaf and guarded and balancer.published and balancer.leaf != leaf.fingerprint:
            yield Finding(
                rule="leaf-differs-from-balancer",
                severity="refuse",
                where=(balancer.balancer, *guarded),
                reason="Extended Protection is on and the balancer serves another certificate: Outlook would fail in a "
                "password loop as soon as the first server changes.",
                remedy="Turn Extended Protection off for the change, or do it in a maintenance window with the balancer.",
                source="Microsoft: Configure Windows Extended Protection in Exchange Server",
            )


RULES = (blocked, another_run, mixed_modes)
