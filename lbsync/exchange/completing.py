"""A CA's answer to a request that is pending on a server: where it belongs, and the certificate it makes there.

Rule of this room: the answer is read and judged here, before a server is asked, so that a wrong file costs no request. A
request and its answer are matched by public key, never by name. Nothing secret is sent: the key never leaves its server.

Sources: "Complete a pending Exchange Server certificate request" (the request becomes the certificate; without
-PrivateKeyExportable $true it could not be exported; intermediates may have to be installed apart).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, assert_never

from lbsync.errors import CertificateError, Rejected
from lbsync.exchange.answers import CompleteAnswer, RequestsAnswer, shaped
from lbsync.exchange.fanout import answers, fan_out
from lbsync.exchange.session import SessionPool
from lbsync.exchange.tier import ExchangeTier
from lbsync_certs import Thumbprint
from lbsync_certs.problem import CertificateProblem, ProblemCode

if TYPE_CHECKING:
    from cryptography import x509

    from lbsync_certs.response import Response

_ASK_S = 60.0
_COMPLETE_S = 240.0
_REFUSED = frozenset(
    {ProblemCode.EXPIRED, ProblemCode.SELF_SIGNED, ProblemCode.NOT_FOR_SERVERS, ProblemCode.NAME_MISSING}
)
"""Faults of an answer that no waiting mends: the CA must issue another, for which the request has to be pending still."""


@dataclass(frozen=True, slots=True)
class _Asked:
    pool: SessionPool
    told: RequestsAnswer


def request_holder(pools: Sequence[SessionPool], response: bytes, *, parallel: int = 8) -> str:
    """The name of the server that an answer belongs to: that has the certificate with its key, else its pending request.

    All servers are asked, at most ``parallel`` at once; one that does not answer matters only where no other has it. Raises
    CertificateError for bytes that are no CA's answer, Rejected ``no_pending_request`` where no server waits for it, Denied,
    Unreachable.
    """
    answer = _read(response)
    outcomes = fan_out(pools, lambda pool: _ask(pool, answer), parallel=parallel)
    asked = [outcome.answer for outcome in outcomes if outcome.answer is not None]
    for found in (
        [one.pool.name for one in asked if one.told.present],
        [one.pool.name for one in asked if _waits(one.told, answer)],
    ):
        if found:
            return found[0]
    answers(outcomes)  # a server that did not answer may be the one
    raise _no_request(", ".join(pool.name for pool in pools), answer, _pending(asked))


def complete_request(
    pool: SessionPool,
    response: bytes,
    *,
    tier: ExchangeTier,
    hosts: Iterable[str] = (),
    deadline_s: float = _COMPLETE_S,
) -> tuple[Thumbprint, bool]:
    """Give a CA's answer to the server with the pending request; its thumbprint, and whether it was there already.

    ``response`` is the file as the CA sent it: PEM, DER or PKCS#7. Its intermediates go along. Twice is once. Refused before
    anything is sent (CertificateError, the code of lbsync_certs): what is no answer, has expired, is self-signed, serves no
    TLS, or lacks one of ``hosts``. Raises Rejected ``no_pending_request`` (it belongs to another request or server) and
    ``no_private_key`` (imported, and its key is not there), ConfigError without the Exchange tier, Denied, Unreachable.
    """
    answer = _read(response)
    _judge(pool.name, answer, tuple(hosts))
    params = {
        "exchange": tier.params(pool.settings.tls_name),
        "server": pool.name,
        "leaf": _b64(answer.leaf),
        "intermediates": [_b64(one) for one in answer.intermediates],
    }
    told = shaped(
        CompleteAnswer,
        pool.call("complete-certificate-request", params, deadline_s=deadline_s, retry=True),
        "complete-certificate-request",
    )
    if told.thumbprint.upper() != answer.info.thumbprint:
        raise Rejected(
            f"gave it {answer.info.thumbprint}, and the server answered {told.thumbprint}",
            where=pool.name,
            code="read_back",
            remedy="look at Get-ExchangeCertificate on that server",
        )
    match told.outcome:
        case "completed" | "already":
            return answer.info.thumbprint, told.outcome == "already"
        case "no_request":
            raise _no_request(pool.name, answer, "")
        case "no_key":
            raise _no_key(pool.name, answer)
        case _:
            assert_never(told.outcome)


def _ask(pool: SessionPool, answer: Response) -> _Asked:
    params = {"thumbprint": answer.info.thumbprint}
    try:
        told = pool.call("certificate-requests", params, deadline_s=_ASK_S, retry=True)
    finally:
        pool.release()  # the threads of a fan-out end with it
    return _Asked(pool, shaped(RequestsAnswer, told, "certificate-requests"))


def _waits(told: RequestsAnswer, answer: Response) -> bool:
    return any(_key_of(one.raw) == answer.public_key for one in told.requests)


def _key_of(der: bytes) -> bytes | None:
    """The public key of a stand-in; ``None`` for one that cannot be read, which is somebody else's."""
    from cryptography.exceptions import UnsupportedAlgorithm

    from lbsync_certs.bundle import public_bytes
    from lbsync_certs.info import load_der

    try:
        return public_bytes(load_der(der).public_key())
    except (CertificateProblem, UnsupportedAlgorithm, ValueError):
        return None


def _read(response: bytes) -> Response:
    from lbsync_certs.response import read_response

    try:
        return read_response(response)
    except CertificateProblem as problem:
        failure = CertificateError(problem.message, state="nothing was changed", code=problem.code.value)
    raise failure


def _judge(where: str, answer: Response, hosts: tuple[str, ...]) -> None:
    from lbsync_certs.checks import check

    found = [one for one in check(answer.info, names=hosts, now=datetime.now(UTC)) if one.code in _REFUSED]
    if found:
        raise CertificateError(
            f"the CA's answer {answer.info.thumbprint} cannot be served: {' '.join(one.message for one in found)}",
            where=where,
            state="nothing was changed; the request is pending as before",
            remedy="have the CA issue the certificate again, for the same request",
            code=found[0].code.value,
        )


def _pending(asked: Iterable[_Asked]) -> str:
    return ", ".join(
        f"{one.thumbprint} on {each.pool.name}{f' ({one.friendly_name})' if one.friendly_name else ''}"
        for each in asked
        for one in each.told.requests
    )


def _no_request(where: str, answer: Response, pending: str) -> Rejected:
    return Rejected(
        f"no request is pending there that {answer.info.thumbprint} ({answer.info.subject}) answers"
        + (f"; pending are: {pending}" if pending else ""),
        where=where,
        state="nothing was changed",
        remedy="it answers another request, or one made on another machine: complete it there, or make a new request with "
        "lbsync csr and send that to the CA",
        code="no_pending_request",
    )


def _no_key(where: str, answer: Response) -> Rejected:
    return Rejected(
        f"{answer.info.thumbprint} was imported, and the server does not hold its private key",
        where=where,
        state="the certificate is in the machine's store without a key; nothing serves it",
        remedy=f"on that server: certutil -repairstore my {answer.info.thumbprint}; where that finds no key, remove the "
        "certificate, make a new request with lbsync csr and send that to the CA",
        code="no_private_key",
    )


def _b64(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")
