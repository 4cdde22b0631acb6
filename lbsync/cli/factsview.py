"""How facts are shown: a table of servers, one of balancers, and what is odd.

Rule of this file: it turns values into renderables and prints nothing; it judges nothing either.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lbsync.desired import FactSet
from lbsync.facts import BalancerFacts, ServerFacts, TokenChecking
from lbsync.model import Mode
from lbsync.parts import mixed
from lbsync.services import FLAG_SERVICES, SERVICES, Service

if TYPE_CHECKING:
    from rich.console import RenderableType

ALL = "all"
NONE = "none"


def facts_view(facts: FactSet, now: datetime) -> list[RenderableType]:
    """Everything that was seen, for people."""
    from rich.text import Text

    tables: list[RenderableType] = []
    if facts.servers:
        rows = [(server.server, server_row(facts, server, now)) for server in facts.servers]
        tables += [_table("server", rows), Text()]
        parts = mixed(facts)
        tables += [*(Text(f"Prepared in part: {part}.") for part in parts), *([Text()] if parts else [])]
    if facts.balancers:
        tables += [_table("balancer", [(one.balancer, balancer_row(one)) for one in facts.balancers]), Text()]
    return tables[:-1]


def problems_of(facts: FactSet) -> list[tuple[str, str]]:
    """Where something is odd, and what."""
    told = [(server.server, problem) for server in facts.servers for problem in server.problems]
    told += [("directory", problem) for problem in facts.farm.problems]
    told += [(b.balancer, problem) for b in facts.balancers for problem in (*b.blockers, *b.problems)]
    return told


def server_row(facts: FactSet, server: ServerFacts, now: datetime) -> dict[str, str]:
    """One server, column by column."""
    return {
        "version": server.build or server.version,
        "require ssl": require_ssl_of(server),
        "ext. protection": protection_of(server),
        "outlook anywhere": _outlook_anywhere(facts, server.server),
        "certificate on 443": _leaf(server, now),
        "pools": _pools(server),
    }


def balancer_row(balancer: BalancerFacts) -> dict[str, str]:
    """One balancer, column by column."""
    offloaded = [service.value for service, mode in balancer.modes.items() if mode is Mode.OFFLOAD]
    modes = "none yet" if not balancer.modes else f"offload: {', '.join(offloaded)}" if offloaded else "all bridged"
    return {
        "kind": f"{balancer.provider} {balancer.version}".strip(),
        "published": "yes" if balancer.published else "no",
        "modes": modes,
        "certificate": f"{balancer.leaf[:12]}…" if balancer.leaf else NONE,
        "members": _members(balancer),
    }


def _table(first: str, rows: list[tuple[str, dict[str, str]]]) -> RenderableType:
    from rich.table import Table

    table = Table(first, *rows[0][1], box=None, header_style="bold", pad_edge=False)
    for subject, columns in rows:
        table.add_row(subject, *columns.values())
    return table


def require_ssl_of(server: ServerFacts) -> str:
    """Which services refuse plain HTTP: all, none, or their names."""
    on: list[Service] = [
        service for service in FLAG_SERVICES if (vdir := server.vdir(service)) is not None and vdir.requires_ssl
    ]
    return _some(on, len([s for s in FLAG_SERVICES if server.vdir(s) is not None]))


def protection_of(server: ServerFacts) -> str:
    """On which services Extended Protection is on: off, all, or their names."""
    vdirs = [(s, vdir) for s in SERVICES if s is not Service.MRSPROXY and (vdir := server.vdir(s)) is not None]
    on = [service for service, vdir in vdirs if vdir.token_checking is not TokenChecking.NONE]
    return "off" if not on else _some(on, len(vdirs))


def _some(services: Sequence[Service], total: int) -> str:
    if not services:
        return NONE
    return ALL if len(services) == total else ", ".join(service.value for service in services)


def _outlook_anywhere(facts: FactSet, server: str) -> str:
    if not facts.farm.read:
        return "not read"
    found = facts.farm.outlook_anywhere_of(server)
    if found is None:
        return NONE
    return "offloaded" if found.ssl_offloading else "not offloaded"


def _leaf(server: ServerFacts, now: datetime) -> str:
    stored = server.front_end_leaf
    if stored is None:
        return NONE
    days = (stored.info.not_after - now).days
    left = f"{days} days left" if days >= 0 else "expired"
    key = {True: "exportable", False: "not exportable", None: "exportable?"}[stored.exportable]
    return f"{stored.info.thumbprint[:8]}… {left}, {key}"


def _pools(server: ServerFacts) -> str:
    stopped = [name for name, state in server.live.pools.items() if state != "Started"]
    return f"stopped: {', '.join(stopped)}" if stopped else "started"


def _members(balancer: BalancerFacts) -> str:
    """How many of the members are up in every pool that requests are sent to.

    The other pool of a service says nothing: in the offload pool of a bridged service every member fails its check, since
    Require SSL is on there.
    """
    used = [member for member in balancer.live.members if balancer.modes.get(member.service) is member.mode]
    names = {member.server for member in used}
    down = {member.server for member in used if not member.up}
    if not names:
        return NONE
    return f"{len(names - down)} of {len(names)} up" + (f" (down: {', '.join(sorted(down))})" if down else "")
