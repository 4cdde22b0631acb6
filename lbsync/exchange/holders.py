"""Which certificates the services of one server have, as Exchange says: asked after a change, and before it is taken back.

Rule of this room: it reads, by the script that reads the farm, and compares; what shall be is said by ``mail``.

Source: Get-ExchangeCertificate shows a service at every certificate that would do for it: IMAP and POP look for theirs by name
[u], so that an old and a new one of the same name may both show them. What is compared allows for that.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.exchange.actions import EnabledCheck, ServiceCertificate
from lbsync.exchange.facts import farm_facts
from lbsync.exchange.session import SessionPool
from lbsync.exchange.tier import ExchangeTier
from lbsync.facts import ExchangeCertificate
from lbsync.model import CheckResult, State
from lbsync.services import MailService
from lbsync_certs import Thumbprint

_READ_S = 180.0


def certificates_of(pool: SessionPool, tier: ExchangeTier) -> tuple[ExchangeCertificate, ...]:
    """What Exchange says of the certificates of the server behind ``pool``. Raises TargetError, ConfigError."""
    params = {"exchange": tier.params(pool.settings.tls_name), "servers": [pool.name]}
    return farm_facts(pool.call("farm-facts", params, deadline_s=_READ_S, retry=True)).certificates


def strangers(also: Iterable[ServiceCertificate], told: Iterable[ExchangeCertificate]) -> State:
    """By service: certificates that have it and are neither the one given nor the one to go back to: somebody else's doing.

    Only of IMAP and POP, and only where there is a way back: SMTP has several, and any of them may come and go.
    """
    told = tuple(told)
    return {
        one.service.value: [held for held in _holders(told, one.service) if held not in {one.thumbprint, one.back}]
        for one in also
        if one.service is not MailService.SMTP and one.back is not None
    }


def holds(wanted: EnabledCheck, told: Iterable[ExchangeCertificate]) -> CheckResult:
    """Whether Exchange shows every certificate wanted for its service, and the one wanted between servers where it says that."""
    told = tuple(told)
    wrong = [
        f"{one.service} has {', '.join(_holders(told, one.service)) or 'no certificate'}, not {one.thumbprint}"
        for one in wanted.also
        if one.thumbprint not in _holders(told, one.service)
    ]
    internal = next((one.thumbprint for one in told if one.internal_transport), None)
    if wanted.internal_transport is not None and internal not in {None, wanted.internal_transport}:
        wrong.append(f"between servers SMTP uses {internal}, not {wanted.internal_transport}")
    services = dict.fromkeys(one.service for one in wanted.also)
    return CheckResult(
        passed=not wrong,
        detail="; ".join(wrong) or f"Exchange shows {', '.join(services)} as wanted",
        evidence={service.value: [*_holders(told, service)] for service in services},
    )


def _holders(told: Iterable[ExchangeCertificate], service: MailService) -> list[Thumbprint]:
    return sorted(one.thumbprint for one in told if service.value in (one.services or ()))
