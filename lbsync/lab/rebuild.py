"""From a likeness to the state of a farm: every server as it was recorded, as far as a lab can be so.

Rule of this room: as for ``build``: all is decided before anything listens, no I/O but key generation. What differs is said by
``Likeness.unlike``, so both know the same exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from lbsync.facts import OutlookAnywhereFacts, ServerFacts, StoredCertificate, TokenChecking, VdirFacts
from lbsync.lab import templates
from lbsync.lab.accounts import Accounts
from lbsync.lab.directory import Directory, OutlookAnywhere
from lbsync.lab.iis import Binding, Changes, Iis, Location, Pool
from lbsync.lab.likeness import SITES, Likeness, known, makeable, reproducible, serves
from lbsync.lab.spec import LabSpec, Version
from lbsync.lab.state import FarmState, ServerState
from lbsync.lab.store import Store, StoredEntry
from lbsync.services import FRONT_END_SITE, NO_SSL
from lbsync.testing.ca import Key, TestCA, new_key
from lbsync_certs import Bundle, CertificateInfo, Fingerprint, Thumbprint

_COMMON_NAME = re.compile(r"CN=\"?([^,+\"\\]{1,64})")
_SERVERS = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
_NO_SERVERS = (ExtendedKeyUsageOID.CLIENT_AUTH,)


class Certificates:
    """One new certificate for each recorded one, so that whoever shared one still does."""

    def __init__(self, ca: TestCA, taken: datetime) -> None:
        self._ca = ca
        self._taken = taken
        self._now = datetime.now(UTC)
        self._made: dict[Fingerprint, Bundle] = {}

    def of(self, info: CertificateInfo) -> Bundle:
        """The certificate that stands for this one."""
        if info.fingerprint not in self._made:
            self._made[info.fingerprint] = self._new(info)
        return self._made[info.fingerprint]

    def _new(self, info: CertificateInfo) -> Bundle:
        found = _COMMON_NAME.search(info.subject)
        common = found[1] if found else "lab"
        names = (*info.names, *info.addresses) or (common,)
        days = max(1, (info.not_after - info.not_before).days)
        before = self._now + (info.not_after - self._taken) - timedelta(days=days)
        key = _key(info)
        if info.self_signed:
            return TestCA.self_signed(names, days=days, not_before=before, private_key=key)
        usages = _SERVERS if info.server_auth else _NO_SERVERS
        return self._ca.issue(names, days=days, not_before=before, private_key=key, usages=usages, common_name=common)


def _key(info: CertificateInfo) -> Key:
    if not makeable(info):
        return new_key("rsa2048" if info.key_algorithm == "rsa" else "ec256")
    if info.key_algorithm == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=info.key_bits)
    curves = {256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}
    return ec.generate_private_key(curves[info.key_bits])


def rebuild(spec: LabSpec, like: Likeness, ca: TestCA) -> tuple[FarmState, Bundle]:
    """A farm's state, and the certificate to publish (the first server's where none was wanted)."""
    made = Certificates(ca, like.taken)
    oauth = like.farm.oauth
    directory = Directory(
        oauth2_client_profile_enabled=oauth.oauth2_client_profile_enabled,
        evosts_is_default=oauth.evosts_is_default,
        hybrid_configuration=oauth.hybrid_configuration,
    )
    changes = Changes()
    state = FarmState(spec, changes, Accounts(lockout_after=spec.lockout_after), directory)
    enabled = {name.lower(): on for name, on in like.farm.mrsproxy_enabled.items()}
    for facts in like.servers:
        server = state.servers[facts.server] = _server(spec, facts, changes)
        _fill(server, facts.certificates, made)
        _bind(server, facts, made)
        server.mail.start(server.store)
        internal = next((one for one in facts.certificates if one.internal_transport), None)
        if internal is not None:
            directory.names.transport[facts.server] = made.of(internal.info).info.thumbprint
        directory.outlook_anywhere[facts.server] = _outlook(like.farm.outlook_anywhere_of(facts.server))
        directory.mrsproxy_enabled[facts.server] = enabled.get(facts.server.lower(), True)
    first = next(iter(state.servers.values()))
    if like.leaf is None:
        return state, next(iter(first.store.entries.values())).bundle
    leaf = made.of(like.leaf)
    if not like.leaf_held:
        first.store.add(StoredEntry(leaf))
    return state, leaf


def _server(spec: LabSpec, facts: ServerFacts, changes: Changes) -> ServerState:
    major, minor, build, revision = (int(part) for part in (*facts.build.split("."), "0", "0")[:4])
    iis = Iis.after_setup(version_of(facts.version), changes, spec.gap_s, extended_protection=False)
    _locations(iis, facts.vdirs)
    _pools(iis, facts)
    server = ServerState(
        name=facts.server,
        fqdn=facts.fqdn,
        iis=iis,
        store=Store(),
        setup_version=facts.version,
        exsetup_version=f"{major:02d}.{minor:02d}.{build:04d}.{revision:03d}",
        setup_running=facts.setup_running,
        setup_incomplete=facts.setup_incomplete,
        administrator=facts.administrator,
        suppress_extended_protection=facts.suppress_extended_protection,
    )
    server.components.update(facts.live.components)
    return server


def version_of(version: str) -> Version:
    """Which set-up a version is nearest to."""
    parts = tuple(int(part) for part in version.split("."))
    if parts < (15, 0, 847):
        return "2013rtm"
    if parts < (15, 1):
        return "2013"
    return "2016" if parts < (15, 2) else "2019"


def _locations(iis: Iis, vdirs: Iterable[VdirFacts]) -> None:
    """Own values where they were own; what is inherited comes out right when what it is inherited from does."""
    wanted = {vdir.location.lower(): vdir for vdir in vdirs if reproducible(vdir)}
    applications = [f"{FRONT_END_SITE}{path}".rstrip("/").lower() for path, _, _ in templates.APPLICATIONS]
    for gone in set(applications) - set(wanted) - {FRONT_END_SITE.lower()}:
        for path in [one for one in iis.locations if one == gone or one.startswith(f"{gone}/")]:
            del iis.locations[path]
    for key in sorted(wanted):  # a parent before what inherits from it
        vdir = wanted[key]
        location = iis.locations.setdefault(key, Location(vdir.location))
        _location(iis, location, vdir)


def _location(iis: Iis, location: Location, vdir: VdirFacts) -> None:
    location.ssl_flags = vdir.own_ssl_flags
    if location.path == FRONT_END_SITE and vdir.own_ssl_flags is None:
        iis.root_ssl_flags = vdir.ssl_flags or NO_SSL
    location.redirect, location.rewrite_rules = vdir.redirect, vdir.rewrite_rules
    if set(iis.methods(location.path)) != set(vdir.authentication):
        location.methods = vdir.authentication
    if iis.providers(location.path) != vdir.providers:
        location.providers = vdir.providers
    if iis.token_checking(location.path) is not vdir.token_checking:
        location.token_checking = vdir.token_checking.value
    own = location.providers is not None or location.token_checking not in {None, TokenChecking.NONE.value}
    if own and location.methods is None:
        location.methods = vdir.authentication  # without methods nothing of the kind is written


def _pools(iis: Iis, facts: ServerFacts) -> None:
    for name, state in facts.live.pools.items():
        iis.pools.setdefault(name.lower(), Pool(name)).state = state


def _fill(server: ServerState, stored: Iterable[StoredCertificate], made: Certificates) -> None:
    for one in stored:
        server.store.add(
            StoredEntry(
                made.of(one.info),
                exportable=one.exportable is not False and one.has_private_key,
                services=list(one.services or ()),
                status=one.status or "Valid",
                friendly_name="recorded",
            )
        )


def _bind(server: ServerState, facts: ServerFacts, made: Certificates) -> None:
    bindings = [one for one in server.iis.bindings if one.protocol not in {"http", "https"}]
    for one in facts.bindings:
        if one.site not in SITES or one.protocol not in {"http", "https"}:
            continue
        held = (
            facts.certificate(one.thumbprint) if one.thumbprint is not None and known(facts, one.thumbprint) else None
        )
        thumbprint = made.of(held.info).info.thumbprint if held is not None else None
        bindings.append(Binding(one.site, one.protocol, f"{one.address}:{one.port}:{one.host}", thumbprint))
    if not serves(facts):
        bindings = [one for one in bindings if (one.site, one.information) != (FRONT_END_SITE, "*:443:")]
        bindings.insert(0, Binding(FRONT_END_SITE, "https", "*:443:", _any(server)))
    server.iis.bindings = bindings


def _any(server: ServerState) -> Thumbprint:
    """A certificate that the server holds, made where there is none."""
    if server.store.entries:
        return next(iter(server.store.entries))
    return server.store.add(StoredEntry(TestCA.self_signed([server.fqdn], key="ec256")))


def _outlook(facts: OutlookAnywhereFacts | None) -> OutlookAnywhere:
    if facts is None:
        return OutlookAnywhere()
    return OutlookAnywhere(
        ssl_offloading=facts.ssl_offloading,
        internal_hostname=facts.internal_hostname,
        external_hostname=facts.external_hostname,
        internal_clients_require_ssl=facts.internal_clients_require_ssl,
        external_clients_require_ssl=facts.external_clients_require_ssl,
        internal_authentication=facts.internal_authentication,
        external_authentication=facts.external_authentication,
        iis_authentication=facts.iis_authentication,
    )
