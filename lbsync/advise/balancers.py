"""Rules about the balancers: what blocks them, and what they cannot do.

Rule of this room: a missing capability is told here, at plan time, and never met half-way.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advice import Finding
from lbsync.advise.case import Case, protected
from lbsync.facts import ServerFacts
from lbsync.model import Mode
from lbsync.services import SERVICES
from lbsync_certs.names import covers


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
    """Some balancers have one mode for all services of a listener, most of them since they see no path.

    MRSProxy, which is always bridged, is in the way of offloading there unless it is disabled or has a name of its own.
    """
    modes = _wanted(case)
    for name, capability in case.capabilities.items():
        if capability.per_path_modes:
            continue
        if len(modes) > 1:
            yield Finding(
                rule="balancer-one-mode",
                severity="refuse",
                where=(name,),
                reason=f"{capability.one_mode_reason}, so it cannot offload some services and bridge others on one "
                "listener.",
                remedy=f"Bridge every service there, or offload every one, or {capability.one_mode_remedy}.",
            )
        elif modes == {Mode.OFFLOAD} and capability.mrsproxy_host is None and case.mrsproxy is not False:
            yield Finding(
                rule="mrsproxy-on-shared-listener",
                severity="refuse",
                where=(name,),
                reason=f"{capability.one_mode_reason}: with everything offloaded, MRSProxy too would reach the servers over "
                "plain HTTP, where mailbox moves fail, and it is not disabled on every server.",
                remedy="Disable it on every server (Set-WebServicesVirtualDirectory -MRSProxyEnabled $false), or give it a host "
                "name of its own that always goes to the servers over TLS (balancers.settings.mrsproxy_host; other forests must "
                "then move mailboxes through that name), or bridge.",
                source="Microsoft: Configuring SSL offloading in Exchange 2013",
            )


def unfiltered(case: Case) -> Iterator[Finding]:
    """Where no path is seen, what stands beside the nine services is published too."""
    for name, capability in case.capabilities.items():
        if capability.filters_paths:
            continue
        reason = "It sees no path: PowerShell, /api and unknown paths are published just as the servers have them"
        if Mode.OFFLOAD in _wanted(case):
            # lbsync never changes the site itself, whose root keeps Require SSL; and nobody rewrites a Location here.
            reason += (
                ", / is answered 403, since the root keeps Require SSL (users must type /owa), and redirects that the servers "
                "build from plain HTTP reach clients as they are, so that port 80 must send those to https"
            )
        yield Finding(
            rule="balancer-unfiltered",
            severity="warn",
            where=(name,),
            reason=f"{reason}.",
            remedy="Restrict at the servers what shall not be reached, or use a balancer that routes by path.",
        )


def mrsproxy_name(case: Case) -> Iterator[Finding]:
    """Remote moves verify the certificate behind MRSProxy's own name: the servers', or the published one where TLS ends here."""
    for name, capability in case.capabilities.items():
        host = capability.mrsproxy_host
        if host is None:
            continue
        if capability.mrsproxy_ends_here:
            leaf = case.desired.leaf
            if leaf is not None and not covers(leaf, host):
                yield Finding(
                    rule="mrsproxy-name-missing",
                    severity="refuse",
                    where=(name,),
                    reason=f"The certificate to be published is not for {host}, MRSProxy's own name; remote mailbox moves "
                    "verify it.",
                    remedy="Publish a certificate with this name, or name one that it carries "
                    "(balancers.settings.mrsproxy_host).",
                )
            continue
        where = tuple(server.server for server in case.facts.servers if _lacks(server, host))
        if where:
            yield Finding(
                rule="mrsproxy-name-missing",
                severity="refuse",
                where=where,
                reason=f"The certificate on IIS 443 is not for {host}, MRSProxy's own name on {name}, which is passed through to "
                "it; remote mailbox moves verify it.",
                remedy="Put a certificate with this name onto the servers, or name one that they hold "
                "(balancers.settings.mrsproxy_host).",
            )


def _lacks(server: ServerFacts, host: str) -> bool:
    leaf = server.front_end_leaf
    return leaf is not None and not covers(leaf.info, host)


def _wanted(case: Case) -> set[Mode]:
    """The modes wanted of all services that may be in either."""
    return {mode for service, mode in case.desired.modes.items() if SERVICES[service].offloadable}


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


RULES = (blocked, another_run, mixed_modes, unfiltered, mrsproxy_name)
