"""From the scripts' answers to facts.

Rule of this room: pure, cheap (hundreds of servers are read in one look) and forgiving only where a part may be missing: an
unreadable certificate is a problem told, a wrong shape is Rejected. It never asks a server anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from lbsync.exchange.answers import (
    FarmAnswer,
    LocalCertificate,
    OutlookAnywhereShape,
    ServerAnswer,
    SiteBinding,
    shaped,
)
from lbsync.exchange.iis import IisConfig, read_config
from lbsync.exchange.vdirs import front_end
from lbsync.exchange.version import normal_version
from lbsync.facts import (
    BindingFacts,
    ExchangeCertificate,
    FarmFacts,
    OAuthFacts,
    OutlookAnywhereFacts,
    ServerFacts,
    ServerLive,
    StoredCertificate,
)
from lbsync_certs import CertificateInfo, Thumbprint
from lbsync_certs.info import describe, load_der
from lbsync_certs.problem import CertificateProblem


def server_facts(answer: Mapping[str, object], *, name: str) -> ServerFacts:
    """The facts of the server configured as ``name``, from what server-facts answered.

    Raises Rejected: ``bad_answer`` for another shape, ``bad_config`` for an applicationHost.config that is not well-formed.
    """
    told = shaped(ServerAnswer, answer, "server-facts")
    config = read_config(told.config)
    vdirs, problems = front_end(config, told.effective, told.redirects, told.rewrites)
    certificates, unreadable = _certificates(told.certificates)
    more = [*problems, *unreadable]
    if told.server.lower() != name.lower():
        more.append(f"The machine calls itself {told.server}, the configuration {name}: is the address right?")
    return ServerFacts(
        server=name,
        fqdn=told.fqdn,
        version=normal_version(told.setup_version),
        build=normal_version(told.exsetup_version),
        setup_running=told.setup_running,
        setup_incomplete=told.setup_incomplete,
        administrator=told.administrator,
        suppress_extended_protection=told.suppress_extended_protection,
        vdirs=vdirs,
        bindings=site_bindings(told.bindings, config),
        certificates=certificates,
        problems=tuple(more),
        live=ServerLive(
            pools={pool.name: pool.state for pool in told.pools},
            components={item.component: item.state for item in told.components},
        ),
    )


def farm_facts(answer: Mapping[str, object]) -> FarmFacts:
    """What lives in AD, from what farm-facts answered. Raises Rejected ``bad_answer`` for another shape."""
    told = shaped(FarmAnswer, answer, "farm-facts")
    return FarmFacts(
        outlook_anywhere=tuple(outlook_anywhere_facts(item) for item in told.outlook_anywhere),
        mrsproxy_enabled={item.server: item.enabled for item in told.mrsproxy},
        oauth=OAuthFacts.model_validate(told.oauth.model_dump()),
        certificates=tuple(
            ExchangeCertificate(
                server=item.server,
                thumbprint=Thumbprint(item.thumbprint.upper()),
                services=item.services,
                status=item.status,
                exportable=item.exportable,
                internal_transport=item.internal_transport,
            )
            for item in told.certificates
        ),
        missing_cmdlets=told.missing_cmdlets,
    )


def outlook_anywhere_facts(item: OutlookAnywhereShape) -> OutlookAnywhereFacts:
    """One server's Outlook Anywhere; an empty host name is none."""
    data = item.model_dump()
    for name in ("internal_hostname", "external_hostname"):
        data[name] = data[name] or None
    return OutlookAnywhereFacts.model_validate(data)


def with_exchange(servers: Iterable[ServerFacts], farm: FarmFacts) -> tuple[ServerFacts, ...]:
    """The same servers, their certificates completed by what Exchange says of them (services, status, exportability)."""
    told = {(item.server.lower(), item.thumbprint): item for item in farm.certificates}
    completed: list[ServerFacts] = []
    for server in servers:
        certificates: list[StoredCertificate] = []
        for stored in server.certificates:
            item = told.get((server.server.lower(), stored.info.thumbprint))
            if item is not None:
                exportable = stored.exportable if item.exportable is None else item.exportable
                update = {
                    "services": item.services,
                    "status": item.status,
                    "exportable": exportable,
                    "internal_transport": item.internal_transport,
                }
                stored = stored.model_copy(update=update)  # noqa: PLW2901  the completed one takes its place
            certificates.append(stored)
        completed.append(server.model_copy(update={"certificates": tuple(certificates)}))
    return tuple(completed)


def site_bindings(told: Iterable[SiteBinding] | None, config: IisConfig) -> tuple[BindingFacts, ...]:
    """Http and https bindings, from Get-WebBinding where it was asked, else from the configuration's text."""
    found = [(b.site, b.protocol, b.information, b.thumbprint) for b in (config.bindings if told is None else told)]
    bindings: list[BindingFacts] = []
    for site, protocol, information, thumbprint in found:
        # "*:443:", ":443:", "127.0.0.1:80:host", "[::1]:443:"; other protocols (net.pipe) have no port.
        address, port, host = ([*information.rsplit(":", 2), "", ""])[:3]
        if protocol in {"http", "https"} and port.isdigit():
            leaf = Thumbprint(thumbprint.upper()) if thumbprint else None
            bindings.append(
                BindingFacts(
                    site=site, protocol=protocol, address=address or "*", port=int(port), host=host, thumbprint=leaf
                )
            )
    return tuple(bindings)


def _certificates(told: Iterable[LocalCertificate]) -> tuple[tuple[StoredCertificate, ...], list[str]]:
    found: list[StoredCertificate] = []
    problems: list[str] = []
    for item in told:
        try:
            info = _info(item.raw)
        except CertificateProblem as problem:
            problems.append(
                f"The certificate {item.thumbprint} in the machine's store cannot be read: {problem.message}"
            )
            continue
        found.append(StoredCertificate(info=info, has_private_key=item.has_private_key, exportable=item.exportable))
    return tuple(found), problems


@lru_cache(maxsize=256)
def _info(der: bytes) -> CertificateInfo:
    # Members of a farm hold the same few certificates, and describing one costs a good part of reading a server.
    return describe(load_der(der))
