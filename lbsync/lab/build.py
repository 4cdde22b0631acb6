"""From a spec to the state of a farm: who has which certificate, which settings, which flaws.

Rule of this room: it decides everything before anything listens; no I/O but key generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lbsync.lab.accounts import DNS_DOMAIN, Accounts
from lbsync.lab.directory import Directory, OutlookAnywhere
from lbsync.lab.iis import Changes, Iis
from lbsync.lab.rebuild import rebuild
from lbsync.lab.servicehost import RPC
from lbsync.lab.spec import SETUP_VERSIONS, LabSpec
from lbsync.lab.state import FarmState, ServerState
from lbsync.lab.store import Store, StoredEntry
from lbsync.services import BACK_END_SITE, FRONT_END_SITE, NO_SSL, REQUIRE_SSL
from lbsync.testing.ca import TestCA
from lbsync_certs import Bundle

NAMED = 60
"""Beyond so many servers certificates carry a wildcard instead of each name."""


@dataclass(frozen=True, slots=True)
class Built:
    """A farm's state, its CA, and the leaf its members share."""

    state: FarmState
    ca: TestCA
    leaf: Bundle


def server_names(spec: LabSpec) -> tuple[str, ...]:
    """EX01, EX02 ..."""
    return tuple(f"EX{number:02d}" for number in range(1, spec.servers + 1))


def fqdn_of(name: str) -> str:
    """ex01.contoso.test."""
    return f"{name.lower()}.{DNS_DOMAIN}"


def build(spec: LabSpec) -> Built:
    """Everything a farm is, before it listens."""
    ca = TestCA.new("Contoso lab root")
    if spec.likeness is not None:
        state, leaf = rebuild(spec, spec.likeness, ca)
        return Built(state, ca, leaf)
    names = server_names(spec)
    own = tuple(fqdn_of(name) for name in names) if len(names) <= NAMED else (f"*.{DNS_DOMAIN}",)
    subject_names = (*spec.hosts, *spec.extra_names, *own)
    leaf = ca.issue(subject_names)
    back_end = TestCA.self_signed(["ex.contoso.test"], key="ec256")
    changes = Changes()
    directory = Directory(
        oauth2_client_profile_enabled=spec.oauth, evosts_is_default=spec.oauth, hybrid_configuration=spec.hybrid
    )
    state = FarmState(spec, changes, Accounts(lockout_after=spec.lockout_after), directory)
    for name in names:
        server = _server(spec, name, changes)
        _certificates(spec, server, _front_end(spec, name, subject_names, ca, leaf), back_end)
        directory.names.transport[name] = back_end.info.thumbprint
        directory.outlook_anywhere[name] = _outlook_anywhere(spec)
        directory.mrsproxy_enabled[name] = spec.mrsproxy_enabled
        state.servers[name] = server
    return Built(state, ca, leaf)


def _server(spec: LabSpec, name: str, changes: Changes) -> ServerState:
    protected = spec.chosen(spec.extended_protection, name)
    iis = Iis.after_setup(spec.version, changes, spec.gap_s, extended_protection=protected)
    iis.locations[RPC.lower()].ssl_flags = NO_SSL if spec.oa_offloaded else REQUIRE_SSL
    if spec.chosen(spec.drift, name):
        iis.locations[f"{FRONT_END_SITE}/owa".lower()].ssl_flags = NO_SSL
    if spec.chosen(spec.client_certificates, name):
        activesync = iis.locations[f"{FRONT_END_SITE}/Microsoft-Server-ActiveSync".lower()]
        activesync.ssl_flags = "Ssl, SslNegotiateCert, Ssl128"
    setup_version, exsetup_version = SETUP_VERSIONS[spec.version]
    return ServerState(
        name=name,
        fqdn=fqdn_of(name),
        iis=iis,
        store=Store(),
        setup_version=setup_version,
        exsetup_version=exsetup_version,
        setup_running=spec.chosen(spec.setup_running, name),
        setup_incomplete=spec.chosen(spec.setup_incomplete, name),
        administrator=spec.administrator,
    )


def _front_end(spec: LabSpec, name: str, names: tuple[str, ...], ca: TestCA, leaf: Bundle) -> Bundle:
    """The certificate on a server's 443: the shared one, unless a knob gives it another."""
    if spec.chosen(spec.self_signed, name):
        return TestCA.self_signed(names)
    if spec.chosen(spec.expired, name):
        return ca.issue(names, days=30, not_before=datetime.now(UTC) - timedelta(days=60))
    if spec.chosen(spec.different_certificate, name):
        return ca.issue(names)
    return leaf


def _certificates(spec: LabSpec, server: ServerState, front: Bundle, back: Bundle) -> None:
    expired = spec.chosen(spec.expired, server.name)
    entry = StoredEntry(
        front,
        exportable=not spec.chosen(spec.not_exportable, server.name),
        services=["IMAP", "POP", "IIS", "SMTP"],
        status="DateInvalid" if expired else "Valid",
        friendly_name="mail",
    )
    server.store.add(entry)
    server.store.add(StoredEntry(back, services=["SMTP"], friendly_name="Microsoft Exchange"))
    server.mail.start(server.store)
    for binding in server.iis.bindings:
        if binding.protocol == "https":
            own = back if binding.site == BACK_END_SITE else front
            binding.thumbprint = own.info.thumbprint


def _outlook_anywhere(spec: LabSpec) -> OutlookAnywhere:
    host = spec.hosts[0]
    if spec.oa_offloaded:
        return OutlookAnywhere(
            ssl_offloading=True,
            internal_hostname=host,
            external_hostname=host,
            internal_clients_require_ssl=False,
            external_clients_require_ssl=True,
        )
    return OutlookAnywhere(internal_hostname=host, external_hostname=host)
