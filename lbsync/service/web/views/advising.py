"""Advice: a verdict per service, and each distinct reason once.

Rule of this file: pure; a finding carries its own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from lbsync.advice import Advice, Finding
from lbsync.service.web.views.words import SERVICES, Sign

_SEVERITIES = {
    "refuse": Sign("bad", "✗", "refuses"),
    "warn": Sign("warn", "!", "warns"),
    "info": Sign("unk", "i", "tells"),
}


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One service."""

    service: str
    wanted: str
    refused: bool
    possible: str
    recommended: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """A finding once, with the services that it is about; none: the whole farm."""

    finding: Finding
    sign: Sign
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdviceView:
    """The whole answer."""

    rows: tuple[VerdictRow, ...]
    reasons: tuple[Reason, ...]


def advice_view(document: Mapping[str, JsonValue]) -> AdviceView | None:
    """Advice as ``lbsync advise --json`` prints it; None where it is none that this version knows."""
    try:
        advice = Advice.model_validate({key: value for key, value in document.items() if key in Advice.model_fields})
    except ValidationError:
        return None
    found: dict[Finding, list[str]] = {finding: [] for finding in advice.farm}
    for verdict in advice.services:
        for finding in verdict.findings:
            found.setdefault(finding, []).append(SERVICES[verdict.service])
    order = tuple(_SEVERITIES)
    reasons = [Reason(finding, _SEVERITIES[finding.severity], tuple(names)) for finding, names in found.items()]
    return AdviceView(
        rows=tuple(
            VerdictRow(
                service=SERVICES[verdict.service],
                wanted=verdict.wanted.value,
                refused=verdict.refused,
                possible=", ".join(mode.value for mode in verdict.possible) or "none",
                recommended=verdict.recommended.value,
                rules=tuple(dict.fromkeys(finding.rule for finding in verdict.findings)),
            )
            for verdict in advice.services
        ),
        reasons=tuple(sorted(reasons, key=lambda reason: order.index(reason.finding.severity))),
    )
