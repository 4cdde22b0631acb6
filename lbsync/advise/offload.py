"""Rules about offloading one service: TLS ends at the balancer, plain HTTP goes on to port 80.

Rule of this room: every prohibition of Exchange's documentation stands here as a refusal with its remedy.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.advise.case import EXCHANGE_2016, PROTECTED_BY_SETUP, Case
from lbsync.advise.rule import (
    CAPTURED,
    EXTENDED_PROTECTION,
    OFFLOADING,
    OURS,
    Asked,
    Rule,
    Seen,
    ServiceRule,
    seen_if,
    seen_on,
)
from lbsync.services import FRONT_END_SITE, SERVICES, Service

_DIRECTORY = "directory"
_LOOPBACK = ("127.", "::1")


def _protected(case: Case) -> Iterator[Seen]:
    """Any protected front-end location forbids offloading altogether: channel bindings cannot match without TLS."""
    locations = dict.fromkeys(vdir.location for vdirs in case.protected.values() for vdir in vdirs)
    yield from seen_on(tuple(case.protected), locations=", ".join(locations))


def _protected_by_setup(asked: Asked) -> Iterator[Seen]:
    """Where it is on already, that is told instead."""
    if SERVICES[asked.service].offloadable:
        case = asked.case
        new = (name for name, build in case.versions.items() if build >= PROTECTED_BY_SETUP)
        yield from seen_on(tuple(name for name in new if name not in case.protected))


def _undocumented(asked: Asked) -> Iterator[Seen]:
    if SERVICES[asked.service].offloadable:
        yield from seen_on(tuple(name for name, build in asked.case.versions.items() if build >= EXCHANGE_2016))


def _client_certificates(asked: Asked) -> Iterator[Seen]:
    where = tuple(server.server for server, vdir in asked.vdirs if vdir.client_certificates)
    yield from seen_on(where, location=SERVICES[asked.service].location)


def _unbound(case: Case) -> tuple[str, ...]:
    """Set-up binds 127.0.0.1:80 too, which no balancer reaches."""
    return case.servers(
        lambda s: (
            not any(
                b.site == FRONT_END_SITE and b.protocol == "http" and not b.address.strip("[]").startswith(_LOOPBACK)
                for b in s.bindings
            )
        )
    )


def _missing(asked: Asked) -> Iterator[Seen]:
    there = {server.server for server, _ in asked.vdirs}
    where = asked.case.servers(lambda s: s.server not in there)
    yield from seen_on(where, location=SERVICES[asked.service].location)


def _redirected(asked: Asked) -> Iterator[Seen]:
    for server, vdir in asked.vdirs:
        if vdir.redirect and vdir.redirect.lower().startswith("https:"):
            yield Seen((server.server,), {"location": vdir.location, "target": vdir.redirect})


def _rewritten(asked: Asked) -> Iterator[Seen]:
    for server, vdir in asked.vdirs:
        yield from seen_if(
            vdir.rewrite_rules, server.server, location=vdir.location, rules=", ".join(vdir.rewrite_rules)
        )


def _cannot_be_set(asked: Asked) -> Iterator[Seen]:
    """The switch of Outlook Anywhere lives in AD: without the cmdlet it cannot be thrown."""
    farm = asked.case.facts.farm
    if asked.service is Service.OUTLOOK_ANYWHERE and farm.read:
        lacking = "Set-OutlookAnywhere" in farm.missing_cmdlets
        yield from seen_if(lacking and not all(x.ssl_offloading for x in farm.outlook_anywhere), _DIRECTORY)


def _unlisted(asked: Asked) -> Iterator[Seen]:
    farm = asked.case.facts.farm
    if asked.service is Service.OUTLOOK_ANYWHERE and farm.read:
        told = {item.server.lower() for item in farm.outlook_anywhere}
        yield from seen_on(asked.case.servers(lambda s: s.server.lower() not in told))


NEVER = ServiceRule(
    id="never-offloaded",
    about="offload",
    condition="The service is MRSProxy.",
    verdict="must",
    applies=lambda asked: seen_if(not SERVICES[asked.service].offloadable),
    reason="MRSProxy works over TLS only; mailbox moves fail over plain HTTP.",
    remedy='Set modes.mrsproxy = "bridge" (the default).',
    source=OFFLOADING,
)
PROTECTED = Rule(
    id="extended-protection",
    about="offload",
    condition="Extended Protection (tokenChecking Allow or Require) is on at any front-end location of any member.",
    verdict="must",
    applies=_protected,
    reason="Extended Protection is on ({locations}); offloading is not supported with it.",
    remedy='Set the mode to "bridge" with the same certificate on balancer and servers.',
    source=EXTENDED_PROTECTION,
)
DIRECTORY_UNREAD = Rule(
    id="directory-unread",
    about="offload",
    condition='Active Directory is not read (farm.exchange = "none").',
    verdict="must not",
    applies=lambda case: seen_if(not case.facts.farm.read, _DIRECTORY),
    reason="AD was not read, so OAuth (which forbids offloading) and Outlook Anywhere cannot be judged.",
    remedy='Set farm.exchange = "explicit" or "delegated".',
    source=OURS,
)
OAUTH = Rule(
    id="oauth-in-use",
    about="offload",
    condition="OAuth is in use: OAuth2ClientProfileEnabled, EvoSTS as the default authorization endpoint, or a hybrid "
    "configuration. A virtual directory's OAuthAuthentication alone does not count.",
    verdict="must",
    applies=lambda case: seen_if(case.facts.farm.read and case.facts.farm.oauth.in_use, _DIRECTORY),
    reason="Hybrid modern authentication (OAuth) is in use; it is not supported with offloading.",
    remedy='Set the mode to "bridge".',
    source='401 with x-ms-diagnostics: 2000003 "Expected https://... Actual http://..."',
)
CLIENT_CERTIFICATES = ServiceRule(
    id="client-certificates",
    about="offload",
    condition="The virtual directory negotiates, requires or maps client certificates.",
    verdict="must",
    applies=_client_certificates,
    reason="{location} negotiates or requires client certificates; offloading would drop them.",
    remedy='Set the mode to "bridge", or give up client certificates first.',
    source="IIS: sslFlags None takes SslNegotiateCert and SslRequireCert away too",
)
NO_HTTP = Rule(
    id="no-http-binding",
    about="offload",
    condition="The front-end site of a server has no http binding beside that of 127.0.0.1.",
    verdict="must not",
    applies=lambda case: seen_on(_unbound(case)),
    reason=f"{FRONT_END_SITE} has no http binding that balancers reach.",
    remedy="Add the binding *:80: to it.",
    source=CAPTURED,
)
VDIR_MISSING = ServiceRule(
    id="vdir-missing",
    about="offload",
    condition="The virtual directory does not exist on a server.",
    verdict="must not",
    applies=_missing,
    reason="{location} does not exist.",
    remedy="Create the virtual directory again, or bridge this service.",
    source=CAPTURED,
)
REDIRECTED = ServiceRule(
    id="redirect-to-https",
    about="offload",
    condition="The virtual directory redirects to https.",
    verdict="must not",
    applies=_redirected,
    reason="{location} redirects to {target}: clients would loop through the balancer.",
    remedy="Remove the HTTP redirect from the virtual directory.",
    source="IIS: httpRedirect",
)
REWRITTEN = ServiceRule(
    id="rewrite-rules",
    about="offload",
    condition="The virtual directory has rules of URL Rewrite.",
    verdict="recommended",
    applies=_rewritten,
    reason="{location} has URL Rewrite rules ({rules}).",
    remedy="Make sure that none sends http to https: clients would loop.",
    source="IIS: URL Rewrite",
)
CANNOT_SET = ServiceRule(
    id="cannot-set-outlook-anywhere",
    about="offload",
    condition="Outlook Anywhere's SSLOffloading is off, and the account's roles do not offer Set-OutlookAnywhere.",
    verdict="must not",
    applies=_cannot_be_set,
    reason="SSLOffloading is off in AD and the account's roles do not offer Set-OutlookAnywhere.",
    remedy="Assign Organization Management to the account, or bridge this service.",
    source="Microsoft: Set-OutlookAnywhere",
)
UNLISTED = ServiceRule(
    id="outlook-anywhere-missing",
    about="offload",
    condition="Active Directory has no Outlook Anywhere of a server.",
    verdict="must not",
    applies=_unlisted,
    reason="AD has no Outlook Anywhere of these servers.",
    remedy="Check Get-OutlookAnywhere -Server, or bridge this service.",
    source="Microsoft: Set-OutlookAnywhere",
)
BY_SETUP = ServiceRule(
    id="extended-protection-by-default",
    about="offload",
    condition="A server runs 2019 CU14 or later, or Subscription Edition, and Extended Protection is off there.",
    verdict="recommended",
    applies=_protected_by_setup,
    reason="Set-up of this version turns Extended Protection on by itself. It is off now; the next set-up may turn it on, and "
    "offloaded services would fail.",
    remedy="Bridge with the same certificate on balancer and servers; or run every set-up with /DoNotEnableEP.",
    source=EXTENDED_PROTECTION,
)
UNDOCUMENTED = ServiceRule(
    id="offload-undocumented",
    about="offload",
    condition="A server runs Exchange 2016 or later.",
    verdict="recommended",
    applies=_undocumented,
    reason="Microsoft documents offloading for Exchange 2013 SP1 only; for this version it names only what forbids it.",
    remedy="Bridge unless you have a reason; Extended Protection and most hybrid set-ups will demand bridging.",
    source=OFFLOADING,
)

RULES = (
    NEVER,
    PROTECTED,
    DIRECTORY_UNREAD,
    OAUTH,
    CLIENT_CERTIFICATES,
    NO_HTTP,
    VDIR_MISSING,
    REDIRECTED,
    REWRITTEN,
    CANNOT_SET,
    UNLISTED,
    BY_SETUP,
    UNDOCUMENTED,
)
