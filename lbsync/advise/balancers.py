"""Rules about the balancers: what blocks them, and what they cannot do.

Rule of this room: a missing capability is told here, at plan time, and never met half-way.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advise.case import Case
from lbsync.advise.rule import EXTENDED_PROTECTION, OFFLOADING, OURS, PROVIDER, Rule, Seen, seen_on
from lbsync.model import Mode
from lbsync_certs import CertificateInfo
from lbsync_certs.names import covers


def _blocked(case: Case) -> Iterator[Seen]:
    for balancer in case.facts.balancers:
        for blocker in balancer.blockers:
            yield Seen((balancer.balancer,), {"why_not": blocker})


def _odd(case: Case) -> Iterator[Seen]:
    for balancer in case.facts.balancers:
        for problem in balancer.problems:
            yield Seen((balancer.balancer,), {"what_is_wrong": problem})


def _marked(case: Case) -> Iterator[Seen]:
    """A lock covers one host; the marker on the device covers all."""
    for balancer in case.facts.balancers:
        if balancer.marker is not None:
            yield Seen((balancer.balancer,), {"run": balancer.marker})


def _mixed(case: Case) -> Iterator[Seen]:
    for name, able in case.capabilities.items():
        if not able.per_path_modes and len(case.wanted) > 1:
            yield Seen((name,), {"why_one_mode": able.one_mode_reason, "another_way": able.one_mode_remedy})


def _mrsproxy_offloaded(case: Case) -> Iterator[Seen]:
    """It is in the way of offloading there unless it is disabled or has a name of its own."""
    if case.wanted != frozenset({Mode.OFFLOAD}) or case.mrsproxy is False:
        return
    for name, able in case.capabilities.items():
        if not able.per_path_modes and able.mrsproxy_host is None:
            yield Seen((name,), {"why_one_mode": able.one_mode_reason})


def _blind(case: Case) -> tuple[str, ...]:
    return tuple(name for name, able in case.capabilities.items() if not able.filters_paths)


def _mrsproxy_unpublished(case: Case) -> Iterator[Seen]:
    leaf = case.desired.leaf
    for name, able in case.capabilities.items():
        host = able.mrsproxy_host
        if host is not None and able.mrsproxy_ends_here and leaf is not None and not covers(leaf, host):
            yield Seen((name,), {"host": host})


def _mrsproxy_not_held(case: Case) -> Iterator[Seen]:
    for name, able in case.capabilities.items():
        if able.mrsproxy_host is not None and not able.mrsproxy_ends_here:
            lacking = uncovering(case, able.mrsproxy_host)
            yield from seen_on(tuple(lacking), host=able.mrsproxy_host, balancer=name)


def uncovering(case: Case, host: str) -> dict[str, CertificateInfo]:
    """By server: its leaf on IIS 443, where that does not cover ``host``. A leaf that many hold is looked at once."""
    held = {server: leaf.info for server, leaf in case.leaves.items() if leaf}
    fit = {info: covers(info, host) for info in dict.fromkeys(held.values())}
    return {server: info for server, info in held.items() if not fit[info]}


def _another_leaf(case: Case) -> Iterator[Seen]:
    """Under Extended Protection a server's leaf and the balancer's must change together, half by half."""
    leaf = case.desired.leaf
    for balancer in case.facts.balancers:
        if leaf and case.protected and balancer.published and balancer.leaf != leaf.fingerprint:
            yield Seen((balancer.balancer, *case.protected))


BLOCKED = Rule(
    id="balancer-blocked",
    about="balancer",
    condition="A balancer must not be touched as it is: its provider says why.",
    verdict="must not",
    applies=_blocked,
    reason="{why_not}",
    source=PROVIDER,
)
PROBLEM = Rule(
    id="balancer-problem",
    about="balancer",
    condition="Something on a balancer is odd: its provider says what.",
    verdict="recommended",
    applies=_odd,
    reason="{what_is_wrong}",
    source=PROVIDER,
)
MARKED = Rule(
    id="balancer-marked",
    about="balancer",
    condition="A balancer carries the mark of a run that is at work or was left unfinished.",
    verdict="must not",
    applies=_marked,
    reason="A run is at work here or was left unfinished: {run}.",
    remedy="Finish it where it was started: lbsync resume, or lbsync rollback. Only where its ledger is lost: see "
    "that all is right there, then remove the run marker by hand.",
    source=OURS,
)
ONE_MODE = Rule(
    id="balancer-one-mode",
    about="balancer",
    condition="Some services shall be offloaded and others bridged, on a balancer that has one mode for a listener.",
    verdict="must not",
    applies=_mixed,
    reason="{why_one_mode}, so it cannot offload some services and bridge others on one listener.",
    remedy="Bridge every service there, or offload every one, or {another_way}.",
    source=PROVIDER,
)
MRSPROXY_SHARED = Rule(
    id="mrsproxy-on-shared-listener",
    about="balancer",
    condition="All services shall be offloaded on such a balancer, and MRSProxy is neither disabled everywhere nor has a name "
    "of its own.",
    verdict="must not",
    applies=_mrsproxy_offloaded,
    reason="{why_one_mode}: with everything offloaded, MRSProxy too would reach the servers over "
    "plain HTTP, where mailbox moves fail, and it is not disabled on every server.",
    remedy="Disable it on every server (Set-WebServicesVirtualDirectory -MRSProxyEnabled $false), or give it a host "
    "name of its own that always goes to the servers over TLS (balancers.settings.mrsproxy_host; other forests must "
    "then move mailboxes through that name), or bridge.",
    source=OFFLOADING,
)
UNFILTERED = Rule(
    id="balancer-unfiltered",
    about="balancer",
    condition="A balancer sees no path and passes everything on.",
    verdict="recommended",
    applies=lambda case: seen_on(_blind(case)),
    reason="It sees no path: PowerShell, /api and unknown paths are published just as the servers have them.",
    remedy="Restrict at the servers what shall not be reached, or use a balancer that routes by path.",
    source=PROVIDER,
)
UNFILTERED_OFFLOAD = Rule(
    id="balancer-unfiltered-offload",
    about="balancer",
    condition="Such a balancer shall offload.",
    verdict="recommended",
    # lbsync never changes the site itself, whose root keeps Require SSL; and nobody rewrites a Location here.
    applies=lambda case: seen_on(_blind(case) if Mode.OFFLOAD in case.wanted else ()),
    reason="It sees no path: / is answered 403, since the root keeps Require SSL (users must type /owa), and redirects that the "
    "servers build from plain HTTP reach clients as they are.",
    remedy="Tell users; have port 80 send these redirects on to https. Or use a balancer that routes by path.",
    source=PROVIDER,
)
MRSPROXY_UNPUBLISHED = Rule(
    id="mrsproxy-name-unpublished",
    about="balancer",
    condition="MRSProxy has a name of its own whose TLS ends at the balancer, and the certificate to be published lacks it.",
    verdict="must not",
    applies=_mrsproxy_unpublished,
    reason="The certificate to be published is not for {host}, MRSProxy's own name; remote mailbox moves verify it.",
    remedy="Publish a certificate with this name, or name one that it carries (balancers.settings.mrsproxy_host).",
    source="RFC 9525",
)
MRSPROXY_NAME = Rule(
    id="mrsproxy-name-missing",
    about="balancer",
    condition="MRSProxy has a name of its own that is passed through to the servers, and the certificate on IIS 443 lacks it.",
    verdict="must not",
    applies=_mrsproxy_not_held,
    reason="The certificate on IIS 443 is not for {host}, MRSProxy's own name on {balancer}, which is passed through to "
    "it; remote mailbox moves verify it.",
    remedy="Put a certificate with this name onto the servers, or name one that they hold "
    "(balancers.settings.mrsproxy_host).",
    source="RFC 9525",
)
ANOTHER_LEAF = Rule(
    id="leaf-differs-from-balancer",
    about="rotation",
    condition="Servers shall change their certificate under Extended Protection, and a balancer serves another one.",
    verdict="must not",
    applies=_another_leaf,
    reason="Extended Protection is on and the balancer serves another certificate: Outlook would fail in a "
    "password loop as soon as the first server changes.",
    remedy="Turn Extended Protection off for the change, or do it in a maintenance window with the balancer.",
    source=EXTENDED_PROTECTION,
)

RULES = (
    BLOCKED,
    PROBLEM,
    MARKED,
    ONE_MODE,
    MRSPROXY_SHARED,
    UNFILTERED,
    UNFILTERED_OFFLOAD,
    MRSPROXY_UNPUBLISHED,
    MRSPROXY_NAME,
)
