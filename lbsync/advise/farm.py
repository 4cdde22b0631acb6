"""Rules about the farm as a whole: states in which nothing may be changed, and members that differ.

Rule of this room: these hold whatever the mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lbsync.advice import Finding
from lbsync.advise.case import EXCHANGE_2013_SP1, Case, version_of
from lbsync.facts import ServerFacts
from lbsync.parts import mixed
from lbsync.services import FRONT_END_SITE, HTTPS_PORT, NO_SSL, SERVICES, Service


def setup_at_work(case: Case) -> Iterator[Finding]:
    """Exchange's set-up rewrites IIS while it runs and when it is resumed: whatever is changed now is lost or fatal."""
    where = case.servers(lambda s: s.setup_running or s.setup_incomplete)
    if where:
        yield Finding(
            rule="setup-at-work",
            severity="refuse",
            where=where,
            reason="Exchange set-up is running or was left half done.",
            remedy="Let set-up finish (run it again where it failed), then plan anew.",
        )


def rights(case: Case) -> Iterator[Finding]:
    """IIS is changed as a local administrator; Outlook Anywhere by a cmdlet that a role must offer."""
    where = case.servers(lambda s: not s.administrator)
    if where:
        yield Finding(
            rule="not-administrator",
            severity="refuse",
            where=where,
            reason="The account is no local administrator there; IIS cannot be changed.",
            remedy="Put the account into the local Administrators group of these servers.",
        )
    if case.facts.farm.missing_cmdlets:
        yield Finding(
            rule="missing-cmdlets",
            severity="warn",
            reason="The account's Exchange roles lack " + ", ".join(case.facts.farm.missing_cmdlets) + ".",
            remedy="Assign Organization Management, or a role group with these cmdlets.",
        )


def before_sp1(case: Case) -> Iterator[Finding]:
    """Exchange 2013 before SP1 cannot be offloaded and its MAPI and healthcheck pages are missing."""
    where = case.servers(lambda s: version_of(s) < EXCHANGE_2013_SP1)
    if where:
        yield Finding(
            rule="before-2013-sp1",
            severity="refuse",
            where=where,
            reason="Exchange 2013 before Service Pack 1 is not supported.",
            remedy="Install a current cumulative update.",
            source="Microsoft: Configuring SSL offloading in Exchange 2013",
        )


def pools_started(case: Case) -> Iterator[Finding]:
    """A stopped pool cannot become healthy after a recycle, so a run could only fail."""
    needed = {spec.pool for spec in SERVICES.values()}
    for server in case.facts.servers:
        stopped = sorted(pool for pool, state in server.live.pools.items() if pool in needed and state != "Started")
        if stopped:
            yield Finding(
                rule="pool-stopped",
                severity="refuse",
                where=(server.server,),
                reason=f"Application pools are not started: {', '.join(stopped)}.",
                remedy="Start them and find out why they stopped.",
            )


def loopback_binding(case: Case) -> Iterator[Finding]:
    """Exchange talks to itself over 127.0.0.1:443; another certificate there breaks it quietly."""

    def differs(server: ServerFacts) -> bool:
        bound = [
            b for b in server.bindings if b.site == FRONT_END_SITE and b.protocol == "https" and b.port == HTTPS_PORT
        ]
        return len({b.thumbprint for b in bound}) > 1

    where = case.servers(differs)
    if where:
        yield Finding(
            rule="loopback-binding",
            severity="warn",
            where=where,
            reason=f"The https bindings of {FRONT_END_SITE} (all addresses, 127.0.0.1) hold different certificates.",
            remedy="Bind the same certificate to both; Enable-ExchangeCertificate -Services IIS does.",
        )


def reader_problems(case: Case) -> Iterator[Finding]:
    """What readers found odd is shown, never dropped."""
    for server in case.facts.servers:
        for problem in server.problems:
            yield Finding(rule="server-problem", severity="warn", where=(server.server,), reason=problem)
    for problem in case.facts.farm.problems:
        yield Finding(rule="directory-problem", severity="warn", where=("directory",), reason=problem)


def drift(case: Case) -> Iterator[Finding]:
    """Members must answer alike, else a user's experience depends on the server the balancer picked."""
    severity = "warn" if case.desired.limits.allow_drift else "refuse"
    for topic, values in _topics(case):
        if len(set(values.values())) > 1:
            said = "; ".join(f"{server}: {value}" for server, value in values.items())
            yield Finding(
                rule="drift",
                severity=severity,
                where=tuple(values),
                reason=f"Members differ in {topic} ({said}).",
                remedy="Make them alike, or set limits.allow_drift = true to have the plan level what it sets.",
            )
    versions = {server.server: server.build for server in case.facts.servers}
    if len(set(versions.values())) > 1:
        said = "; ".join(f"{server}: {build}" for server, build in versions.items())
        yield Finding(
            rule="version-drift",
            severity="warn",
            where=tuple(versions),
            reason=f"Members run different builds ({said}).",
            remedy="Bring them to the same update when you can.",
        )


def partly_prepared(case: Case) -> Iterator[Finding]:
    """Some servers without Require SSL and some with it is how a farm looks half-way; no drift, yet to be known."""
    for part in mixed(case.facts):
        yield Finding(
            rule="partly-prepared",
            severity="warn",
            where=(*part.prepared, *part.others),
            reason=f"{part}: the farm is prepared in part.",
            remedy="A plan for the whole farm makes them alike, as their modes need it.",
        )


def _topics(case: Case) -> Iterable[tuple[str, dict[str, str]]]:
    servers = case.facts.servers
    for service in Service:
        spec = SERVICES[service]
        if not spec.offloadable:
            continue
        found = {server.server: server.vdir(service) for server in servers}
        yield f"{spec.vdir}: presence", {name: "present" if vdir else "absent" for name, vdir in found.items()}
        vdirs = {name: vdir for name, vdir in found.items() if vdir}
        # Require SSL off on some of them is no drift: they are prepared in part, see ``partly_prepared``.
        yield f"{spec.vdir}: sslFlags", {n: vdir.ssl_flags for n, vdir in vdirs.items() if vdir.ssl_flags != NO_SSL}
        yield f"{spec.vdir}: Extended Protection", {name: vdir.token_checking for name, vdir in vdirs.items()}
        yield (
            f"{spec.vdir}: authentication",
            {name: ", ".join((*vdir.authentication, *vdir.providers)) for name, vdir in vdirs.items()},
        )
    # OWA and ECP cookies are tied to the server's certificate: users are signed out when they move between leaves.
    yield "the certificate on IIS 443", {server.server: _leaf(server) for server in servers}


def _leaf(server: ServerFacts) -> str:
    leaf = server.front_end_leaf
    return leaf.info.thumbprint if leaf else "none"


RULES = (setup_at_work, rights, before_sp1, pools_started, loopback_binding, reader_problems, drift, partly_prepared)
