"""The services besides IIS that a step gives a certificate to: what it does, says and checks, and how it goes back.

Rule of this room: pure. Nothing is said of a service that nobody named, and what Exchange cannot take back is said.

Source: Enable-ExchangeCertificate (services are added, never taken away; IMAP and POP read theirs when they start).
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.changes import AlsoEnable, EnableCertificate
from lbsync.exchange.actions import EnabledCheck, Question, ServiceCertificate, check
from lbsync.model import Check
from lbsync.services import MailService
from lbsync_certs import Thumbprint

_ENABLED_S = 120.0

_WINDOWS_SERVICES = {
    MailService.IMAP: "MSExchangeIMAP4 and MSExchangeIMAP4BE",
    MailService.POP: "MSExchangePOP3 and MSExchangePOP3BE",
}


def afterwards(change: EnableCertificate) -> tuple[ServiceCertificate, ...]:
    """What is enabled, in order: each service's new certificate, then for SMTP the one that shall go on between servers."""
    found: list[ServiceCertificate] = []
    for one in change.also:
        found.append(ServiceCertificate(service=one.service, thumbprint=change.after, back=one.back))
        if one.stays and one.back is not None:
            found.append(ServiceCertificate(service=one.service, thumbprint=one.back))
    return tuple(found)


def backwards(change: EnableCertificate) -> tuple[ServiceCertificate, ...]:
    """What the way back enables: of each service the one of before, where there is one."""
    return tuple(
        ServiceCertificate(service=one.service, thumbprint=one.back) for one in change.also if one.back is not None
    )


def enabled(name: str, also: tuple[ServiceCertificate, ...]) -> tuple[Check, ...]:
    """Exchange shows every one of them; no question where there is none."""
    if not also:
        return ()
    # The last one enabled for SMTP is the one between servers, since -Force says yes to that.
    last = next((one.thumbprint for one in reversed(also) if one.service is MailService.SMTP), None)
    services = ", ".join(dict.fromkeys(one.service.value for one in also))
    summary = f"Exchange shows the certificates wanted for {services} of {name}"
    return (check(name, Question.ENABLED, EnabledCheck(also=also, internal_transport=last), summary, _ENABLED_S),)


def told(change: EnableCertificate) -> tuple[str, ...]:
    """Before and after of each service, and what there is to know of the way back."""
    lines = [line for one in change.also for line in _lines(one, change.after)]
    if lines and change.before is None:
        lines.append("IIS had no certificate before: nothing of this step is taken back")
    return tuple(lines)


def _lines(one: AlsoEnable, after: Thumbprint) -> Iterable[str]:
    if one.service is MailService.SMTP:
        kept = [held for held in one.before if held != after]
        yield f"~ SMTP certificates: {_shown(one.before)} → {_shown([*kept, after])}"
        if one.stays:
            yield f"between servers SMTP goes on with {one.back}"
        else:
            yield f"between servers SMTP uses {after} from then on"
        yield f"going back leaves SMTP on {after} too: Exchange takes no service from a certificate"
        if not one.stays and one.back is None and after not in one.before:
            yield f"nor is it known what servers used between them before: going back leaves that on {after}, too"
        return
    yield f"~ {one.service} certificate: {_shown(one.before)} → {after}"
    yield f"restart {_WINDOWS_SERVICES[one.service]} where they run; {one.service} clients connect again"
    if one.back is None:
        before = "had it already" if one.before else "had none before"
        yield f"{one.service} {before}: going back leaves it there, since Exchange takes no service from a certificate"


def _shown(held: Iterable[Thumbprint]) -> str:
    return ", ".join(held) or "(none)"
