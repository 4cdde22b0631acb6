"""What the adviser says: findings and verdicts, as values.

Rule of this room: a finding carries its reason, its remedy and its source; whoever prints it adds nothing.
"""

from __future__ import annotations

from typing import Literal

from lbsync.model import Mode, Value
from lbsync.services import Service

Severity = Literal["refuse", "warn", "info"]


class Finding(Value):
    """One rule that applies. ``refuse`` blocks the plan; ``where`` lists servers or balancers it was seen on."""

    rule: str
    severity: Severity
    reason: str
    remedy: str = ""
    source: str = ""
    where: tuple[str, ...] = ()


class Verdict(Value):
    """One service: the mode wanted, those possible now, the one recommended, and why."""

    service: Service
    wanted: Mode
    possible: tuple[Mode, ...]
    recommended: Mode
    findings: tuple[Finding, ...] = ()

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
