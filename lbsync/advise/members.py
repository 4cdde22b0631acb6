"""Rules about members that differ: they must answer alike, else what users get depends on the server the balancer picked.

Rule of this room: who differs is told by value, so that one server among hundreds stands out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lbsync.advice import listed
from lbsync.advise.case import Case
from lbsync.advise.rule import CAPTURED, OURS, Rule, Seen
from lbsync.facts import StoredCertificate
from lbsync.parts import mixed
from lbsync.services import NO_SSL, SERVICES, Service


def _differing(case: Case) -> Iterator[Seen]:
    """What the same servers differ in by the same values is told together."""
    alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for topic, values in _topics(case):
        if len(set(values.values())) > 1:
            alike.setdefault((tuple(values), _by_value(values)), []).append(topic)
    for (servers, said), topics in alike.items():
        yield Seen(servers, {"topics": ", ".join(topics), "values": said})


def _by_value(values: Mapping[str, str]) -> str:
    """``EX01, EX03: None; EX02: Require``."""
    servers: dict[str, list[str]] = {}
    for server, value in values.items():
        servers.setdefault(value, []).append(server)
    return "; ".join(f"{listed(names)}: {value}" for value, names in servers.items())


def _topics(case: Case) -> Iterable[tuple[str, dict[str, str]]]:
    for service in Service:
        spec = SERVICES[service]
        if not spec.offloadable:
            continue
        vdirs = {server.server: vdir for server, vdir in case.vdirs(service)}
        names = (server.server for server in case.facts.servers)
        yield f"{spec.vdir}: presence", {name: "present" if name in vdirs else "absent" for name in names}
        # Require SSL off on some of them is no drift: they are prepared in part, see ``PARTLY_PREPARED``.
        yield f"{spec.vdir}: sslFlags", {n: vdir.ssl_flags for n, vdir in vdirs.items() if vdir.ssl_flags != NO_SSL}
        yield f"{spec.vdir}: Extended Protection", {name: vdir.token_checking for name, vdir in vdirs.items()}
        yield (
            f"{spec.vdir}: authentication",
            {name: ", ".join((*vdir.authentication, *vdir.providers)) for name, vdir in vdirs.items()},
        )
    # OWA and ECP cookies are tied to the server's certificate: users are signed out when they move between leaves.
    yield "the certificate on IIS 443", {server: _thumbprint(leaf) for server, leaf in case.leaves.items()}


def _thumbprint(leaf: StoredCertificate | None) -> str:
    return leaf.info.thumbprint if leaf else "none"


def _builds(case: Case) -> Iterator[Seen]:
    builds = {server.server: server.build for server in case.facts.servers}
    if len(set(builds.values())) > 1:
        yield Seen(tuple(builds), {"builds": _by_value(builds)})


def _in_part(case: Case) -> Iterator[Seen]:
    for part in mixed(case.facts):
        yield Seen((*part.prepared, *part.others), {"who_is_and_who_is_not": str(part)})


DRIFT = Rule(
    id="drift",
    about="farm",
    condition="Members differ in a virtual directory's presence, sslFlags, Extended Protection or authentication, in the "
    "certificate on IIS 443. Require SSL off on some of them is none of it.",
    verdict="must not",
    applies=lambda case: () if case.desired.limits.allow_drift else _differing(case),
    reason="Members differ in {topics} ({values}).",
    remedy="Make them alike, or set limits.allow_drift = true to have the plan level what it sets.",
    source=f"{CAPTURED}; OWA and ECP cookies are tied to the server's certificate",
)
DRIFT_ALLOWED = Rule(
    id="drift-allowed",
    about="farm",
    condition="Members differ so, and limits.allow_drift allows it.",
    verdict="recommended",
    applies=lambda case: _differing(case) if case.desired.limits.allow_drift else (),
    reason="Members differ in {topics} ({values}).",
    remedy="The plan levels what it sets; make the rest alike yourself.",
    source=OURS,
)
VERSION_DRIFT = Rule(
    id="version-drift",
    about="farm",
    condition="Members run different builds.",
    verdict="recommended",
    applies=_builds,
    reason="Members run different builds ({builds}).",
    remedy="Bring them to the same update when you can.",
    source="the file version of ExSetup.exe, which shows the security update",
)
PARTLY_PREPARED = Rule(
    id="partly-prepared",
    about="farm",
    condition="Require SSL is off on some servers and on at others, as a farm looks half-way.",
    verdict="recommended",
    applies=_in_part,
    reason="{who_is_and_who_is_not}: the farm is prepared in part.",
    remedy="A plan for the whole farm makes them alike, as their modes need it.",
    source=OURS,
)

RULES = (DRIFT, DRIFT_ALLOWED, VERSION_DRIFT, PARTLY_PREPARED)
