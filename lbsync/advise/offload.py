"""Rules about offloading one service: TLS ends at the balancer, plain HTTP goes on to port 80.

Rule of this room: every prohibition of Exchange's documentation stands here as a refusal with its remedy.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advice import Finding
from lbsync.advise.case import EXCHANGE_2016, Case, protected, version_of
from lbsync.advise.logon import balancer_modes
from lbsync.model import Mode
from lbsync.services import FRONT_END_SITE, SERVICES, Service


def never(_case: Case, service: Service) -> Iterator[Finding]:
    """MRSProxy demands TLS at the server."""
    if not SERVICES[service].offloadable:
        yield Finding(
            rule="never-offloaded",
            severity="refuse",
            reason="MRSProxy works over TLS only; mailbox moves fail over plain HTTP.",
            remedy=f'Set modes.{service} = "bridge" (the default).',
            source="Microsoft: Configuring SSL offloading in Exchange 2013",
        )


def extended_protection(case: Case, _service: Service) -> Iterator[Finding]:
    """Any protected front-end location forbids offloading altogether: channel bindings cannot match without TLS."""
    found = [(s.server, v) for s in case.facts.servers for v in s.vdirs if protected(v)]
    if found:
        where = tuple(dict.fromkeys(server for server, _ in found))
        locations = ", ".join(dict.fromkeys(vdir.location for _, vdir in found))
        yield Finding(
            rule="extended-protection",
            severity="refuse",
            where=where,
            reason=f"Extended Protection is on ({locations}); offloading is not supported with it.",
            remedy='Set the mode to "bridge" with the same certificate on balancer and servers.',
            source="Microsoft: Configure Windows Extended Protection in Exchange Server",
        )


def oauth(case: Case, _service: Service) -> Iterator[Finding]:
    """OAuth tokens name https://host as their audience; a server that sees http answers 401 2000003."""
    farm = case.facts.farm
    if not farm.read:
        yield Finding(
            rule="directory-unread",
            severity="refuse",
            where=("directory",),
            reason="AD was not read, so OAuth (which forbids offloading) and Outlook Anywhere cannot be judged.",
            remedy='Set farm.exchange = "explicit" or "delegated".',
        )
    elif farm.oauth.in_use:
        yield Finding(
            rule="oauth-in-use",
            severity="refuse",
            where=("directory",),
            reason="Hybrid modern authentication (OAuth) is in use; it is not supported with offloading.",
            remedy='Set the mode to "bridge".',
            source='401 with x-ms-diagnostics: 2000003 "Expected https://... Actual http://..."',
        )


def client_certificates(case: Case, service: Service) -> Iterator[Finding]:
    """SslFlags None would silently drop client certificates."""
    where = tuple(server.server for server, vdir in case.vdirs(service) if vdir.client_certificates)
    if where:
        yield Finding(
            rule="client-certificates",
            severity="refuse",
            where=where,
            reason=f"{SERVICES[service].location} negotiates or requires client certificates; offloading would drop them.",
            remedy='Set the mode to "bridge", or give up client certificates first.',
        )


def trusted_leg(case: Case, _service: Service) -> Iterator[Finding]:
    """Offloading sends credentials in clear between balancer and server."""
    if not case.desired.trusted_leg:
        yield Finding(
            rule="leg-not-trusted",
            severity="refuse",
            reason="The way from balancer to servers is not declared trusted; offloading sends credentials over it in clear.",
            remedy="Set farm.trusted_leg = true if that network is yours alone, else bridge.",
        )


def reachable_by_http(case: Case, service: Service) -> Iterator[Finding]:
    """Plain HTTP must be bound, must find the virtual directory, and must not be sent back to https."""
    spec = SERVICES[service]
    unbound = case.servers(lambda s: not any(b.site == FRONT_END_SITE and b.protocol == "http" for b in s.bindings))
    if unbound:
        yield Finding(
            rule="no-http-binding",
            severity="refuse",
            where=unbound,
            reason=f"{FRONT_END_SITE} has no http binding.",
            remedy="Add the binding *:80: to it.",
        )
    missing = case.servers(lambda s: s.vdir(service) is None)
    if missing:
        yield Finding(
            rule="vdir-missing",
            severity="refuse",
            where=missing,
            reason=f"{spec.location} does not exist.",
            remedy="Create the virtual directory again, or bridge this service.",
        )
    for server, vdir in case.vdirs(service):
        if vdir.redirect and vdir.redirect.lower().startswith("https:"):
            yield Finding(
                rule="redirect-to-https",
                severity="refuse",
                where=(server.server,),
                reason=f"{vdir.location} redirects to {vdir.redirect}: clients would loop through the balancer.",
                remedy="Remove the HTTP redirect from the virtual directory.",
            )
        if vdir.rewrite_rules:
            yield Finding(
                rule="rewrite-rules",
                severity="warn",
                where=(server.server,),
                reason=f"{vdir.location} has URL Rewrite rules ({', '.join(vdir.rewrite_rules)}).",
                remedy="Make sure that none sends http to https: clients would loop.",
            )


def outlook_anywhere(case: Case, service: Service) -> Iterator[Finding]:
    """Its switch lives in AD: without the cmdlet it cannot be thrown."""
    farm = case.facts.farm
    if service is not Service.OUTLOOK_ANYWHERE or not farm.read:
        return
    if "Set-OutlookAnywhere" in farm.missing_cmdlets and not all(x.ssl_offloading for x in farm.outlook_anywhere):
        yield Finding(
            rule="cannot-set-outlook-anywhere",
            severity="refuse",
            where=("directory",),
            reason="SSLOffloading is off in AD and the account's roles do not offer Set-OutlookAnywhere.",
            remedy="Assign Organization Management to the account, or bridge this service.",
        )
    unlisted = case.servers(lambda s: farm.outlook_anywhere_of(s.server) is None)
    if unlisted:
        yield Finding(
            rule="outlook-anywhere-missing",
            severity="refuse",
            where=unlisted,
            reason="AD has no Outlook Anywhere of these servers.",
            remedy="Check Get-OutlookAnywhere -Server, or bridge this service.",
        )


def version(case: Case, service: Service) -> Iterator[Finding]:
    """No how-to exists for 2016 and later, only the prohibitions judged above."""
    where = case.servers(lambda s: version_of(s) >= EXCHANGE_2016)
    if where and SERVICES[service].offloadable:
        yield Finding(
            rule="offload-undocumented",
            severity="warn",
            where=where,
            reason="Microsoft documents offloading for Exchange 2013 SP1 only; for this version it names only what forbids it.",
            remedy="Bridge unless you have a reason; Extended Protection and most hybrid set-ups will demand bridging.",
        )


RULES = (
    never,
    extended_protection,
    oauth,
    client_certificates,
    trusted_leg,
    reachable_by_http,
    outlook_anywhere,
    balancer_modes(Mode.OFFLOAD),
    version,
)
