"""Demands on the servers and on what AD holds of them.

Rule of this file: each demand is judged on every configured server, and names those that fail it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import MappingProxyType

from lbsync.desired import Desired, FactSet
from lbsync.facts import OutlookAnywhereFacts, ServerFacts
from lbsync.protection.demand import LEARN, SCRIPT, Demand
from lbsync.services import FLAG_SERVICES, FRONT_END_SITE, HTTPS_PORT
from lbsync_certs import CertificateInfo

_FIRST_BUILDS = MappingProxyType(
    {(15, 0): ((1497, 38),), (15, 1): ((2375, 30), (2507, 11)), (15, 2): ((986, 28), (1118, 11))}
)
"""By version: the builds of each cumulative update that first know Extended Protection; all after the last one do.

Source: Microsoft CSS-Exchange, Get-ExtendedProtectionConfiguration.ps1.
"""


def build_of(server: ServerFacts) -> tuple[int, int, int, int] | None:
    """The security update's build as numbers (ExSetup.exe's file version); ``None`` where it cannot be told."""
    parts = server.build.split(".")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):  # noqa: PLR2004  a file version has four
        return None
    major, minor, build, revision = (int(part) for part in parts)
    return major, minor, build, revision


def knows_extended_protection(build: tuple[int, int, int, int]) -> bool:
    """True for a build whose Exchange works with Extended Protection on."""
    major, minor, number, revision = build
    first = _FIRST_BUILDS.get((major, minor), ())
    if not first:
        return False
    return number > first[-1][0] or any(number == known and revision >= least for known, least in first)


def builds(facts: FactSet) -> Demand:
    """The August 2022 security update or later, on a cumulative update that has it."""
    told = {server.server: build_of(server) for server in facts.servers}
    demand = Demand(
        id="builds",
        question="every server runs a build that knows Extended Protection",
        state="met",
        source=f"{SCRIPT}; {LEARN}",
    )
    old = [
        f"{one.server} ({one.build})"
        for one in facts.servers
        if (build := told[one.server]) is not None and not knows_extended_protection(build)
    ]
    unknown = [name for name, build in told.items() if build is None]
    at_work = [one.server for one in facts.servers if one.setup_running or one.setup_incomplete]
    if at_work:
        return demand.model_copy(
            update={
                "state": "not known",
                "reason": _told("set-up is running or was left half done", at_work),
                "remedy": "Let set-up finish (run it again where it failed), then look again.",
            }
        )
    if old:
        remedy = (
            "Install a current cumulative update and security update (August 2022 or later; 2013: CU23, 2016: CU22 on, 2019: "
            "CU11 on)."
        )
        return demand.model_copy(update={"state": "not met", "reason": _told("too old", old), "remedy": remedy})
    if unknown:
        return demand.model_copy(
            update={
                "state": "not known",
                "reason": _told("the build of ExSetup.exe could not be read", unknown),
                "remedy": "Look with: (Get-Command ExSetup.exe).FileVersionInfo.FileVersion",
            }
        )
    return demand


def not_suppressed(facts: FactSet) -> Demand:
    """A registry value that makes every protected location refuse."""
    found = [server.server for server in facts.servers if server.suppress_extended_protection]
    return Demand(
        id="not-suppressed",
        question="no server has SuppressExtendedProtection set",
        state="not met" if found else "met",
        reason=_told("it is not 0", found),
        remedy=r"Remove it below HKLM\SYSTEM\CurrentControlSet\Control\Lsa, or set it to 0." if found else "",
    )


def certificate(desired: Desired, facts: FactSet) -> Demand:
    """The channel binding is a hash of the leaf that the client saw: servers must hold what balancers serve."""
    question = "IIS 443 of every server and every balancer serve the same certificate"
    leaf = desired.leaf
    if leaf is None:
        return Demand(
            id="certificate",
            question=question,
            state="not met",
            reason=desired.leaf_problem or "it is not known which certificate clients shall see",
            remedy="Name it under [certificate], then run this again.",
        )
    other = [*holding_another(desired, facts)]
    other += [one.balancer for one in facts.balancers if one.leaf != leaf.fingerprint]
    beside = [*_bound_beside(desired, facts, leaf)]
    reasons = (_told("another one, or none", other), _told("another one at a further binding of 443", beside))
    remedies = (
        f"lbsync puts {leaf.thumbprint} there." if other else "",
        f"Bind {leaf.thumbprint} there too, or remove the binding: in IIS Manager, Bindings of {FRONT_END_SITE}."
        if beside
        else "",
    )
    return Demand(
        id="certificate",
        question=question,
        state="not met" if other or beside else "met",
        lbsync_can=not beside,
        reason=" ".join(filter(None, reasons)),
        remedy=" ".join(filter(None, remedies)),
    )


def _bound_beside(desired: Desired, facts: FactSet, leaf: CertificateInfo) -> Iterator[str]:
    """Bindings beside the one for all addresses that clients, balancers or Exchange itself may meet with another certificate.

    One for an address of its own, 127.0.0.1 say, comes before the one for all; one for a host that nobody asks for is left out.
    """
    names = {"", *(name.lower() for name in (*desired.hosts, *desired.tls_names.values()))}
    for server in facts.servers:
        held = server.front_end_leaf
        for one in server.bindings:
            if (one.site, one.protocol, one.port) != (
                FRONT_END_SITE,
                "https",
                HTTPS_PORT,
            ) or one.host.lower() not in names:
                continue
            # Where the main one is another certificate's, that is told, and enabling the right one takes these along.
            if held is not None and held.info == leaf and one.thumbprint != leaf.thumbprint:
                yield f"{server.server} ({one.host or one.address})"


def holding_another(desired: Desired, facts: FactSet) -> tuple[str, ...]:
    """Servers whose IIS 443 serves another certificate than clients shall see, or none; nobody where that is not known."""
    leaf = desired.leaf
    held = [(one.server, one.front_end_leaf) for one in facts.servers]
    return tuple(name for name, stored in held if leaf is not None and (stored is None or stored.info != leaf))


def outlook_anywhere(facts: FactSet) -> Demand:
    """The script refuses while SSLOffloading is true; false goes only together with both ...RequireSsl true."""
    demand = Demand(
        id="outlook-anywhere",
        question="Outlook Anywhere has SSLOffloading false and requires SSL inside and outside",
        state="met",
        lbsync_can=True,
        source=f"{SCRIPT}; Microsoft: Set-OutlookAnywhere",
    )
    told = {server.server: facts.farm.outlook_anywhere_of(server.server) for server in facts.servers}
    unknown: dict[str, object] = {"state": "not known", "lbsync_can": False}
    if not facts.farm.read:
        unknown |= {
            "reason": "AD was not read.",
            "remedy": 'Set farm.exchange = "explicit" or "delegated", then run this again.',
        }
        return demand.model_copy(update=unknown)
    unread = [name for name, seen in told.items() if seen is None]
    if unread:
        unknown |= {
            "reason": _told("AD does not list it", unread),
            "remedy": "Look at Get-OutlookAnywhere -ADPropertiesOnly.",
        }
        return demand.model_copy(update=unknown)
    wrong = [name for name, seen in told.items() if seen is not None and not _sound(seen)]
    if wrong:
        remedy = "lbsync sets all three in AD and waits until every IIS shows it."
        return demand.model_copy(update={"state": "not met", "reason": _told("not so", wrong), "remedy": remedy})
    return demand


def require_ssl(facts: FactSet) -> Demand:
    """What is bridged comes over TLS; the script sets Ssl, Ssl128 everywhere, and clients must not notice."""
    off = [
        f"{server.server} ({', '.join(services)})"
        for server in facts.servers
        if (
            services := [
                service.value
                for service in FLAG_SERVICES
                if (vdir := server.vdir(service)) is not None and not vdir.requires_ssl
            ]
        )
    ]
    demand = Demand(
        id="require-ssl",
        question="every virtual directory requires SSL",
        state="not met" if off else "met",
        lbsync_can=True,
        reason=_told("off", off),
        remedy="lbsync turns it on while the server is drained." if off else "",
    )
    bare = [one.server for one in facts.servers if not any(one.vdir(service) for service in FLAG_SERVICES)]
    if bare:
        unknown = {
            "state": "not known",
            "lbsync_can": False,
            "reason": " ".join(filter(None, (_told("no virtual directory was seen", bare), demand.reason))),
            "remedy": "Look at lbsync check, and at these servers' IIS.",
        }
        return demand.model_copy(update=unknown)
    return demand


def _sound(seen: OutlookAnywhereFacts) -> bool:
    return not seen.ssl_offloading and seen.internal_clients_require_ssl and seen.external_clients_require_ssl


def _told(words: str, where: Iterable[str]) -> str:
    names = ", ".join(where)
    return f"{words}: {names}." if names else ""
