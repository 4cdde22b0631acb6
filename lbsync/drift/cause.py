"""What likely did it: one cause for each difference, the same one for all that go together.

Rule of this file: pure; a cause is likely at best. Sources of what Exchange does by itself: a cumulative update,
Enable-ExchangeCertificate -Services IIS without -DoNotRequireSsl, and New-ExchangeCertificate can turn Require SSL on again;
set-up turns Extended Protection on (2019 CU14 and later, SE); the service host copies Outlook Anywhere from AD to IIS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from enum import StrEnum

from lbsync.desired import FactSet
from lbsync.drift.difference import Difference, Kind
from lbsync.model import Value
from lbsync.services import SERVICES, Service


class Origin(StrEnum):
    """The kinds of causes. The value is the word used in JSON."""

    CUMULATIVE_UPDATE = "cumulative-update"
    SECURITY_UPDATE = "security-update"
    OLDER_BUILD = "older-build"
    EXCHANGE_COPY = "exchange-copy"
    CERTIFICATE = "certificate-outside-lbsync"
    CONFIGURATION = "configuration"
    FAILOVER = "failover"
    SOFTWARE = "balancer-software"
    PERSON = "person"


class Cause(Value):
    """``text`` begins in lower case and follows the word "likely"."""

    origin: Origin
    text: str


_RPC = SERVICES[Service.OUTLOOK_ANYWHERE].vdir
_CERTIFICATES = frozenset({Kind.LEAF, Kind.STORE, Kind.MAIL})
_BY_SETUP = frozenset({
    Kind.VERSION, Kind.VDIR, Kind.REQUIRE_SSL, Kind.FLAGS, Kind.INHERITANCE, Kind.PROTECTION, Kind.LOGON, Kind.ROUTE,
    Kind.BINDING, Kind.BACK_END, Kind.STORE, Kind.MAIL,
})  # fmt: skip
_COPIED = frozenset({Kind.REQUIRE_SSL, Kind.FLAGS, Kind.INHERITANCE, Kind.LOGON})
_ON_BALANCERS = frozenset({
    Kind.PUBLISHED, Kind.STRUCTURE, Kind.MODE, Kind.SERVED, Kind.INSTALLED, Kind.SOFTWARE, Kind.UNIT,
})  # fmt: skip


def causes(differences: Collection[Difference], today: FactSet) -> dict[Difference, Cause]:
    """The likely cause of each; ``today`` is what was seen now."""
    at: defaultdict[str, list[Difference]] = defaultdict(list)
    for one in differences:
        at[one.target.lower()].append(one)
    return {one: _cause(one, at[one.target.lower()], today) for one in differences}


def _cause(one: Difference, beside: Collection[Difference], today: FactSet) -> Cause:
    if one.kind is Kind.MEMBER:
        return Cause(origin=Origin.CONFIGURATION, text="the configuration of lbsync was edited")
    if one.kind in _ON_BALANCERS:
        return _on_balancer(one, {other.kind: other for other in beside})
    return _on_server(one, beside, today)


def _on_balancer(one: Difference, beside: Mapping[Kind, Difference]) -> Cause:
    unit, software = beside.get(Kind.UNIT), beside.get(Kind.SOFTWARE)
    if unit is not None:
        return Cause(origin=Origin.FAILOVER, text=f"a failover ({unit.before} -> {unit.now})")
    if software is not None and one.kind in {Kind.SOFTWARE, Kind.STRUCTURE, Kind.PUBLISHED}:
        return Cause(origin=Origin.SOFTWARE, text=f"an update of its software ({software.before} -> {software.now})")
    if one.kind in {Kind.SERVED, Kind.INSTALLED}:
        return Cause(
            origin=Origin.CERTIFICATE, text="a rotation outside lbsync, or by an lbsync with another state folder"
        )
    return Cause(origin=Origin.PERSON, text="a person, or an lbsync with another state folder")


def _on_server(one: Difference, beside: Collection[Difference], today: FactSet) -> Cause:
    kinds = {other.kind for other in beside}
    update = next((other for other in beside if other.kind is Kind.VERSION), None)
    if one.subject == _RPC and one.kind in _COPIED and _copied(one, kinds, today):
        return Cause(
            origin=Origin.EXCHANGE_COPY, text="Exchange's own copy of Outlook Anywhere from Active Directory to IIS"
        )
    # Set-up leaves the front end's certificate alone, so another one there is somebody's rotation, update or not.
    if one.kind is Kind.LEAF or (one.kind in _CERTIFICATES and Kind.LEAF in kinds):
        return Cause(origin=Origin.CERTIFICATE, text="a rotation outside lbsync")
    if update is not None and one.kind in _BY_SETUP:
        return _update(update)
    return _by_somebody(one, kinds)


def _by_somebody(one: Difference, kinds: Collection[Kind]) -> Cause:
    """Exchange's version is the same, or no update does such a thing."""
    if one.kind is Kind.REQUIRE_SSL and "again" in one.text and _CERTIFICATES.intersection(kinds):
        return Cause(
            origin=Origin.CERTIFICATE,
            text="a certificate enabled outside lbsync: Enable-ExchangeCertificate -Services IIS without -DoNotRequireSsl, or "
            "New-ExchangeCertificate, turns Require SSL on",
        )
    if one.kind in _CERTIFICATES:
        return Cause(origin=Origin.CERTIFICATE, text="a certificate made, brought, enabled or removed outside lbsync")
    if one.kind is Kind.PROTECTION:
        return Cause(origin=Origin.PERSON, text="a person, or Microsoft's script for Extended Protection")
    if Kind.VERSION in kinds:
        return Cause(origin=Origin.PERSON, text="a person: an update of Exchange leaves this alone")
    return Cause(origin=Origin.PERSON, text="a person, since Exchange's version is the same")


def _copied(one: Difference, kinds: Collection[Kind], today: FactSet) -> bool:
    """AD changed too, or IIS now shows just what AD holds, which is what a copy leaves."""
    if Kind.OUTLOOK_ANYWHERE in kinds:
        return True
    server = next((found for found in today.servers if found.server == one.target), None)
    vdir = server.vdir(Service.OUTLOOK_ANYWHERE) if server is not None else None
    told = today.farm.outlook_anywhere_of(one.target)
    return vdir is not None and told is not None and vdir.requires_ssl is not told.ssl_offloading


def _update(one: Difference) -> Cause:
    was, found = _numbers(one.before), _numbers(one.now)
    told = f"({one.before} -> {one.now})"
    if found < was:
        return Cause(origin=Origin.OLDER_BUILD, text=f"an older Exchange, as from a backup or a snapshot {told}")
    if was[:3] != found[:3]:
        return Cause(origin=Origin.CUMULATIVE_UPDATE, text=f"a cumulative update {told}")
    return Cause(origin=Origin.SECURITY_UPDATE, text=f"a security update {told}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
