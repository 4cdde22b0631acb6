"""The case a rule is asked to judge, and how it asks which servers show something.

Rule of this room: reading aids over frozen values; no rule stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from lbsync.advice import Finding
from lbsync.desired import Desired, FactSet
from lbsync.facts import ServerFacts, TokenChecking, VdirFacts
from lbsync.services import Service
from lbsync.target import Capabilities

EXCHANGE_2016 = (15, 1)
EXCHANGE_2013_SP1 = (15, 0, 847)


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a rule may look at."""

    desired: Desired
    facts: FactSet
    capabilities: dict[str, Capabilities]
    now: datetime

    def servers(self, holds: Callable[[ServerFacts], bool]) -> tuple[str, ...]:
        """Names of the servers of which something holds, in configured order."""
        return tuple(server.server for server in self.facts.servers if holds(server))

    def vdirs(self, service: Service) -> Iterable[tuple[ServerFacts, VdirFacts]]:
        """The service's location on each server that has it."""
        for server in self.facts.servers:
            vdir = server.vdir(service)
            if vdir is not None:
                yield server, vdir

    @property
    def mrsproxy(self) -> bool | None:
        """Whether MRSProxy is enabled on every member (true) or on none (false); ``None`` where nobody knows."""
        return self.facts.farm.mrsproxy_of(server.server for server in self.facts.servers)


FarmRule = Callable[[Case], Iterable[Finding]]
ServiceRule = Callable[[Case, Service], Iterable[Finding]]


def version_of(server: ServerFacts) -> tuple[int, ...]:
    """The cumulative update as numbers: 15.2.986.5 is (15, 2, 986, 5)."""
    return tuple(int(part) for part in server.version.split("."))


def protected(vdir: VdirFacts) -> bool:
    """True when Extended Protection is on: Allow counts, since clients that send a binding are held to it."""
    return vdir.token_checking is not TokenChecking.NONE
