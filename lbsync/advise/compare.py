"""What changes between two judgements of one farm: modes that become possible or not, reasons that appear or vanish.

Rule of this room: pure; a reason is the same where all of its words are.
"""

from __future__ import annotations

from collections.abc import Mapping

from lbsync.advice import Finding
from lbsync.model import Mode, Value
from lbsync.services import Service

Reasons = Mapping[tuple[Service, Mode], tuple[Finding, ...]]


class VerdictChange(Value):
    """One service in one mode: whether it was possible and would be, and the reasons that come and go."""

    service: Service
    mode: Mode
    wanted: bool
    before: bool
    after: bool
    appear: tuple[Finding, ...]
    vanish: tuple[Finding, ...]


class Comparison(Value):
    """All that would change; the farm's own reasons apart, since they are of no service."""

    appear: tuple[Finding, ...]
    vanish: tuple[Finding, ...]
    verdicts: tuple[VerdictChange, ...]

    @property
    def empty(self) -> bool:
        """True where nothing would change."""
        return not (self.appear or self.vanish or self.verdicts)

    @property
    def appearing(self) -> tuple[Finding, ...]:
        """Every reason that would appear, each once."""
        return tuple(dict.fromkeys([*self.appear, *(one for change in self.verdicts for one in change.appear)]))

    @property
    def vanishing(self) -> tuple[Finding, ...]:
        """Every reason that would vanish, each once."""
        return tuple(dict.fromkeys([*self.vanish, *(one for change in self.verdicts for one in change.vanish)]))


def compare(
    wanted: Mapping[Service, Mode],
    before: tuple[tuple[Finding, ...], Reasons],
    after: tuple[tuple[Finding, ...], Reasons],
) -> Comparison:
    """Two judgements, each the farm's findings and the reasons of every service and mode, as ``advise`` and ``reasons`` give."""
    verdicts = tuple(
        change
        for (service, mode), was in before[1].items()
        if was != (will := after[1][service, mode])
        and _tells(change := _change(service, mode, was, will, wanted=wanted[service] is mode))
    )
    return Comparison(
        appear=_without(after[0], before[0]),
        vanish=_without(before[0], after[0]),
        verdicts=verdicts,
    )


def _change(
    service: Service, mode: Mode, was: tuple[Finding, ...], will: tuple[Finding, ...], *, wanted: bool
) -> VerdictChange:
    return VerdictChange(
        service=service,
        mode=mode,
        wanted=wanted,
        before=_possible(was),
        after=_possible(will),
        appear=_without(will, was),
        vanish=_without(was, will),
    )


def _tells(change: VerdictChange) -> bool:
    """One reason more against what is refused anyhow and wanted by nobody tells nothing: MRSProxy is never offloaded."""
    return change.wanted or change.before or change.after


def _possible(findings: tuple[Finding, ...]) -> bool:
    return not any(finding.severity == "refuse" for finding in findings)


def _without(findings: tuple[Finding, ...], others: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding not in others)
