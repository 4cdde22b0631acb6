"""Rules about the farm as a whole: states in which nothing may be changed.

Rule of this room: these hold whatever the mode.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advise.case import EXCHANGE_2013_SP1, Case
from lbsync.advise.rule import OFFLOADING, OURS, Rule, Seen, seen_if, seen_on
from lbsync.facts import ServerFacts
from lbsync.services import FRONT_END_SITE, HTTPS_PORT, SERVICES

_NEEDED_POOLS = frozenset(spec.pool for spec in SERVICES.values())


def _stopped(case: Case) -> Iterator[Seen]:
    for server in case.facts.servers:
        pools = server.live.pools.items()
        stopped = sorted(pool for pool, state in pools if pool in _NEEDED_POOLS and state != "Started")
        yield from seen_if(stopped, server.server, pools=", ".join(stopped))


def _two_leaves(server: ServerFacts) -> bool:
    bound = [b for b in server.bindings if b.site == FRONT_END_SITE and b.protocol == "https" and b.port == HTTPS_PORT]
    return len({b.thumbprint for b in bound}) > 1


def _server_problems(case: Case) -> Iterator[Seen]:
    for server in case.facts.servers:
        for problem in server.problems:
            yield Seen((server.server,), {"what_is_wrong": problem})


SETUP_AT_WORK = Rule(
    id="setup-at-work",
    about="farm",
    condition="Exchange's set-up is running on a server, or was left half done.",
    verdict="must not",
    applies=lambda case: seen_on(case.servers(lambda s: s.setup_running or s.setup_incomplete)),
    reason="Exchange set-up is running or was left half done.",
    remedy="Let set-up finish (run it again where it failed), then plan anew.",
    source=OURS,
)
NOT_ADMINISTRATOR = Rule(
    id="not-administrator",
    about="farm",
    condition="The account is no local administrator of a server.",
    verdict="must not",
    applies=lambda case: seen_on(case.servers(lambda s: not s.administrator)),
    reason="The account is no local administrator there; IIS cannot be changed.",
    remedy="Put the account into the local Administrators group of these servers.",
    source=OURS,
)
MISSING_CMDLETS = Rule(
    id="missing-cmdlets",
    about="farm",
    condition="The account's Exchange roles do not offer a cmdlet that lbsync uses.",
    verdict="recommended",
    applies=lambda case: seen_if(case.facts.farm.missing_cmdlets, cmdlets=", ".join(case.facts.farm.missing_cmdlets)),
    reason="The account's Exchange roles lack {cmdlets}.",
    remedy="Assign Organization Management, or a role group with these cmdlets.",
    source="Get-Command in the account's own Exchange session",
)
BEFORE_2013_SP1 = Rule(
    id="before-2013-sp1",
    about="farm",
    condition="A server runs Exchange 2013 without Service Pack 1.",
    verdict="must not",
    applies=lambda case: seen_on(tuple(name for name, build in case.versions.items() if build < EXCHANGE_2013_SP1)),
    reason="Exchange 2013 before Service Pack 1 is not supported.",
    remedy="Install a current cumulative update.",
    source=OFFLOADING,
)
POOL_STOPPED = Rule(
    id="pool-stopped",
    about="farm",
    condition="An application pool of a service is not started: it could not become healthy after a recycle.",
    verdict="must not",
    applies=_stopped,
    reason="Application pools are not started: {pools}.",
    remedy="Start them and find out why they stopped.",
    source=OURS,
)
LOOPBACK_BINDING = Rule(
    id="loopback-binding",
    about="farm",
    condition="The https bindings of the front end (all addresses, 127.0.0.1) hold different certificates.",
    verdict="recommended",
    applies=lambda case: seen_on(case.servers(_two_leaves)),
    reason=f"The https bindings of {FRONT_END_SITE} (all addresses, 127.0.0.1) hold different certificates.",
    remedy="Bind the same certificate to both; Enable-ExchangeCertificate -Services IIS does.",
    source="Get-WebBinding of an Exchange 2019 server; Exchange talks to itself over 127.0.0.1:443",
)
SERVER_PROBLEM = Rule(
    id="server-problem",
    about="farm",
    condition="Something on a server could not be read, or two sources contradict each other.",
    verdict="recommended",
    applies=_server_problems,
    reason="{what_is_wrong}",
    source="what was read on the server",
)
DIRECTORY_PROBLEM = Rule(
    id="directory-problem",
    about="farm",
    condition="Something in Active Directory could not be read.",
    verdict="recommended",
    applies=lambda case: (Seen(("directory",), {"what_is_wrong": problem}) for problem in case.facts.farm.problems),
    reason="{what_is_wrong}",
    source="what was read in Active Directory",
)

RULES = (
    SETUP_AT_WORK,
    NOT_ADMINISTRATOR,
    MISSING_CMDLETS,
    BEFORE_2013_SP1,
    POOL_STOPPED,
    LOOPBACK_BINDING,
    SERVER_PROBLEM,
    DIRECTORY_PROBLEM,
)
