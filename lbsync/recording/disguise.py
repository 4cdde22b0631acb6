"""A recording under pseudonyms: every field by what it is, free text at the end, when all names are known.

Rule of this file: verdicts stay the same, since equal things stay equal; whatever no rule looks at may be coarser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from lbsync.desired import Desired, FactSet
from lbsync.facts import (
    BalancerFacts,
    BindingFacts,
    FarmFacts,
    OutlookAnywhereFacts,
    ServerFacts,
    StoredCertificate,
    VdirFacts,
)
from lbsync.recording.document import Recording, certificates
from lbsync.recording.pseudonyms import Pseudonyms
from lbsync.recording.wishes import IN_WORDS, hidden_wish, wish_hosts, wish_others
from lbsync.recording.words import Words
from lbsync.services import BACK_END_SITE, FRONT_END_SITE, SERVICES
from lbsync.target import Capabilities
from lbsync_certs import CertificateInfo, Fingerprint, Thumbprint

_PLACES = frozenset(
    part.lower()
    for path in (
        *(spec.location for spec in SERVICES.values()), BACK_END_SITE, "owa/Calendar/Integrated/oma/auth/Proxy",
        "API/PowerShell/RpcWithCert/Exchange/Exchweb/Public/aspnet_client",
    )
    for part in path.split("/")
)  # fmt: skip
"""What set-up names; the names of others are somebody's own."""
_PROVIDERS = frozenset({"negotiate", "ntlm", "negotiate:kerberos", "negotiate:pku2u", "kerberos"})
_POOLS = ("MSExchange", "DefaultAppPool", ".NET ")
DATES = "times of day of certificates (a public log would name the certificate by them)"
OTHER_NAMES = "names, addresses, accounts, paths, thumbprints: pseudonyms stand for them"


def disguise(recording: Recording) -> tuple[Recording, Pseudonyms]:
    """The same under pseudonyms, and what they stand for, which belongs to its owner alone."""
    names = Pseudonyms([server.server for server in recording.facts.servers], _hosts(recording), _others(recording))
    worker = _Disguise(names, recording.taken)
    facts, desired = worker.facts(recording.facts), worker.desired(recording.desired)
    able = {names.balancer(name): worker.able(one) for name, one in recording.capabilities.items()}
    words = Words(names)
    return recording.model_copy(
        update={
            "pseudonyms": True,
            "facts": _facts_told(words, facts),
            "desired": _desired_told(words, desired),
            "capabilities": {name: _able_told(words, one) for name, one in able.items()},
            "left_out": (*recording.left_out, OTHER_NAMES, DATES),
        }
    ), names


def _hosts(recording: Recording) -> Iterator[str]:
    facts = recording.facts
    yield from wish_hosts(recording.desired)
    for info in certificates(recording):
        yield from info.names
    for server in facts.servers:
        yield server.fqdn
        yield from (binding.host for binding in server.bindings)
    for outlook in facts.farm.outlook_anywhere:
        yield from _said(outlook.internal_hostname, outlook.external_hostname)
    yield from _said(*(able.mrsproxy_host for able in recording.capabilities.values()))


def _others(recording: Recording) -> Iterator[str]:
    """Whatever else a pseudonym might be by accident."""
    yield from wish_others(recording.desired)
    for info in certificates(recording):
        yield from (info.fingerprint, info.thumbprint, info.serial, *info.addresses)
    for server in recording.facts.servers:
        yield from (binding.address for binding in server.bindings)
    for balancer in recording.facts.balancers:
        yield from (balancer.balancer, *balancer.installed, *_said(balancer.leaf))


def _said(*values: str | None) -> Iterator[str]:
    return (value for value in values if value is not None)


class _Disguise:
    """Structured fields, each by what it is."""

    def __init__(self, names: Pseudonyms, taken: datetime) -> None:
        self._names = names
        self._taken = taken

    def facts(self, facts: FactSet) -> FactSet:
        return FactSet(
            servers=tuple(self._server(one) for one in facts.servers),
            farm=self._farm(facts.farm),
            balancers=tuple(self._balancer(one) for one in facts.balancers),
        )

    def desired(self, desired: Desired) -> Desired:
        return hidden_wish(desired, self._names, certificate=self._info, location=self._location)

    def able(self, able: Capabilities) -> Capabilities:
        address = able.mrsproxy_address
        changed = {
            "mrsproxy_host": self._host(able.mrsproxy_host),
            "mrsproxy_address": self._names.address(address) if address is not None else None,
        }
        return able.model_copy(update=changed)

    def _host(self, name: str | None) -> str | None:
        return self._names.host(name) if name is not None else None

    def _server(self, server: ServerFacts) -> ServerFacts:
        live = server.live
        return server.model_copy(
            update={
                "server": self._names.server(server.server),
                "fqdn": self._names.host(server.fqdn),
                "vdirs": tuple(self._vdir(vdir) for vdir in server.vdirs),
                "bindings": tuple(self._binding(binding) for binding in server.bindings),
                "certificates": tuple(self._stored(stored) for stored in server.certificates),
                "live": live.model_copy(
                    update={"pools": {self._pool(name): state for name, state in live.pools.items()}}
                ),
            }
        )

    def _vdir(self, vdir: VdirFacts) -> VdirFacts:
        return vdir.model_copy(
            update={
                "location": self._location(vdir.location),
                "providers": tuple(
                    one if one.lower() in _PROVIDERS else self._names.word("provider", one) for one in vdir.providers
                ),
                "pool": self._pool(vdir.pool),
                "rewrite_rules": tuple(self._names.word("rule", rule) for rule in vdir.rewrite_rules),
            }
        )

    def _location(self, location: str) -> str:
        return "/".join(self._place(part) for part in location.split("/"))

    def _place(self, part: str) -> str:
        return part if part.lower() in _PLACES else self._names.word("folder", part)

    def _pool(self, name: str) -> str:
        return name if not name or name.startswith(_POOLS) else self._names.word("pool", name)

    def _binding(self, binding: BindingFacts) -> BindingFacts:
        site, names = binding.site, self._names
        return binding.model_copy(
            update={
                "site": site if site in {FRONT_END_SITE, BACK_END_SITE} else names.word("site", site),
                "address": names.address(binding.address),
                "host": names.host(binding.host),
                "thumbprint": self._thumbprint(binding.thumbprint) if binding.thumbprint else None,
            }
        )

    def _stored(self, stored: StoredCertificate) -> StoredCertificate:
        return stored.model_copy(update={"info": self._info(stored.info)})

    def _info(self, info: CertificateInfo) -> CertificateInfo:
        names = self._names
        return info.model_copy(
            update={
                "fingerprint": self._fingerprint(info.fingerprint),
                "thumbprint": self._thumbprint(info.thumbprint),
                "subject": names.distinguished(info.subject),
                "issuer": names.distinguished(info.issuer),
                "serial": names.hexadecimal(info.serial),
                "not_before": coarse(info.not_before, self._taken),
                "not_after": coarse(info.not_after, self._taken),
                "names": tuple(names.host(name) for name in info.names),
                "addresses": tuple(names.address(address) for address in info.addresses),
            }
        )

    def _fingerprint(self, fingerprint: str) -> Fingerprint:
        return Fingerprint(self._names.hexadecimal(fingerprint))

    def _thumbprint(self, thumbprint: str) -> Thumbprint:
        return Thumbprint(self._names.hexadecimal(thumbprint))

    def _farm(self, farm: FarmFacts) -> FarmFacts:
        names = self._names
        listed = tuple(
            one.model_copy(update={"server": names.server(one.server), "thumbprint": self._thumbprint(one.thumbprint)})
            for one in farm.certificates
        )
        return farm.model_copy(
            update={
                "outlook_anywhere": tuple(self._outlook(one) for one in farm.outlook_anywhere),
                "mrsproxy_enabled": {names.server(server): on for server, on in farm.mrsproxy_enabled.items()},
                "certificates": listed,
            }
        )

    def _outlook(self, outlook: OutlookAnywhereFacts) -> OutlookAnywhereFacts:
        return outlook.model_copy(
            update={
                "server": self._names.server(outlook.server),
                "internal_hostname": self._host(outlook.internal_hostname),
                "external_hostname": self._host(outlook.external_hostname),
            }
        )

    def _balancer(self, balancer: BalancerFacts) -> BalancerFacts:
        names, live = self._names, balancer.live
        members = tuple(one.model_copy(update={"server": names.server(one.server)}) for one in live.members)
        structure = balancer.structure
        return balancer.model_copy(
            update={
                "balancer": names.balancer(balancer.balancer),
                # A digest of texts with names in them could be guessed at.
                "structure": names.word("structure", structure) if structure is not None else None,
                "wanted_structure": names.word("structure", balancer.wanted_structure),
                "leaf": self._fingerprint(balancer.leaf) if balancer.leaf is not None else None,
                "installed": tuple(self._fingerprint(one) for one in balancer.installed),
                "marker": names.word("run", balancer.marker) if balancer.marker is not None else None,
                "live": live.model_copy(update={"members": members}),
            }
        )


def coarse(moment: datetime, taken: datetime) -> datetime:
    """The day of a moment, on the same side of ``taken`` as it was."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return day if (day < taken) == (moment < taken) else day + timedelta(days=1)


def _facts_told(words: Words, facts: FactSet) -> FactSet:
    servers = tuple(
        server.model_copy(
            update={
                "problems": _told(words, server.problems),
                "vdirs": tuple(
                    vdir.model_copy(update={"redirect": words.told(vdir.redirect)}) if vdir.redirect else vdir
                    for vdir in server.vdirs
                ),
            }
        )
        for server in facts.servers
    )
    balancers = tuple(
        one.model_copy(
            update={
                "version": words.version(one.version),
                "blockers": _told(words, one.blockers),
                "problems": _told(words, one.problems),
                "notes": _told(words, one.notes),
            }
        )
        for one in facts.balancers
    )
    farm = facts.farm.model_copy(update={"problems": _told(words, facts.farm.problems)})
    return FactSet(servers=servers, farm=farm, balancers=balancers)


def _desired_told(words: Words, desired: Desired) -> Desired:
    return desired.model_copy(update={name: words.told(getattr(desired, name)) for name in IN_WORDS})


def _able_told(words: Words, able: Capabilities) -> Capabilities:
    fields = ("one_mode_reason", "one_mode_remedy", "ntlm_remedy", "resumption_remedy")
    return able.model_copy(update={name: words.told(getattr(able, name)) for name in fields})


def _told(words: Words, texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(words.told(text) for text in texts)
