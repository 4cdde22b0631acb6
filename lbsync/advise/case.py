"""The case a rule is asked to judge, and how it asks which servers show something.

Rule of this room: reading aids over frozen values; no rule stands here. What every service would ask of every server again is
found once and kept: farms have hundreds of servers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from lbsync.advise.offers import Offer, offers
from lbsync.desired import Desired, FactSet
from lbsync.facts import ServerFacts, StoredCertificate, TokenChecking, VdirFacts
from lbsync.model import Mode
from lbsync.services import SERVICES, Service
from lbsync.target import Capabilities

EXCHANGE_2016 = (15, 1)
EXCHANGE_2013_SP1 = (15, 0, 847)
PROTECTED_BY_SETUP = (15, 2, 1544, 4)
"""Set-up turns Extended Protection on from 2019 CU14 on, unless it is told /DoNotEnableEP.

Source: Microsoft, Configure Windows Extended Protection in Exchange Server.
"""


@dataclass(frozen=True, eq=False)
class Case:
    """Everything a rule may look at."""

    desired: Desired
    facts: FactSet
    capabilities: Mapping[str, Capabilities]
    now: datetime

    def servers(self, holds: Callable[[ServerFacts], bool]) -> tuple[str, ...]:
        """Names of the servers of which something holds, in configured order."""
        return tuple(server.server for server in self.facts.servers if holds(server))

    def vdirs(self, service: Service) -> tuple[tuple[ServerFacts, VdirFacts], ...]:
        """The service's location on each server that has it."""
        return self._vdirs[service]

    @cached_property
    def _vdirs(self) -> dict[Service, tuple[tuple[ServerFacts, VdirFacts], ...]]:
        found: dict[Service, list[tuple[ServerFacts, VdirFacts]]] = {service: [] for service in Service}
        for server in self.facts.servers:
            carried: dict[Service, VdirFacts] = {}
            for vdir in server.vdirs:
                for service in vdir.services:
                    carried.setdefault(service, vdir)
            for service, vdir in carried.items():
                found[service].append((server, vdir))
        return {service: tuple(pairs) for service, pairs in found.items()}

    @cached_property
    def protected(self) -> dict[str, tuple[VdirFacts, ...]]:
        """By server: its locations under Extended Protection; only servers that have any."""
        found = {server.server: tuple(filter(protected, server.vdirs)) for server in self.facts.servers}
        return {server: vdirs for server, vdirs in found.items() if vdirs}

    @cached_property
    def leaves(self) -> dict[str, StoredCertificate | None]:
        """By server: the certificate on IIS 443 of the front end."""
        return {server.server: server.front_end_leaf for server in self.facts.servers}

    @cached_property
    def versions(self) -> dict[str, tuple[int, ...]]:
        """By server: the cumulative update as numbers."""
        return {server.server: version_of(server) for server in self.facts.servers}

    @cached_property
    def offers(self) -> Mapping[Service, tuple[Offer | None, Offer | None]]:
        """By service: what logs on by connection at its location, and below it."""
        return offers(self.facts, self._vdirs, self.desired.outlook_anywhere.iis_authentication or (), self.mrsproxy)

    @cached_property
    def mrsproxy(self) -> bool | None:
        """Whether MRSProxy is enabled on every member (true) or on none (false); ``None`` where nobody knows."""
        return self.facts.farm.mrsproxy_of(server.server for server in self.facts.servers)

    @cached_property
    def wanted(self) -> frozenset[Mode]:
        """The modes wanted of all services that may be in either."""
        return frozenset(mode for service, mode in self.desired.modes.items() if SERVICES[service].offloadable)


def version_of(server: ServerFacts) -> tuple[int, ...]:
    """The cumulative update as numbers: 15.2.986.5 is (15, 2, 986, 5)."""
    return tuple(int(part) for part in server.version.split("."))


def protected(vdir: VdirFacts) -> bool:
    """True when Extended Protection is on: Allow counts, since clients that send a binding are held to it."""
    return vdir.token_checking is not TokenChecking.NONE
