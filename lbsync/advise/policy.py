"""Rules about what the operator's house demands: the way to the servers, encryption inside, and older Exchange beside it.

Rule of this room: names are not resolved. What cannot be told from the configuration alone is said to be untellable.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from lbsync.advice import listed
from lbsync.advise.case import Case
from lbsync.advise.rule import CONFIGURED, OFFLOADING, Rule, Seen, seen_if

_TRUST = "Set farm.trusted_leg = true if the network to every server is yours alone, else bridge."


def _inside(address: str, networks: tuple[str, ...]) -> bool | None:
    """Whether an address lies in one of the networks; ``None`` where it is a name."""
    try:
        literal = ipaddress.ip_address(address)
    except ValueError:
        return None
    return any(literal in ipaddress.ip_network(network) for network in networks)


def _legs(case: Case, *, inside: bool | None) -> Iterator[Seen]:
    """Servers whose way is so, where the way is judged by networks."""
    networks = case.desired.policy.trusted_networks
    if case.desired.trusted_leg or not networks:
        return
    told = ", ".join(networks)
    for server in case.facts.servers:
        address = case.desired.addresses.get(server.server, server.fqdn)
        if _inside(address, networks) is inside:
            yield Seen((server.server,), {"networks": told})


def _published_legacy(case: Case) -> Iterator[Seen]:
    hosts = {host.lower() for host in case.desired.hosts}
    both = [host for host in case.desired.policy.legacy_hosts if host.lower() in hosts]
    yield from seen_if(both, hosts=", ".join(both))


ENCRYPT_INSIDE = Rule(
    id="encrypt-inside",
    about="offload",
    condition="Your policy is that everything is encrypted inside: [policy] encrypt_inside = true.",
    verdict="must",
    applies=lambda case: seen_if(case.desired.policy.encrypt_inside),
    reason="Your policy wants everything encrypted between balancer and servers ([policy] encrypt_inside = true).",
    remedy='Set the mode to "bridge"; or, where the policy has changed, encrypt_inside = false.',
    source=CONFIGURED,
)
LEG_NOT_TRUSTED = Rule(
    id="leg-not-trusted",
    about="offload",
    condition="The way from balancer to servers is not declared trusted: neither farm.trusted_leg nor "
    "policy.trusted_networks.",
    verdict="must not",
    applies=lambda case: seen_if(not case.desired.trusted_leg and not case.desired.policy.trusted_networks),
    reason="The way from balancer to servers is not declared trusted; offloading sends credentials over it in clear.",
    remedy="Set farm.trusted_leg = true if that network is yours alone, else bridge.",
    source=CONFIGURED,
)
LEG_OUTSIDE = Rule(
    id="leg-outside-networks",
    about="offload",
    condition="A server's address lies outside policy.trusted_networks, and farm.trusted_leg is not set.",
    verdict="must not",
    applies=lambda case: _legs(case, inside=False),
    reason="The servers' addresses are in none of your trusted networks ({networks}); offloading sends credentials "
    "there in clear.",
    remedy="Add their network to policy.trusted_networks if it is yours alone, else bridge.",
    source=CONFIGURED,
)
LEG_UNTELLABLE = Rule(
    id="leg-untellable",
    about="offload",
    condition="A server is reached by a name, which is not resolved, so that policy.trusted_networks cannot tell.",
    verdict="must not",
    applies=lambda case: _legs(case, inside=None),
    reason="The servers are reached by name, which is not resolved: whether they are in a trusted network ({networks}) "
    "cannot be told.",
    remedy=f"Give their address as a number (servers.address). {_TRUST}",
    source=CONFIGURED,
)
LEGACY_PUBLISHED = Rule(
    id="legacy-host-published",
    about="farm",
    condition="A name of Exchange 2007 or 2010 (policy.legacy_hosts) is among publish.hosts.",
    verdict="recommended",
    applies=_published_legacy,
    reason="{hosts}: named as the way to Exchange 2007 or 2010, and published by this farm too. Whom Exchange sends "
    "there for an old mailbox would come back to the servers that sent them.",
    remedy="Take it out of publish.hosts and let it lead to the old servers; or out of policy.legacy_hosts, if they are gone.",
    source=f"{OFFLOADING}, coexistence",
)
LEGACY = Rule(
    id="legacy-coexistence",
    about="farm",
    condition="Exchange 2007 or 2010 is still published beside the farm (policy.legacy_hosts).",
    verdict="fine",
    applies=lambda case: seen_if(case.desired.policy.legacy_hosts, hosts=listed(case.desired.policy.legacy_hosts)),
    reason="Exchange 2007 or 2010 is published as {hosts}. Either mode works beside them: OWA and EWS of 2007 mailboxes "
    "are redirected there, all else is proxied, and 2010 is redirected to where its ExternalURL is set.",
    source=f"{OFFLOADING}, coexistence",
)

FARM_RULES = (LEGACY_PUBLISHED, LEGACY)
OFFLOAD_RULES = (ENCRYPT_INSIDE, LEG_NOT_TRUSTED, LEG_OUTSIDE, LEG_UNTELLABLE)
