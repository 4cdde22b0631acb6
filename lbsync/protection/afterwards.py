"""What comes after a farm is ready: the exact commands of Microsoft's script, and what to watch for.

Rule of this file: words for a person; the commands are written as the script's page has them and were never run by us [u].
"""

from __future__ import annotations

from collections.abc import Sequence

from lbsync.facts import ServerFacts, TokenChecking

_SCRIPT = r".\ExchangeExtendedProtectionManagement.ps1"

_TRY = (
    "Try Outlook itself (MAPI, Outlook Anywhere) through every balancer, then a phone and OWA: with a wrong certificate OWA's "
    "form goes on working while Outlook asks for passwords without end."
)
_WAY_BACK = (
    f'The way back: {_SCRIPT} -RollbackType "RestoreConfiguration" [u]. No lbsync rollback to offloading before Extended '
    "Protection is off again."
)
WATCH_FOR = (
    _TRY,
    "lbsync check shows where Extended Protection is on; lbsync advise refuses offloading from then on.",
    "Renew the certificate by lbsync rotate only: it goes half by half then. Bound by hand on one server it locks Outlook out.",
    _WAY_BACK,
)


def commands(servers: Sequence[ServerFacts]) -> tuple[str, ...]:
    """What to run next, in order, in an elevated Exchange Management Shell: the script's own check, then the script.

    Source: Microsoft CSS-Exchange, ExchangeExtendedProtectionManagement.
    """
    names = ",".join(server.server for server in servers)
    return (
        f"{_SCRIPT} -PrerequisitesCheckOnly -ExchangeServerNames {names}",
        f"{_SCRIPT} -ExchangeServerNames {names}",
    )


def already_on(servers: Sequence[ServerFacts]) -> tuple[str, ...]:
    """Names of the servers on which Extended Protection is on somewhere already."""
    return tuple(
        server.server
        for server in servers
        if any(vdir.token_checking is not TokenChecking.NONE for vdir in server.vdirs)
    )
