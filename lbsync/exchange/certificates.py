"""Certificates on a server: export with the key, import, bind to IIS, request.

Rule of this room: no secret travels in clear and none is written: a PFX password is made where it is needed, wrapped for a key
pair that lives for one call. What comes out is checked against the thumbprint asked for.

Sources: Export-/Import-/Enable-/New-ExchangeCertificate; the X509 store is Microsoft's own fallback since 2025.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from lbsync.changes import EnableCertificate, ImportCertificate
from lbsync.errors import CertificateError, Denied, Rejected
from lbsync.exchange.actions import ServiceCertificate
from lbsync.exchange.answers import (
    EnableAnswer,
    ExportAnswer,
    ImportAnswer,
    RequestAnswer,
    WrapKeyAnswer,
    shaped,
)
from lbsync.exchange.session import SessionPool
from lbsync.exchange.tier import NO_EXCHANGE, ExchangeTier
from lbsync.facts import ServerFacts
from lbsync_certs import Bundle, CertificateInfo, Thumbprint
from lbsync_certs.problem import CertificateProblem

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

_EXPORT_S = 180.0
_IMPORT_S = 240.0


def export(
    pool: SessionPool,
    thumbprint: Thumbprint,
    *,
    tier: ExchangeTier = NO_EXCHANGE,
    intermediates: Iterable[x509.Certificate] = (),
    deadline_s: float = _EXPORT_S,
) -> Bundle:
    """A certificate of a server, with its private key: by Export-ExchangeCertificate, else from the machine's store.

    The server makes a random PFX password and answers it encrypted (RSA-OAEP) for a key pair made here for this process.
    Raises CertificateError where it cannot be had (``export_failed``: not there or not exportable; or what lbsync_certs
    says of the PFX), Denied for a rejected login, Unreachable.
    """
    key = _unwrapping_key()
    numbers = key.public_key().public_numbers()
    params: dict[str, object] = {
        "thumbprint": thumbprint,
        "modulus": _b64(numbers.n.to_bytes(384, "big")),
        "exponent": _b64(numbers.e.to_bytes(3, "big")),
    }
    answer = _exported(pool, thumbprint, tier, params, deadline_s)
    password = key.decrypt(answer.key, _oaep())
    bundle = _opened(pool.name, answer.pfx, password, intermediates)
    if bundle.thumbprint != thumbprint:
        raise CertificateError(
            f"the export of {thumbprint} gave {bundle.thumbprint}",
            where=pool.name,
            state="it was not used",
            remedy="several certificates may share a subject: look at Get-ExchangeCertificate on that server",
            code="thumbprint_mismatch",
        )
    return bundle


@cache
def _unwrapping_key() -> rsa.RSAPrivateKey:
    """One for a process: to make it takes longer than the whole export, and every server makes a password of its own."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


def import_bundle(
    pool: SessionPool, bundle: Bundle, *, tier: ExchangeTier, deadline_s: float = _IMPORT_S
) -> tuple[Thumbprint, bool]:
    """Import a bundle, exportable, into a server's store; its thumbprint, and whether it was there already.

    The password of the PFX is encrypted for a key pair that the server makes for this import and deletes with it. Twice is
    once. Raises TargetError.
    """
    from lbsync_certs.pfx import write_pfx

    exchange = tier.params(pool.settings.tls_name)

    def once() -> ImportAnswer:
        container = f"lbsync-{uuid.uuid4()}"
        made = shaped(WrapKeyAnswer, pool.call("wrap-key", {"container": container}, deadline_s=60.0), "wrap-key")
        password = base64.b64encode(secrets.token_bytes(32))
        params = {
            "exchange": exchange,
            "server": pool.name,
            "thumbprint": bundle.thumbprint,
            "container": container,
            "pfx": _b64(write_pfx(bundle, password)),
            "key": _b64(_public(made).encrypt(password, _oaep())),
        }
        return shaped(
            ImportAnswer, pool.call("import-certificate", params, deadline_s=deadline_s), "import-certificate"
        )

    answer = pool.repeat(once, deadline_s=deadline_s)
    if answer.thumbprint.upper() != bundle.thumbprint:
        raise Rejected(
            f"imported {bundle.thumbprint}, and the server answered {answer.thumbprint}",
            where=pool.name,
            code="read_back",
            remedy="look at Get-ExchangeCertificate on that server",
        )
    return bundle.thumbprint, answer.already


def enable(
    pool: SessionPool,
    thumbprint: Thumbprint,
    *,
    tier: ExchangeTier,
    also: Iterable[ServiceCertificate] = (),
    deadline_s: float = _IMPORT_S,
) -> EnableAnswer:
    """Bind a stored certificate to IIS, Require SSL kept, and to nothing else but ``also``; the bindings after it.

    IMAP and POP are restarted where they are named and run. Twice is once. Raises TargetError.
    """
    params = {
        "exchange": tier.params(pool.settings.tls_name),
        "server": pool.name,
        "thumbprint": thumbprint,
        "also": [{"service": one.service.value, "thumbprint": one.thumbprint} for one in also],
    }
    answer = pool.call("enable-certificate", params, deadline_s=deadline_s, retry=True)
    return shaped(EnableAnswer, answer, "enable-certificate")


def request(
    pool: SessionPool,
    *,
    tier: ExchangeTier,
    subject: str,
    domains: Sequence[str],
    friendly_name: str,
    key_size: int = 2048,
    deadline_s: float = _IMPORT_S,
) -> tuple[str, Thumbprint | None, bool]:
    """A certificate request with an exportable key: PKCS#10 as PEM, its thumbprint, and whether it was pending already.

    ``friendly_name`` (``lbsync-<uuid>``) finds the pending request again, so twice is once. Raises TargetError.
    """
    params = {
        "exchange": tier.params(pool.settings.tls_name),
        "server": pool.name,
        "subject": subject,
        "domains": list(domains),
        "key_size": key_size,
        "friendly_name": friendly_name,
    }
    answer = pool.call("new-certificate-request", params, deadline_s=deadline_s, retry=True)
    told = shaped(RequestAnswer, answer, "new-certificate-request")
    return told.request, Thumbprint(told.thumbprint.upper()) if told.thumbprint else None, told.already


def distribution(
    leaf: CertificateInfo, servers: Iterable[ServerFacts]
) -> dict[str, tuple[ImportCertificate | EnableCertificate, ...]]:
    """By server: what must happen for IIS 443 of every member to serve ``leaf``; members that do already are left out."""
    todo: dict[str, tuple[ImportCertificate | EnableCertificate, ...]] = {}
    for server in servers:
        served = server.front_end_leaf
        if served is not None and served.info.fingerprint == leaf.fingerprint:
            continue
        enabling = EnableCertificate(before=served.info.thumbprint if served else None, after=leaf.thumbprint)
        stored = server.certificate(leaf.thumbprint)
        if stored is not None and stored.has_private_key:
            todo[server.server] = (enabling,)
        else:
            importing = ImportCertificate(leaf=leaf.fingerprint, thumbprint=leaf.thumbprint)
            todo[server.server] = (importing, enabling)
    return todo


def _exported(
    pool: SessionPool, thumbprint: Thumbprint, tier: ExchangeTier, params: dict[str, object], deadline_s: float
) -> ExportAnswer:
    said: list[str] = []
    if tier.available:
        exchange = {"exchange": tier.params(pool.settings.tls_name), "server": pool.name}
        try:
            answer = pool.call("export-certificate", params | exchange, deadline_s=deadline_s, retry=True)
            return shaped(ExportAnswer, answer, "export-certificate")
        except (Rejected, Denied) as error:
            pool.gate.check()  # a rejected login is not tried a second way
            said.append(error.message)
    try:
        answer = pool.call("export-certificate-store", params, deadline_s=deadline_s, retry=True)
        return shaped(ExportAnswer, answer, "export-certificate-store")
    except Rejected as error:
        said.append(error.message)
    raise CertificateError(
        f"the certificate {thumbprint} could not be exported with its private key: {'; '.join(said)}",
        where=pool.name,
        state="nothing was changed",
        remedy="where its key is not exportable: import its PFX again with -PrivateKeyExportable $true, request a new one, "
        'or give the PFX itself: [certificate] source = "file"',
        code="export_failed",
    )


def _opened(where: str, pfx: bytes, password: bytes, intermediates: Iterable[x509.Certificate]) -> Bundle:
    from lbsync_certs.pfx import open_pfx

    try:
        return open_pfx(pfx, password, intermediates=intermediates)
    except CertificateProblem as problem:
        failure = CertificateError(problem.message, where=where, state="nothing was changed", code=problem.code.value)
    raise failure


def _public(made: WrapKeyAnswer) -> rsa.RSAPublicKey:
    from cryptography.hazmat.primitives.asymmetric import rsa

    numbers = rsa.RSAPublicNumbers(int.from_bytes(made.exponent, "big"), int.from_bytes(made.modulus, "big"))
    return numbers.public_key()


def _oaep() -> padding.OAEP:
    # SHA-1 here is what RSACryptoServiceProvider of .NET 4.5 does with OAEP; its strength does not rest on collisions.
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
