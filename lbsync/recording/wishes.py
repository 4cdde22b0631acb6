"""What is wanted of a farm, under pseudonyms: every field of the wish by what it is.

Rule of this file: a wish holds names of the house too (addresses, groups, networks, older servers), and a new field of it is
named here or in ``AS_IT_IS`` before it is recorded; a test holds the two together.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator

from lbsync.desired import Desired, Policy, Remembered
from lbsync.recording.pseudonyms import Pseudonyms
from lbsync_certs import CertificateInfo

AS_IT_IS = frozenset(
    {"modes", "leaf_exportable", "trusted_leg", "allow_self_signed", "limits", "for_extended_protection"}
)
"""Fields that hold no name."""
IN_WORDS = frozenset({"leaf_problem", "chain_problem"})
"""Fields of free text: their names are looked for when all are known."""


def wish_hosts(desired: Desired) -> Iterator[str]:
    """The host names in a wish."""
    yield from (*desired.hosts, *desired.tls_names.values(), *desired.policy.legacy_hosts)
    yield from (one for one in desired.addresses.values() if _ip(one) is None)
    wish = desired.outlook_anywhere
    yield from (one for one in (wish.external_hostname, wish.internal_hostname) if one is not None)


def wish_others(desired: Desired) -> Iterator[str]:
    """Whatever else of a wish a pseudonym might be by accident."""
    yield from (desired.farm, *desired.groups.values())
    yield from (one for one in desired.addresses.values() if _ip(one) is not None)


def hidden_wish(
    desired: Desired,
    names: Pseudonyms,
    *,
    certificate: Callable[[CertificateInfo], CertificateInfo],
    location: Callable[[str], str],
) -> Desired:
    """The same wish; ``certificate`` and ``location`` are how these are hidden in the facts."""
    wish = desired.outlook_anywhere
    outlook = {
        name: names.host(value)
        for name in ("external_hostname", "internal_hostname")
        if (value := getattr(wish, name)) is not None
    }
    return desired.model_copy(
        update={
            "farm": names.word("FARM", desired.farm),
            "hosts": tuple(names.host(host) for host in desired.hosts),
            "tls_names": {names.server(server): names.host(host) for server, host in desired.tls_names.items()},
            "leaf": certificate(desired.leaf) if desired.leaf is not None else None,
            "addresses": {names.server(server): names.address(one) for server, one in desired.addresses.items()},
            "policy": _policy(desired, names),
            "outlook_anywhere": wish.model_copy(update=outlook),
            "groups": {
                names.server(s): names.word("group", group) if group else "" for s, group in desired.groups.items()
            },
            "only": tuple(names.server(server) for server in desired.only),
            "remembered": _remembered(desired.remembered, names, location),
        }
    )


def _policy(desired: Desired, names: Pseudonyms) -> Policy:
    """The networks become those that hold just the servers which were inside."""
    policy = desired.policy
    networks = [ipaddress.ip_network(network) for network in policy.trusted_networks]
    found = {one: parsed for one in desired.addresses.values() if (parsed := _ip(one)) is not None}
    inside = [names.address(one) for one, parsed in found.items() if any(parsed in network for network in networks)]
    # Where nobody is inside the list must not be empty all the same: networks were named.
    told = inside or [names.address(str(network.network_address)) for network in networks[:1]]
    return policy.model_copy(
        update={
            "trusted_networks": tuple(_networks(told)),
            "legacy_hosts": tuple(names.host(host) for host in policy.legacy_hosts),
        }
    )


def _networks(addresses: Iterable[str]) -> Iterator[str]:
    """These addresses and no other ones, in as few networks as can be."""
    parsed = [ipaddress.ip_network(address) for address in addresses]
    yield from map(str, ipaddress.collapse_addresses([a for a in parsed if isinstance(a, ipaddress.IPv4Network)]))
    yield from map(str, ipaddress.collapse_addresses([a for a in parsed if isinstance(a, ipaddress.IPv6Network)]))


def _remembered(known: Remembered, names: Pseudonyms, location: Callable[[str], str]) -> Remembered:
    return known.model_copy(
        update={
            "flags": {
                names.server(server): {location(place): own for place, own in flags.items()}
                for server, flags in known.flags.items()
            },
            "outlook_anywhere": {names.server(server): dict(found) for server, found in known.outlook_anywhere.items()},
        }
    )


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
