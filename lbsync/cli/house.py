"""A farm with everything opened: what is seen there, what is wanted, and what a run may act on.

Rule of this file: it asks and hands on, and decides nothing about the farm; ``wiring`` opens and closes it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import SecretStr

from lbsync.cli.command import Session
from lbsync.cli.leaf import find_leaf
from lbsync.config import Config, Leaf, Loaded, desired
from lbsync.config.sections import BalancerSection
from lbsync.desired import Desired, FactSet
from lbsync.dropped import DropSource
from lbsync.engine import Site
from lbsync.errors import LbsyncError, TargetError
from lbsync.exchange.farm import FarmTarget
from lbsync.exchange.server import ServerTarget
from lbsync.exchange.session import SessionPool
from lbsync.exchange.tier import ExchangeTier
from lbsync.facts import BalancerFacts, Facts, FarmFacts, ServerFacts
from lbsync.materials import FarmSource, FileSource, Materials, Source, told
from lbsync.model import Plan
from lbsync.probe import Listener, Prober
from lbsync.secrets import resolve
from lbsync.services import ALL_SERVICES, HTTPS_PORT
from lbsync.target import Capabilities, Provider, Target
from lbsync_certs import CertificateProblem, Fingerprint

if TYPE_CHECKING:
    from cryptography import x509

    from lbsync.uses import CertificateUses
    from lbsync_certs import Bundle, Thumbprint

DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class Look:
    """One look at everything: what is wanted, what was seen, when."""

    desired: Desired
    facts: FactSet
    now: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """What answered, and the errors of those that did not; ``silent``: the balancers among these, by name."""

    servers: tuple[ServerFacts, ...]
    farm: FarmFacts
    balancers: tuple[BalancerFacts, ...]
    errors: tuple[LbsyncError, ...]
    silent: Mapping[str, LbsyncError] = field(default_factory=dict[str, LbsyncError])
    calls: Mapping[str, float] = field(default_factory=dict[str, float])
    """By target: how long reading it took, in seconds."""


class House:
    """Everything opened for one farm. Made by ``wiring.open_house``."""

    def __init__(
        self,
        *,
        loaded: Loaded,
        screen: Session,
        servers: Mapping[str, ServerTarget],
        directory: FarmTarget,
        balancers: Mapping[str, Provider],
        pools: Mapping[str, SessionPool],
        tier: ExchangeTier,
    ) -> None:
        self.loaded = loaded
        self.config: Config = loaded.config
        self._screen = screen
        self._servers = servers
        self._directory = directory
        self._balancers = balancers
        self._pools = pools
        self._tier = tier
        self._seen: tuple[ServerFacts, ...] | None = None

    @property
    def targets(self) -> dict[str, Target]:
        """Every target by its name in plans."""
        return {**self._servers, **self._balancers, self._directory.name: self._directory}

    @property
    def capabilities(self) -> dict[str, Capabilities]:
        """What each balancer can do."""
        return {name: balancer.capabilities for name, balancer in self._balancers.items()}

    @property
    def balancers(self) -> Mapping[str, Provider]:
        """Every balancer by its name."""
        return self._balancers

    @property
    def materials(self) -> Materials:
        """Where certificates come from."""
        sources: list[Source] = []
        if self.config.certificate.source == "file":
            sources.append(self._file())
        sources.append(FarmSource(self._stores, self._export))
        if self.config.certificate.renewals:
            sources.append(self.dropped)
        return Materials(sources)

    @property
    def dropped(self) -> DropSource:
        """Where renewed certificates appear as files."""
        section = self.config.certificate
        reference = section.renewals_password
        return DropSource(
            tuple(str(self.loaded.path(place)) for place in section.renewals),
            lambda: self.secret(reference) if reference is not None else None,
        )

    @property
    def file_fingerprint(self) -> Fingerprint | None:
        """The leaf of ``certificate.file``, ``None`` without one. Raises CertificateError, SecretError."""
        return self._file().read().fingerprint if self.config.certificate.source == "file" else None

    @property
    def trusted_roots(self) -> tuple[x509.Certificate, ...]:
        """Against which balancers verify what IIS serves; empty for none. Raises CertificateError."""
        from lbsync_certs.pem import certificates

        ca_file = self.config.publish.server_ca_file
        if ca_file is None:
            return ()
        try:
            return certificates(self.loaded.path(ca_file).read_bytes())
        except CertificateProblem as problem:
            raise told(problem, ca_file) from None

    @property
    def client_ca_pem(self) -> str | None:
        """The CAs that clients trust, as text; ``None`` for those of this system."""
        publish = self.config.publish
        ca_file = publish.client_ca_file
        if ca_file is None and self.config.certificate.source == "server":
            ca_file = publish.server_ca_file  # what is published then is the servers' own leaf, signed by their CA
        return self.loaded.path(ca_file).read_text(encoding="utf-8") if ca_file is not None else None

    @property
    def prober(self) -> Prober:
        """The view from outside."""
        return Prober(
            listeners(self.config, self.capabilities),
            self.config.publish.hosts,
            self.client_ca_pem,
            ALL_SERVICES,
            timeout_s=self.config.limits.connect_timeout_s,
        )

    def site(self) -> Site:
        """Everything a run may act on or ask."""
        prober = self.prober
        return Site(targets=self.targets, materials=self.materials, checkers={prober.name: prober})

    def see(self) -> Seen:
        """Observe everything at once; what does not answer becomes an error and stops nothing. Raises Denied."""
        with self._screen.busy(f"reading {len(self._servers)} servers and {len(self._balancers)} balancers"):
            return self._see()

    def _see(self) -> Seen:
        from lbsync.exchange.fanout import fan_out
        from lbsync.exchange.observe import observe_all

        parallel = self.config.limits.parallel
        exchange = observe_all(list(self._servers.values()), self._directory, parallel=parallel)
        self._seen = exchange.servers
        calls = dict(exchange.calls)

        def observe(name: str) -> Facts:
            began = time.monotonic()
            try:
                return self._balancers[name].observe(ALL_SERVICES)
            finally:
                calls[name] = round(time.monotonic() - began, 3)

        looked = fan_out(list(self._balancers), observe, parallel=parallel)
        silent = {name: one.error for name, one in zip(self._balancers, looked, strict=True) if one.error is not None}
        return Seen(
            servers=exchange.servers,
            farm=exchange.farm,
            balancers=tuple(one.answer for one in looked if isinstance(one.answer, BalancerFacts)),
            errors=(*exchange.errors, *silent.values()),
            silent=silent,
            calls=calls,
        )

    def look(self) -> Look:
        """Observe everything. Raises TargetError where anything did not answer: half a farm is never judged."""
        return self.judged(self.see())

    def judged(self, seen: Seen) -> Look:
        """What was seen beside what is wanted. Raises TargetError where anything did not answer."""
        if seen.errors:
            raise together(seen.errors)
        now = datetime.now(UTC)
        facts = FactSet(servers=seen.servers, farm=seen.farm, balancers=seen.balancers)
        return Look(desired(self.config, self.leaf(seen.servers, now)), facts, now)

    def leaf(self, servers: Iterable[ServerFacts], now: datetime) -> Leaf:
        """The certificate to serve. Raises CertificateError, SecretError where a file cannot be opened."""
        return find_leaf(self.config, tuple(servers), lambda: self._file().read(), now)

    def plan(self, look: Look) -> Plan:
        """The plan, with what the ledger tells of the time before. Raises UnsafeChange, UnsupportedMode."""
        from lbsync.cli.listing import remembered
        from lbsync.difference import gives_back
        from lbsync.plan import build

        desired = look.desired
        if gives_back(desired, look.facts):
            desired = desired.model_copy(update={"remembered": remembered(self._screen, desired.farm)})
        return build(desired, look.facts, self.targets, self.capabilities, look.now)

    def secret(self, reference: str) -> SecretStr:
        """Resolve a reference of the configuration; hidden everywhere from then on. Raises SecretError."""
        return self._screen.redactor.remember(reference, resolve(reference, base=self.loaded.base))

    def request_certificate(self, server: str) -> tuple[str, bool]:
        """A certificate request for the published hosts on a server: PKCS#10 as PEM, and whether it was pending before.

        The same hosts find the same pending request again. Raises TargetError, ConfigError.
        """
        from lbsync.exchange.certificates import request

        hosts = self.config.publish.hosts
        name = uuid.uuid5(uuid.NAMESPACE_DNS, " ".join((self.config.farm.name, *hosts)))
        pem, _, already = request(
            self._pools[server],
            tier=self._tier,
            subject=f"CN={hosts[0]}",
            domains=hosts,
            friendly_name=f"lbsync-{name}",
        )
        return pem, already

    def complete(self, answer: bytes) -> tuple[str, Thumbprint, bool]:
        """Give a CA's answer to the server whose request it is: its name, the thumbprint, and whether it was there already.

        What was seen before is forgotten. Raises CertificateError for an answer that cannot be used, TargetError.
        """
        from lbsync.exchange.completing import complete_request, request_holder

        hosts = self.config.publish.hosts
        name = request_holder(tuple(self._pools.values()), answer, parallel=self.config.limits.parallel)
        thumbprint, already = complete_request(self._pools[name], answer, tier=self._tier, hosts=hosts)
        self._seen = None
        return name, thumbprint, already

    def certificate_uses(self) -> CertificateUses:
        """Who uses which certificate, as Exchange and every server tell. Raises TargetError."""
        from lbsync.exchange.retiring import read_uses

        through = self.config.farm.directory_server or self.config.servers[0].name
        with self._screen.busy("asking who uses which certificate"):
            return read_uses(self._pools, through=through, tier=self._tier, parallel=self.config.limits.parallel)

    def _file(self) -> FileSource:
        section = self.config.certificate
        reference = section.password
        return FileSource(
            self.loaded.path(section.file or ""),
            lambda: self.secret(reference) if reference is not None else None,
        )

    def _stores(self) -> tuple[ServerFacts, ...]:
        """What the servers hold: as seen in this process, else seen now."""
        if self._seen is None:
            found = self._see()
            if found.errors and not found.servers:
                raise found.errors[0]
        return self._seen or ()

    def _export(self, server: str, thumbprint: Thumbprint) -> Bundle:
        from lbsync.exchange.certificates import export

        return export(self._pools[server], thumbprint, tier=self._tier)


def listeners(config: Config, capabilities: Mapping[str, Capabilities]) -> tuple[Listener, ...]:
    """Where clients reach each balancer, and what it makes of what they ask; ``capabilities`` is by balancer name."""
    return tuple(_listener(one, capabilities[one.name]) for one in config.balancers)


def _listener(one: BalancerSection, able: Capabilities) -> Listener:
    apart = (able.mrsproxy_address, able.mrsproxy_port or HTTPS_PORT) if able.mrsproxy_address is not None else None
    return Listener(
        balancer=one.name,
        address=one.listen.address,
        https_port=one.listen.https_port,
        http_port=one.listen.http_port,
        filters_paths=able.filters_paths,
        per_path_modes=able.per_path_modes,
        answers_unknown=able.answers_unknown,
        mrsproxy_host=able.mrsproxy_host,
        mrsproxy=apart,
    )


def together(errors: Sequence[LbsyncError]) -> LbsyncError:
    """One error that tells several, each once, so that none is found only by trying again."""
    told = list(dict.fromkeys(f"{error.where}: {error.message}" if error.where else error.message for error in errors))
    first = errors[0]
    if len(told) == 1:
        return first
    remedies = dict.fromkeys(error.remedy for error in errors if error.remedy)
    return TargetError(
        f"{len(told)} could not be asked: {'; '.join(told)}",
        state="nothing was changed",
        remedy="; ".join(remedies),
        code=first.code,
    )
