"""A rule as data: what it is about, when it holds, what follows, why, who says so, and what to do.

Rule of this room: a finding is made here and nowhere else, from a rule's own words and what its condition saw. Whatever is
said alike of several servers is said once, with all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from lbsync.advice import Finding, Severity, Word
from lbsync.advise.case import Case
from lbsync.facts import ServerFacts, VdirFacts
from lbsync.model import Mode
from lbsync.services import Service

About = Literal["farm", "certificate", "balancer", "offload", "bridge", "either mode", "rotation"]
"""The farm as a whole, its certificate, its balancers; a service in one mode, or in whichever; a rotation of the certificate."""

SEVERITIES: Final[Mapping[Word, Severity]] = MappingProxyType(
    {"must not": "refuse", "must": "refuse", "recommended": "warn", "fine": "info"}
)

OFFLOADING: Final = "Microsoft: Configuring SSL offloading in Exchange 2013"
EXTENDED_PROTECTION: Final = "Microsoft: Configure Windows Extended Protection in Exchange Server"
CAPTURED: Final = "applicationHost.config of Exchange 2013, 2016 and 2019 servers"
CONFIGURED: Final = "your configuration"
OURS: Final = "lbsync's own caution"
PROVIDER: Final = "the balancer's provider"


@dataclass(frozen=True, slots=True)
class Seen:
    """A condition that holds: on which servers, balancers or in the directory, and what fills in the rule's sentences."""

    where: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Asked:
    """One service in one mode."""

    case: Case
    service: Service
    mode: Mode

    @property
    def vdirs(self) -> tuple[tuple[ServerFacts, VdirFacts], ...]:
        """The service's location on each server that has it."""
        return self.case.vdirs(self.service)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What every rule says. ``condition`` is one plain sentence for the page.

    ``reason`` and ``remedy`` are templates (``str.format``) that a ``Seen`` fills in.
    """

    id: str
    about: About
    condition: str
    verdict: Word
    reason: str
    remedy: str = ""
    source: str

    def tell(self, found: Iterable[Seen]) -> tuple[Finding, ...]:
        """One finding for each different thing to say, with everything it was seen on, in order."""
        told: dict[tuple[str, str], dict[str, None]] = {}
        for seen in found:
            words = (self.reason.format_map(seen.values), self.remedy.format_map(seen.values))
            told.setdefault(words, {}).update(dict.fromkeys(seen.where))
        return tuple(
            Finding(
                rule=self.id,
                severity=SEVERITIES[self.verdict],
                reason=reason,
                remedy=remedy,
                source=self.source,
                where=tuple(where),
            )
            for (reason, remedy), where in told.items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(_Words):
    """One that holds for the farm, or for all services alike: it is asked once."""

    applies: Callable[[Case], Iterable[Seen]]

    def findings(self, case: Case) -> tuple[Finding, ...]:
        """What it says of this farm."""
        return self.tell(self.applies(case))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRule(_Words):
    """One that is asked of each service anew."""

    applies: Callable[[Asked], Iterable[Seen]]

    def findings(self, asked: Asked) -> tuple[Finding, ...]:
        """What it says of this service in this mode."""
        return self.tell(self.applies(asked))


AnyRule = Rule | ServiceRule


def seen_if(holds: object, *where: str, **values: str) -> tuple[Seen, ...]:
    """One thing seen where ``holds`` is true (or not empty), else nothing."""
    return (Seen(where, values),) if holds else ()


def seen_on(where: tuple[str, ...], **values: str) -> tuple[Seen, ...]:
    """One thing seen on all of ``where``; nothing where that is empty."""
    return seen_if(where, *where, **values)
