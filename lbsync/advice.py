"""What the adviser says: findings and verdicts, as values.

Rule of this room: a finding carries its reason, its remedy and its source; whoever prints it adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from lbsync.model import Mode, Value
from lbsync.services import Service

Severity = Literal["refuse", "warn", "info"]

Word = Literal["must not", "must", "recommended", "fine"]
"""Of a rule, as long as it holds. Must not: refused. Must: refused too, and the other mode is the way. Recommended: allowed, and
what its remedy says is recommended. Fine: told so that it is known."""


class Finding(Value):
    """One rule that applies. ``refuse`` blocks the plan; ``where`` lists servers or balancers it was seen on."""

    rule: str
    severity: Severity
    reason: str
    remedy: str = ""
    source: str = ""
    where: tuple[str, ...] = ()


class Judgement(Value):
    """One mode of a service: ``must not`` be had, ``must`` be had, ``recommended`` or ``fine``; and the rules behind that."""

    mode: Mode
    word: Word
    rules: tuple[str, ...] = ()


class ServerGroup(Value):
    """Servers that are alike in one service: whether they take plain HTTP as IIS is set now, and what either mode is there.

    ``plain_http`` is ``None`` where they lack the virtual directory, and for MRSProxy, which is on TLS always.
    """

    servers: tuple[str, ...]
    plain_http: bool | None
    judgements: tuple[Judgement, ...]


class Verdict(Value):
    """One service: the mode wanted, those possible now, the one recommended, and why.

    ``judgements`` has each mode; ``groups`` is empty where all servers are alike.
    """

    service: Service
    wanted: Mode
    possible: tuple[Mode, ...]
    recommended: Mode
    findings: tuple[Finding, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    groups: tuple[ServerGroup, ...] = ()

    @property
    def refused(self) -> bool:
        """True when the wanted mode must not be applied."""
        return any(finding.severity == "refuse" for finding in self.findings)


class Advice(Value):
    """The whole answer: what holds for the farm, and a verdict per service."""

    farm: tuple[Finding, ...]
    services: tuple[Verdict, ...]

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """Every finding that blocks a plan, farm first, each once."""
        found = [f for f in self.farm if f.severity == "refuse"]
        found += [f for verdict in self.services for f in verdict.findings if f.severity == "refuse"]
        return tuple(dict.fromkeys(found))

    @property
    def corrections(self) -> dict[Service, Mode]:
        """The mode to want instead, for each service whose wanted mode is refused and whose recommended one is possible."""
        return {
            verdict.service: verdict.recommended
            for verdict in self.services
            if verdict.refused and verdict.recommended in verdict.possible
        }


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names for a sentence: all of a few, else the first ones and how many more."""
    every = tuple(names)
    if len(every) <= most:
        return ", ".join(every)
    return f"{', '.join(every[: most - 1])} and {len(every) - most + 1} more"
