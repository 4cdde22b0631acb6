"""Rules about a rotation: whether the farm can change its certificate without anybody noticing.

Rule of this room: what is wrong with the new certificate by itself is said by ``lbsync_certs.renewal``; here stands what
follows for this farm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lbsync.advice import Finding
from lbsync.advise.case import Case, protected
from lbsync.facts import ServerFacts
from lbsync_certs.names import covers

_EP = "Microsoft: Configure Windows Extended Protection in Exchange Server"
_WINDOW = "or change all at once in a maintenance window (--maintenance), where some clients fail for some seconds"


def guarded(servers: Iterable[ServerFacts]) -> tuple[str, ...]:
    """Names of the servers that hold clients to the leaf of their connection (Extended Protection)."""
    return tuple(server.server for server in servers if any(protected(vdir) for vdir in server.vdirs))


def enough_servers(case: Case) -> Iterator[Finding]:
    """Half of the servers serve alone while the other half changes."""
    if len(case.facts.servers) == 1:
        yield Finding(
            rule="rotation-one-server",
            severity="refuse",
            where=guarded(case.facts.servers),
            reason="Extended Protection is on and there is one server only: while it changes its certificate nobody else can "
            "serve the connections opened under the other one.",
            remedy=f"Add a server, {_WINDOW}.",
            source=_EP,
        )


def one_leaf_to_begin_with(case: Case) -> Iterator[Finding]:
    """Balancers that serve different leaves cannot share two halves."""
    leaves = {balancer.leaf for balancer in case.facts.balancers}
    if len(leaves) > 1:
        yield Finding(
            rule="rotation-several-leaves",
            severity="refuse",
            where=tuple(balancer.balancer for balancer in case.facts.balancers),
            reason="Extended Protection is on and the balancers serve different certificates: some of them fail already.",
            remedy="Bring them to one certificate first: lbsync plan, then lbsync apply.",
        )


def published_as_wanted(case: Case) -> Iterator[Finding]:
    """What the configuration says of a balancer (no resumption, say) must be what runs there."""
    for balancer in case.facts.balancers:
        if balancer.structure != balancer.wanted_structure:
            yield Finding(
                rule="rotation-publish-due",
                severity="refuse",
                where=(balancer.balancer,),
                reason="Extended Protection is on, and what runs here is not what the configuration calls for, which so does not "
                "tell whether sessions may be resumed.",
                remedy="Bring it there first: lbsync plan, then lbsync apply.",
            )


def verified_names(case: Case) -> Iterator[Finding]:
    """Balancers verify names on the servers' certificate, which is the new one next."""
    leaf = case.desired.leaf
    wanted = [*case.desired.tls_names.values(), *(able.mrsproxy_host or "" for able in case.capabilities.values())]
    missing = [name for name in dict.fromkeys(wanted) if leaf and name and not covers(leaf, name)]
    if missing:
        yield Finding(
            rule="rotation-name-missing",
            severity="refuse",
            reason=f"The new certificate does not cover {', '.join(missing)}, which balancers serve or verify on the servers.",
            remedy="Take one that does, or change tls_name of the servers (mrsproxy_host of the balancer) first.",
        )


def able_balancers(case: Case) -> Iterator[Finding]:
    """Leaf and side must change in one moment, and no session may bring the old leaf back."""
    for balancer in case.facts.balancers:
        able = case.capabilities[balancer.balancer]
        if not able.switches_sides:
            yield Finding(
                rule="rotation-no-sides",
                severity="refuse",
                where=(balancer.balancer,),
                reason="Extended Protection is on, and this balancer cannot serve another certificate and send new connections "
                "to other servers in one moment.",
                remedy=f"Turn Extended Protection off for the change, {_WINDOW}.",
                source=_EP,
            )
        elif able.resumes_sessions:
            yield Finding(
                rule="rotation-resumption",
                severity="refuse",
                where=(balancer.balancer,),
                reason="Extended Protection is on, and clients may resume TLS sessions here: one that was opened under the old "
                "certificate would keep it on a new connection, which then fails at servers that hold the new one.",
                remedy=f"{able.resumption_remedy or 'Turn resumption off'}, apply that, and rotate when sessions have ended.",
                source=_EP,
            )


TWO_SIDED_RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    enough_servers,
    one_leaf_to_begin_with,
    published_as_wanted,
    able_balancers,
)
