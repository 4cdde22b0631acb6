"""Rules about a rotation: whether the farm can change its certificate without anybody noticing.

Rule of this room: what is wrong with the new certificate by itself is said by ``lbsync_certs.renewal``; here stands what
follows for this farm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lbsync.advise.case import Case, protected
from lbsync.advise.rule import EXTENDED_PROTECTION, OURS, Rule, Seen, seen_if
from lbsync.facts import ServerFacts
from lbsync_certs.names import covers

_WINDOW = "or change all at once in a maintenance window (--maintenance), where some clients fail for some seconds"


def guarded(servers: Iterable[ServerFacts]) -> tuple[str, ...]:
    """Names of the servers that hold clients to the leaf of their connection (Extended Protection)."""
    return tuple(server.server for server in servers if any(protected(vdir) for vdir in server.vdirs))


def _several_leaves(case: Case) -> Iterator[Seen]:
    """Balancers that serve different leaves cannot share two halves."""
    balancers = case.facts.balancers
    yield from seen_if(len({balancer.leaf for balancer in balancers}) > 1, *(each.balancer for each in balancers))


def _publish_due(case: Case) -> Iterator[Seen]:
    """What the configuration says of a balancer (no resumption, say) must be what runs there."""
    for balancer in case.facts.balancers:
        yield from seen_if(balancer.structure != balancer.wanted_structure, balancer.balancer)


def _names_missing(case: Case) -> Iterator[Seen]:
    """Balancers verify names on the servers' certificate, which is the new one next."""
    leaf = case.desired.leaf
    wanted = [*case.desired.tls_names.values(), *(able.mrsproxy_host or "" for able in case.capabilities.values())]
    missing = [name for name in dict.fromkeys(wanted) if leaf and name and not covers(leaf, name)]
    yield from seen_if(missing, names=", ".join(missing))


def _no_sides(case: Case) -> Iterator[Seen]:
    for balancer in case.facts.balancers:
        yield from seen_if(not case.capabilities[balancer.balancer].switches_sides, balancer.balancer)


def _resumption(case: Case) -> Iterator[Seen]:
    for balancer in case.facts.balancers:
        able = case.capabilities[balancer.balancer]
        if able.switches_sides and able.resumes_sessions:
            yield Seen((balancer.balancer,), {"way_out": able.resumption_remedy or "Turn resumption off"})


NAME_MISSING = Rule(
    id="rotation-name-missing",
    about="rotation",
    condition="The new certificate lacks a name that balancers serve, or verify on the servers.",
    verdict="must not",
    applies=_names_missing,
    reason="The new certificate does not cover {names}, which balancers serve or verify on the servers.",
    remedy="Take one that does, or change tls_name of the servers (mrsproxy_host of the balancer) first.",
    source="RFC 9525",
)
ONE_SERVER = Rule(
    id="rotation-one-server",
    about="rotation",
    condition="Extended Protection is on, and there is one server only.",
    verdict="must not",
    applies=lambda case: seen_if(len(case.facts.servers) == 1, *guarded(case.facts.servers)),
    reason="Extended Protection is on and there is one server only: while it changes its certificate nobody else can "
    "serve the connections opened under the other one.",
    remedy=f"Add a server, {_WINDOW}.",
    source=EXTENDED_PROTECTION,
)
SEVERAL_LEAVES = Rule(
    id="rotation-several-leaves",
    about="rotation",
    condition="Extended Protection is on, and balancers serve different certificates.",
    verdict="must not",
    applies=_several_leaves,
    reason="Extended Protection is on and the balancers serve different certificates: some of them fail already.",
    remedy="Bring them to one certificate first: lbsync plan, then lbsync apply.",
    source=EXTENDED_PROTECTION,
)
PUBLISH_DUE = Rule(
    id="rotation-publish-due",
    about="rotation",
    condition="Extended Protection is on, and what runs on a balancer is not what the configuration calls for.",
    verdict="must not",
    applies=_publish_due,
    reason="Extended Protection is on, and what runs here is not what the configuration calls for, which so does not "
    "tell whether sessions may be resumed.",
    remedy="Bring it there first: lbsync plan, then lbsync apply.",
    source=OURS,
)
NO_SIDES = Rule(
    id="rotation-no-sides",
    about="rotation",
    condition="Extended Protection is on, and a balancer cannot change certificate and servers in one moment.",
    verdict="must not",
    applies=_no_sides,
    reason="Extended Protection is on, and this balancer cannot serve another certificate and send new connections "
    "to other servers in one moment.",
    remedy=f"Turn Extended Protection off for the change, {_WINDOW}.",
    source=EXTENDED_PROTECTION,
)
RESUMPTION = Rule(
    id="rotation-resumption",
    about="rotation",
    condition="Extended Protection is on, and clients may resume TLS sessions at a balancer.",
    verdict="must not",
    applies=_resumption,
    reason="Extended Protection is on, and clients may resume TLS sessions here: one that was opened under the old "
    "certificate would keep it on a new connection, which then fails at servers that hold the new one.",
    remedy="{way_out}, apply that, and rotate when sessions have ended.",
    source=EXTENDED_PROTECTION,
)

TWO_SIDED_RULES = (ONE_SERVER, SEVERAL_LEAVES, PUBLISH_DUE, NO_SIDES, RESUMPTION)
