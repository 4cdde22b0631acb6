"""Server by server: which servers a plan takes and in which order, and what a farm looks like in between.

Rule of this room: pure. A service has one mode for all servers, while Require SSL is a server's own; a server without it
answers on 443 all the same. So a part of the servers is *prepared* for plain HTTP while the balancers go on bridging, and
services are sent to port 80 by a plan for the whole farm only. The other way round the balancers bridge first, for all
servers, and Require SSL comes on with a part of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lbsync.desired import Desired, FactSet
from lbsync.facts import BalancerFacts, ServerFacts
from lbsync.model import Mode, Value
from lbsync.services import FLAG_SERVICES, SERVICES, Service


class Part(Value):
    """Servers that are prepared for plain HTTP, and those that are not, for the same services."""

    services: tuple[Service, ...]
    prepared: tuple[str, ...]
    others: tuple[str, ...]

    def __str__(self) -> str:
        """In one line, without a full stop."""
        return (
            f"Require SSL is off on {', '.join(self.prepared)} and on at {', '.join(self.others)} "
            f"({', '.join(self.services)})"
        )


def takes(desired: Desired, server: str) -> bool:
    """Whether a plan takes this server; without ``only`` it takes all."""
    return not desired.only or server in desired.only


def in_groups(desired: Desired, servers: Sequence[ServerFacts]) -> tuple[tuple[ServerFacts, ...], ...]:
    """The servers that a plan takes, group by group: the group whose first server stands first in the configuration comes first.

    Those without a group are one of their own. ``servers`` are all, in configured order.
    """
    groups: dict[str, list[ServerFacts]] = {}
    for server in servers:
        groups.setdefault(desired.groups.get(server.server, ""), []).append(server)
    taken = (tuple(s for s in group if takes(desired, s.server)) for group in groups.values())
    return tuple(group for group in taken if group)


def narrowed(desired: Desired, facts: FactSet) -> FactSet:
    """What was seen of the servers that a plan takes, as if they were the whole farm; balancers and AD's own stay."""
    if not desired.only:
        return facts
    listed = tuple(item for item in facts.farm.outlook_anywhere if any(_same(item.server, s) for s in desired.only))
    return facts.model_copy(
        update={
            "servers": tuple(s for s in facts.servers if takes(desired, s.server)),
            "farm": facts.farm.model_copy(update={"outlook_anywhere": listed}),
        }
    )


def modes_meanwhile(desired: Desired, seen: BalancerFacts) -> Mapping[Service, Mode]:
    """The modes that a balancer has once a plan is done.

    A plan for some servers sends no service to port 80 that does not go there yet; what shall be bridged is.
    """
    if not desired.only:
        return desired.modes
    return {
        service: mode if seen.published and seen.modes.get(service) is mode else Mode.BRIDGE
        for service, mode in desired.modes.items()
    }


def modes_of_all(desired: Desired, facts: FactSet) -> dict[Service, Mode]:
    """The same for the farm: a service is offloaded where every balancer does it."""
    if not desired.only:
        return desired.modes
    ends = [modes_meanwhile(desired, seen) for seen in facts.balancers]
    return {s: m if all(end[s] is m for end in ends) and ends else Mode.BRIDGE for s, m in desired.modes.items()}


def is_prepared(facts: FactSet, server: ServerFacts, service: Service) -> bool | None:
    """Whether a server takes a service over plain HTTP; ``None`` where it has none, or nobody knows."""
    vdir = server.vdir(service)
    if service is Service.OUTLOOK_ANYWHERE:
        found = facts.farm.outlook_anywhere_of(server.server)
        return found.ssl_offloading if found is not None and vdir is not None else None
    if vdir is None or service not in FLAG_SERVICES:
        return None
    return not vdir.requires_ssl


def mixed(facts: FactSet) -> tuple[Part, ...]:
    """Where servers differ in being prepared: services that differ alike are told together."""
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Service]] = {}
    for service in SERVICES:
        said = {s.server: is_prepared(facts, s, service) for s in facts.servers}
        prepared = tuple(name for name, ready in said.items() if ready)
        others = tuple(name for name, ready in said.items() if ready is False)
        if prepared and others:
            alike.setdefault((prepared, others), []).append(service)
    return tuple(
        Part(services=tuple(services), prepared=ready, others=not_yet) for (ready, not_yet), services in alike.items()
    )


def left(desired: Desired, facts: FactSet) -> Iterator[str]:
    """What a plan for some servers leaves for later, in sentences without a full stop: nothing for a plan that takes all."""
    if not desired.only:
        return
    held = [s for s, m in desired.modes.items() if m is Mode.OFFLOAD and modes_of_all(desired, facts)[s] is not m]
    rest = [server for server in facts.servers if not takes(desired, server.server)]
    waits: dict[tuple[Service, ...], list[str]] = {}
    on: dict[tuple[Service, ...], list[str]] = {}
    for server in rest:
        waits.setdefault(tuple(s for s in held if is_prepared(facts, server, s) is False), []).append(server.server)
        off = tuple(s for s, m in desired.modes.items() if m is Mode.BRIDGE and is_prepared(facts, server, s))
        on.setdefault(off, []).append(server.server)
    missing = {services: names for services, names in waits.items() if services}
    for services, names in missing.items():
        yield (
            f"{', '.join(names)} {_are(names)} not prepared yet: {', '.join(services)} stay bridged until then "
            "(lbsync apply without --only goes on)"
        )
    if held and not missing:
        yield (
            f"every server is prepared then: lbsync apply without --only sends {', '.join(held)} to them over plain HTTP"
        )
    for services, names in on.items():
        if services:
            yield (
                f"Require SSL stays off on {', '.join(names)} for {', '.join(services)} until lbsync apply without --only; "
                "443 answers there all the same"
            )


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()
