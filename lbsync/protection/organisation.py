"""Demands that lbsync reads nothing of: how to look by hand, before the script is run.

Rule of this file: nothing here decides by itself; where what was seen settles a question it says so, else it says how to look.
"""

from __future__ import annotations

from lbsync.desired import FactSet
from lbsync.protection.demand import LEARN, SCRIPT, Demand
from lbsync.protection.servers import build_of

_NO_HIERARCHY = ((15, 1, 2375), (15, 2, 986))
"""2016 CU22 and 2019 CU11: no public folder hierarchy there (Microsoft's table in the page on Extended Protection)."""


def demands(facts: FactSet) -> tuple[Demand, ...]:
    """What to look at by hand."""
    return (_tls(), _others(), _public_folders(facts), _modern_hybrid(facts), _archiving(), _ntlm_v1())


def _by_hand(name: str, question: str, remedy: str, *, reason: str = "", source: str = LEARN) -> Demand:
    return Demand(
        id=name,
        question=question,
        state="not known",
        seen_by="you",
        decides=False,
        reason=reason or "lbsync does not read it.",
        remedy=remedy,
        source=source,
    )


def _tls() -> Demand:
    return _by_hand(
        "tls",
        "TLS versions are the same on every server, SchUseStrongCrypto and SystemDefaultTlsVersions are 1, and the balancers "
        "speak such a version to clients and servers",
        "The script's -PrerequisitesCheckOnly compares the servers and refuses where they differ; at the balancers look at "
        "their own TLS settings.",
        source=f"{SCRIPT}; {LEARN}",
    )


def _others() -> Demand:
    return _by_hand(
        "other-servers",
        "Exchange servers that are not in this configuration have such a build and such TLS settings too",
        "Get-ExchangeServer; all servers of the organisation count.",
    )


def _public_folders(facts: FactSet) -> Demand:
    question = "no public folders on Exchange 2013 next to later versions, no hierarchy on 2016 CU22 or 2019 CU11"
    told = [(server.server, build_of(server)) for server in facts.servers]
    where = [name for name, build in told if build is None or build[:2] == (15, 0) or build[:3] in _NO_HIERARCHY]
    if not where:
        return Demand(
            id="public-folders",
            question=question,
            state="met",
            decides=False,
            reason="None of the servers configured here runs such a version.",
        )
    return _by_hand(
        "public-folders",
        question,
        "Get-Mailbox -PublicFolder | Format-Table Name, ServerName, IsRootPublicFolderMailbox; move them to 2016 CU23, 2019 "
        "CU12 or later first. [u]",
        reason=f"Such a version runs on {', '.join(where)}, and lbsync reads no public folders.",
    )


def _modern_hybrid(facts: FactSet) -> Demand:
    question = "no server is published by the Hybrid Agent (modern hybrid)"
    if facts.farm.read and not facts.farm.oauth.hybrid_configuration:
        return Demand(
            id="modern-hybrid",
            question=question,
            state="met",
            decides=False,
            reason="There is no hybrid configuration.",
        )
    return _by_hand(
        "modern-hybrid",
        question,
        "Get-HybridApplication where the agent runs; leave these servers out with -SkipExchangeServerNames.",
    )


def _archiving() -> Demand:
    return _by_hand(
        "archiving",
        "no retention tag moves mail to archives by itself",
        "Get-RetentionPolicyTag; where one has MoveToArchive, give the script -RestrictType EWSBackend and -IPRangeFilePath. [u]",
    )


def _ntlm_v1() -> Demand:
    return _by_hand(
        "ntlmv1",
        "clients and servers speak NTLMv2",
        r"LmCompatibilityLevel below HKLM\SYSTEM\CurrentControlSet\Control\Lsa: absent, or 3 and more (5 is best); else Outlook "
        "asks for passwords without end.",
    )
