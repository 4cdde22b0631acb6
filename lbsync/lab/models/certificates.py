"""The scripts that move certificates: export, import and enable.

Error texts are those Exchange is known to give; a key leaves the store only inside a PFX whose random password is wrapped
for the caller's RSA key.
"""

from __future__ import annotations

import base64
import re
import secrets
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from lbsync.lab.errors import ScriptError
from lbsync.lab.models.call import Call, Result, b64
from lbsync.lab.models.exchange import need
from lbsync.lab.models.local import bindings
from lbsync.lab.state import ServerState
from lbsync.lab.store import StoredEntry, to_pfx
from lbsync_certs import Bundle, Thumbprint
from lbsync_certs.bundle import assemble

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303  .NET 4.5 knows no other
_CONTAINER = re.compile(r"lbsync-[0-9a-f-]{36}")
_TASK = "Microsoft.Exchange.Management.SystemConfigurationTasks"


def export_certificate(call: Call) -> Result:
    """Export-ExchangeCertificate -BinaryEncoded, in memory. A pending request gives its PKCS#10."""
    password, wrapped = _wrapped_password(call)
    need(call.open_exchange("Export-ExchangeCertificate"))
    server = call.named_server()
    entry = server.store.find(call.text("thumbprint"))
    if entry is None:
        raise refused(server, f"The certificate with thumbprint {call.text('thumbprint')} was not found.", "Export")
    if entry.pending:
        return {"pfx": b64(entry.request), "key": wrapped}
    if not entry.exportable:
        raise refused(
            server,
            "The private key couldn't be exported as PKCS-12. It either couldn't be accessed or isn't exportable.",
            "Export",
        )
    return {"pfx": b64(to_pfx(entry.bundle, password, old=call.farm.spec.old_pfx)), "key": wrapped}


def export_certificate_store(call: Call) -> Result:
    """The machine's certificate store, without an Exchange session."""
    password, wrapped = _wrapped_password(call)
    thumbprint = call.text("thumbprint")
    entry = call.server.store.find(thumbprint)
    if entry is None or entry.pending:
        raise ScriptError.thrown(f"The certificate with thumbprint {thumbprint} was not found.")
    if not entry.exportable:
        raise ScriptError(
            'Exception calling "Export" with "2" argument(s): "Key not valid for use in specified state.\r\n"',
            fqid="CryptographicException",
            category="NotSpecified",
        )
    return {"pfx": b64(to_pfx(entry.bundle, password, old=call.farm.spec.old_pfx)), "key": wrapped}


def _wrapped_password(call: Call) -> tuple[bytes, str]:
    numbers = rsa.RSAPublicNumbers(
        int.from_bytes(call.binary("exponent"), "big"), int.from_bytes(call.binary("modulus"), "big")
    )
    password = base64.b64encode(secrets.token_bytes(32))
    return password, b64(numbers.public_key().encrypt(password, _OAEP))


@cache
def _spare_key() -> rsa.RSAPrivateKey:
    """For every container: to make one takes longer than all the rest of an import."""
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


def wrap_key(call: Call) -> Result:
    """A key pair in a machine key container named by the client; an existing container gives its key again."""
    name = call.text("container")
    if not _CONTAINER.fullmatch(name):
        raise ScriptError.thrown("the container is named lbsync-<uuid>")
    key = call.server.containers.get(name)
    if key is None:
        key = call.server.containers[name] = _spare_key()
    numbers = key.public_key().public_numbers()
    return {"modulus": b64(numbers.n.to_bytes(384, "big")), "exponent": b64(numbers.e.to_bytes(3, "big"))}


def import_certificate(call: Call) -> Result:
    """Import-ExchangeCertificate -PrivateKeyExportable $true; the container is gone afterwards, whatever happened."""
    key = call.server.containers.get(call.text("container"))
    if key is None:
        raise ScriptError(
            'Exception calling ".ctor" with "1" argument(s): "Keyset does not exist\r\n"',
            fqid="CryptographicException",
            category="NotSpecified",
        )
    try:
        present = call.server.store.find(call.text("thumbprint"))
        if present is not None and not present.pending:
            return {"thumbprint": present.bundle.info.thumbprint, "already": True}
        password = key.decrypt(call.binary("key"), _OAEP)
        need(call.open_exchange("Import-ExchangeCertificate"))
        server = call.named_server()
        bundle = _open(server, call.binary("pfx"), password)
        if server.store.find(bundle.info.thumbprint) is not None:
            raise refused(
                server,
                f"Cannot import certificate. A certificate with the thumbprint {bundle.info.thumbprint} already exists.",
                "Import",
            )
        with call.farm.changes.lock:
            server.store.add(StoredEntry(bundle))
            call.farm.changes.announce()
        return {"thumbprint": bundle.info.thumbprint, "already": False}
    finally:
        call.server.containers.pop(call.text("container"), None)


def _open(server: ServerState, pfx: bytes, password: bytes) -> Bundle:
    try:
        content = load_pkcs12(pfx, password)
    except ValueError as problem:
        raise refused(
            server, "The source data cannot be imported or the wrong password was specified.", "Import"
        ) from problem
    if content.key is None or content.cert is None:
        raise refused(server, "The source data cannot be imported or the wrong password was specified.", "Import")
    others = [extra.certificate for extra in content.additional_certs]
    return assemble(content.key, [content.cert.certificate, *others])


def enable_certificate(call: Call) -> Result:
    """Enable-ExchangeCertificate -DoNotRequireSsl -Force for IIS, then for others: bindings change, sslFlags do not."""
    also = [(str(one.get("service")), str(one.get("thumbprint"))) for one in call.records("also")]
    for service, _ in also:
        if service not in {"SMTP", "IMAP", "POP"}:
            raise ScriptError.thrown(f"refused: {service} is given no certificate here")
    need(call.open_exchange("Enable-ExchangeCertificate"))
    server = call.named_server()
    server.bind(_usable(server, call.text("thumbprint")))
    with call.farm.changes.lock:
        for service, thumbprint in also:
            server.store.enable(_usable(server, thumbprint), service)
            if service == "SMTP":  # -Force says yes to the question
                call.farm.directory.names.transport[server.name] = Thumbprint(thumbprint.upper())
        restarted = server.mail.restart([service for service, _ in also], server.store)
        call.farm.changes.announce()
    return {"bindings": bindings(call.server.iis), "restarted": restarted}


def _usable(server: ServerState, thumbprint: str) -> Thumbprint:
    """The thumbprint of a stored certificate with its key. Raises ScriptError."""
    entry = server.store.find(thumbprint)
    if entry is None:
        raise refused(server, f"The certificate with thumbprint {thumbprint} was not found.", "Enable")
    if entry.pending:
        raise refused(
            server,
            f"The certificate with thumbprint {thumbprint} was found but is not valid for use with Exchange Server "
            "(reason: PrivateKeyMissing).",
            "Enable",
        )
    return entry.bundle.info.thumbprint


def refused(server: ServerState, text: str, verb: str) -> ScriptError:
    """An error of the certificate cmdlets. The texts are known; the error id's form is as Exchange writes them [u]."""
    return ScriptError(
        f"A special Rpc error occurs on server {server.name}: {text}",
        fqid=f"[FailureCategory=Cmdlet-InvalidOperationException] 4C19BA4E,{_TASK}.{verb}ExchangeCertificate",
        category="InvalidOperation",
        target="",
    )
