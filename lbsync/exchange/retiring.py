"""Certificates that are to go: who still uses them in Exchange, and their removal from a server's store.

Rule of this room: reading tells what it could not ask. A removal looks first, so that twice is once, and is refused on the
server itself where a binding or a service holds the certificate at that moment, whatever was read before.

Sources: Remove-ExchangeCertificate ("You can't remove the certificate that's being used"); "Can't remove a certificate that's
installed in Exchange Server" (TlsCertificateName is ``<I>issuer<S>subject``). The internal transport certificate's and the
federation trust's properties are as their cmdlets have them; not verified on a real server [u].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import assert_never

from lbsync.errors import Rejected
from lbsync.exchange.answers import shaped
from lbsync.exchange.fanout import answers, fan_out
from lbsync.exchange.session import SessionPool
from lbsync.exchange.tier import ExchangeTier
from lbsync.exchange.use_answers import HoldersAnswer, HoldingShape, RemoveAnswer, UsesAnswer
from lbsync.uses import CertificateUses, Enabled, Holding, Naming
from lbsync_certs import Thumbprint

_READ_S = 300.0
_LOCAL_S = 60.0
_REMOVE_S = 240.0


def read_uses(
    pools: Mapping[str, SessionPool],
    *,
    through: str,
    tier: ExchangeTier,
    parallel: int = 64,
    deadline_s: float = _READ_S,
) -> CertificateUses:
    """Who uses the certificates of all servers: Exchange, asked once ``through`` one of them, and what each server tells itself.

    ``pools`` are all servers' sessions by name. Without the Exchange tier: uses that say they were not read. Raises Denied,
    Unreachable, Rejected (``bad_answer`` for another shape): half an answer is none.
    """
    if not tier.available:
        return CertificateUses(read=False)
    pool = pools[through]
    params = {"exchange": tier.params(pool.settings.tls_name), "servers": list(pools)}
    told = shaped(
        UsesAnswer, pool.call("certificate-uses", params, deadline_s=deadline_s, retry=True), "certificate-uses"
    )
    local = answers(fan_out(list(pools.values()), _held_locally, parallel=parallel))
    return CertificateUses(
        enabled=tuple(
            Enabled(server=one.server, thumbprint=_thumbprint(one.thumbprint), name=one.name, services=one.services)
            for one in told.certificates
        ),
        namings=(
            *(Naming(kind="send connector", identity=one.identity, name=one.name) for one in told.send_connectors),
            *(
                Naming(kind="receive connector", identity=one.identity, name=one.name, server=one.server)
                for one in told.receive_connectors
            ),
            *(Naming(kind="hybrid configuration", identity="", name=one.name) for one in told.hybrid),
        ),
        holdings=(*_holdings(told), *(holding for held in local for holding in held)),
        missing_cmdlets=told.missing_cmdlets,
    )


def remove(
    pool: SessionPool,
    thumbprint: Thumbprint,
    *,
    tier: ExchangeTier,
    released: Iterable[str] = (),
    deadline_s: float = _REMOVE_S,
) -> bool:
    """Remove a certificate with its key from a server's store; whether it was gone already. Twice is once.

    ``released`` are services that list it and that another certificate serves. Raises Rejected: ``certificate_in_use`` (a
    binding or a service of that server has it now), ``read_back`` (it is still there), or what Exchange says against it;
    ConfigError without the Exchange tier, Denied, Unreachable.
    """
    params = {
        "exchange": tier.params(pool.settings.tls_name),
        "server": pool.name,
        "thumbprint": thumbprint,
        "released": list(released),
    }
    told = shaped(RemoveAnswer, _asked(pool, params, deadline_s), "remove-certificate")
    match told.outcome:
        case "removed" | "already":
            return told.outcome == "already"
        case "in_use":
            raise Rejected(
                f"{thumbprint} was not removed, since these have it: {', '.join(told.held_by)}",
                where=pool.name,
                state="it is in the store as before",
                remedy="somebody took it into use since it was looked at: lbsync prune --dry-run says what uses it",
                code="certificate_in_use",
            )
        case "still_there":
            raise Rejected(
                f"Remove-ExchangeCertificate ended without an error, and {thumbprint} is still in the store",
                where=pool.name,
                state="whether its private key is still usable is not known",
                remedy="look at Get-ExchangeCertificate and at the event log of that server, then try again",
                code="read_back",
            )
        case _:
            assert_never(told.outcome)


def _asked(pool: SessionPool, params: Mapping[str, object], deadline_s: float) -> dict[str, object]:
    try:
        return pool.call("remove-certificate", params, deadline_s=deadline_s, retry=True)
    except Rejected as error:
        if error.remedy:
            raise
        raise Rejected(
            error.message,
            where=error.where,
            state="Exchange said no: the certificate is in the store as before",
            remedy="do what Exchange says, then lbsync prune again; lbsync prune --dry-run lists who names it",
            code=error.code,
        ) from None


def _held_locally(pool: SessionPool) -> tuple[Holding, ...]:
    try:
        answer = pool.call("certificate-holders", {}, deadline_s=_LOCAL_S, retry=True)
    finally:
        pool.release()  # the threads of a fan-out end with it
    told = shaped(HoldersAnswer, answer, "certificate-holders")
    return tuple(
        Holding(what=one.what, thumbprint=_thumbprint(one.thumbprint), server=pool.name) for one in told.holders
    )


def _holdings(told: UsesAnswer) -> Iterator[Holding]:
    for one in told.auth_config:
        yield Holding(what=f"AuthConfig ({one.role})", thumbprint=_read(one))
    for one in told.federation:
        yield Holding(what=f"the federation trust {one.identity} ({one.role})", thumbprint=_read(one))
    for one in told.transport:
        yield Holding(what="the internal transport", thumbprint=_read(one), server=one.server)


def _read(one: HoldingShape) -> Thumbprint | None:
    return _thumbprint(one.thumbprint) if one.thumbprint else None


def _thumbprint(text: str) -> Thumbprint:
    return Thumbprint(text.upper())
