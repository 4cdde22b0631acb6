"""The scripts that ask for a certificate: a new request, what is pending, and a CA's answer.

A pending request is a stand-in with the key, in the same store and shown as PendingRequest; the answer of a CA takes its place.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from lbsync.lab.errors import ScriptError
from lbsync.lab.models.call import Call, Result, b64
from lbsync.lab.models.exchange import need
from lbsync.lab.store import Store, StoredEntry
from lbsync_certs import Bundle, Thumbprint
from lbsync_certs.bundle import assemble, key_matches
from lbsync_certs.info import describe


def new_certificate_request(call: Call) -> Result:
    """New-ExchangeCertificate -GenerateRequest; the pending request of that friendly name is found again."""
    need(call.open_exchange("New-ExchangeCertificate", "Export-ExchangeCertificate"))
    server = call.named_server()
    friendly = call.text("friendly_name")
    for thumbprint, entry in server.store.entries.items():
        if entry.pending and entry.friendly_name == friendly and not _answered(server.store, entry):
            return {"request": _pem(entry.request), "thumbprint": thumbprint, "already": True}
    size = call.params.get("key_size")
    if not isinstance(size, int):
        raise ScriptError.unconvertible("key_size")
    key = rsa.generate_private_key(public_exponent=65537, key_size=size)
    request = _request(call.text("subject"), call.texts("domains"), key)
    stand_in = _stand_in(request, key)
    with call.farm.changes.lock:
        entry = StoredEntry(
            stand_in,
            status="PendingRequest",
            friendly_name=friendly,
            request=request.public_bytes(Encoding.DER),
        )
        thumbprint = server.store.add(entry)
        call.farm.changes.announce()
    return {"request": _pem(entry.request), "thumbprint": thumbprint, "already": False}


def certificate_requests(call: Call) -> Result:
    """What the REQUEST store holds, and whether the store of certificates holds one with its key."""
    with call.farm.changes.lock:
        store = call.server.store
        return {
            "present": _present(store, call.text("thumbprint")),
            "requests": [
                {
                    "thumbprint": thumbprint,
                    "raw": b64(entry.bundle.leaf.public_bytes(Encoding.DER)),
                    "friendly_name": entry.friendly_name,
                }
                for thumbprint, entry in store.entries.items()
                if entry.pending
            ],
        }


def complete_certificate_request(call: Call) -> Result:
    """Import-ExchangeCertificate of a CA's answer: the pending request becomes a certificate, with the request's key."""
    leaf = _certificate(call.binary("leaf"))
    above = [_certificate(der) for der in call.binaries("intermediates")]
    thumbprint = describe(leaf).thumbprint
    with call.farm.changes.lock:
        if _present(call.server.store, thumbprint):
            call.server.store.add_authorities(above)
            return {"thumbprint": thumbprint, "outcome": "already"}
        if _waiting(call.server.store, leaf) is None:
            return {"thumbprint": thumbprint, "outcome": "no_request"}
    need(call.open_exchange("Import-ExchangeCertificate"))
    with call.farm.changes.lock:
        call.server.store.add_authorities(above)
        _complete(call.named_server().store, leaf, keep=call.farm.spec.keeps_requests)
        call.farm.changes.announce()
        outcome = "completed" if _present(call.server.store, thumbprint) else "no_key"
    return {"thumbprint": thumbprint, "outcome": outcome}


def _complete(store: Store, leaf: x509.Certificate, *, keep: bool) -> None:
    waiting = _waiting(store, leaf)
    if waiting is None:
        return  # Exchange takes it without a key and says nothing; Get-ExchangeCertificate does not show it
    entry = store.entries[waiting]
    ended = leaf.not_valid_after_utc < datetime.now(UTC)
    store.add(
        StoredEntry(
            assemble(entry.bundle.key, [leaf]),
            exportable=entry.exportable,
            status="DateInvalid" if ended else "Valid",
            friendly_name=entry.friendly_name,
        )
    )
    if not keep:
        del store.entries[waiting]


def _waiting(store: Store, leaf: x509.Certificate) -> Thumbprint | None:
    """The pending request that a certificate answers: the one of its public key."""
    for thumbprint, entry in store.entries.items():
        if entry.pending and key_matches(leaf, entry.bundle.key):
            return thumbprint
    return None


def _answered(store: Store, request: StoredEntry) -> bool:
    """True for a request that stayed in its store though its certificate is there."""
    leaves = (entry.bundle.leaf for entry in store.entries.values() if not entry.pending)
    return any(key_matches(leaf, request.bundle.key) for leaf in leaves)


def _present(store: Store, thumbprint: str) -> bool:
    entry = store.find(thumbprint)
    return entry is not None and not entry.pending


def _certificate(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as problem:
        raise ScriptError(
            'Exception calling ".ctor" with "1" argument(s): "Cannot find the requested object.\r\n"',
            fqid="ConstructorInvokedThrowException,Microsoft.PowerShell.Commands.NewObjectCommand",
            category="InvalidOperation",
        ) from problem


def _request(subject: str, domains: list[str], key: rsa.RSAPrivateKey) -> x509.CertificateSigningRequest:
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name.from_rfc4514_string(subject))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in domains]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _stand_in(request: x509.CertificateSigningRequest, key: rsa.RSAPrivateKey) -> Bundle:
    """The self-signed certificate that stands in the REQUEST store until the real one comes."""
    now = datetime.now(UTC).replace(microsecond=0)
    name = request.subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "request")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    return assemble(key, [certificate])


def _pem(request: bytes) -> str:
    body = base64.b64encode(request).decode("ascii")
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\r\n".join(("-----BEGIN NEW CERTIFICATE REQUEST-----", *lines, "-----END NEW CERTIFICATE REQUEST-----", ""))
