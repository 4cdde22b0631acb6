"""PFX files (PKCS#12) as Windows, Exchange and OpenSSL write them.

Rule of this room: bytes in, a ``Bundle`` out, or one clear ``CertificateProblem``; passwords and keys are in no message. It
touches no file: who owns the bytes reads them.

Windows up to Server 2016 writes 3DES-SHA1 for the key and RC2-40 for the certificates, later ones AES-256 on request; all of
them seal with a MAC, other programs may not.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Literal, assert_never

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    KeySerializationEncryption,
    PrivateFormat,
    pkcs12,
)

from lbsync_certs.bundle import Bundle, assemble
from lbsync_certs.pfx_shape import MalformedError, Shape, UnsupportedError, shape_of
from lbsync_certs.problem import CertificateProblem, ProblemCode
from lbsync_certs.quiet import quietly

Encryption = Literal["3des", "aes256"]

_WINDOWS_ROUNDS = 2000

# An empty safe under RC2-40 and the password "x": opens exactly where OpenSSL's legacy algorithms are at hand.
_RC2_PROBE = bytes.fromhex(
    "305e020103305906092a864886f70d010701a04c044a3048304606092a864886f70d010706a0393037020100303206092a864886f70d010701"
    "301b060a2a864886f70d010c0106300d04086c6273796e6330300201018008436243e0beebc0f1"
)


def open_pfx(data: bytes, password: str | bytes | None, *, intermediates: Iterable[x509.Certificate] = ()) -> Bundle:
    """The certificate, its key and its chain, completed from ``intermediates``.

    ``password`` is text, or its UTF-8 bytes; ``None`` for none. Raises CertificateProblem: ``not_pfx``,
    ``wrong_password``, ``legacy_disabled``, ``unsupported_pfx``, ``no_key``, ``several_keys``, ``no_certificate``,
    ``key_mismatch``, ``chain_broken``, ``unreadable``.
    """
    secret = _utf8(password)
    try:
        shape = shape_of(data)
    except MalformedError:
        raise _not_pfx(data) from None
    except UnsupportedError as error:
        raise _unsupported(str(error)) from None
    content = _load(data, secret)
    if content is None:
        raise why_closed(shape, secret, rc2_works=_load(_RC2_PROBE, b"x") is not None)
    if content.key is None:
        raise CertificateProblem(
            ProblemCode.NO_KEY,
            "The PFX holds no private key. Export it again with its private key; on Windows that works only where the "
            "key was made or imported as exportable.",
        )
    _refuse_several_keys(shape, secret)
    found = (content.cert, *content.additional_certs)
    return assemble(content.key, [each.certificate for each in found if each is not None], intermediates)


def write_pfx(bundle: Bundle, password: bytes, *, encryption: Encryption = "3des", name: str | None = None) -> bytes:
    """A PFX for ``Import-ExchangeCertificate``: key, leaf and whole chain. ``name`` is its friendly name in Windows.

    ``3des`` (3DES-SHA1) is what every Windows opens: Server 2016 and older, on which Exchange 2013 and 2016 live, answer
    an AES file with "the password is incorrect". Its strength is that of the password: use a long random one, keep the
    bytes in memory and send them inside TLS. ``aes256`` is for Server 2019 and later. An empty password is refused with
    ValueError.
    """
    if not password:
        raise ValueError("a PFX without a password would be a private key in clear")
    return pkcs12.serialize_key_and_certificates(
        name.encode() if name is not None else None,
        bundle.key,
        bundle.leaf,
        bundle.chain,
        _encryption(encryption, password),
    )


def _utf8(password: str | bytes | None) -> bytes | None:
    """What cryptography takes. Bytes that are no UTF-8 are Latin-1, as OpenSSL reads them for the older ciphers."""
    if not isinstance(password, bytes):
        return password.encode() if password is not None else None
    try:
        return password.decode().encode()
    except UnicodeDecodeError:
        return password.decode("latin-1").encode()


def _encryption(encryption: Encryption, password: bytes) -> KeySerializationEncryption:
    match encryption:
        case "3des":
            builder = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(_WINDOWS_ROUNDS)
            builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            return builder.hmac_hash(hashes.SHA1()).build(password)  # noqa: S303  what old Windows reads
        case "aes256":
            return BestAvailableEncryption(password)
        case _:
            assert_never(encryption)


def _load(data: bytes, password: bytes | None) -> pkcs12.PKCS12KeyAndCertificates | None:
    """The contents, or ``None``: OpenSSL does not say why it could not."""
    try:
        with quietly("PKCS#12 bundle could not be parsed as DER"):  # old Windows writes BER
            return pkcs12.load_pkcs12(data, password)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _refuse_several_keys(shape: Shape, password: bytes | None) -> None:
    """Cryptography silently picks one of several keys, which may be the one nobody meant."""
    if shape.keys > 1:
        raise CertificateProblem(
            ProblemCode.SEVERAL_KEYS,
            f"The PFX holds {shape.keys} private keys, and which one is meant cannot be told. Export one certificate alone.",
        )
    for content in shape.parts(password):
        opened = _load(content, password)
        if opened is None or opened.key is not None:
            # No Windows writes keys there. Whether it is one or several cannot be seen.
            raise _unsupported("a private key lies inside an encrypted part, where keys cannot be counted")


def why_closed(shape: Shape, password: bytes | None, *, rc2_works: bool) -> CertificateProblem:
    """Why the contents did not open, as far as the file tells; ``rc2_works`` is what this machine's OpenSSL can do."""
    sealed = shape.mac.verifies(password) if shape.mac else None
    if sealed is False:
        return CertificateProblem(
            ProblemCode.WRONG_PASSWORD, "The password of the PFX is wrong, or the file is damaged."
        )
    if shape.uses_rc2 and not rc2_works:
        return CertificateProblem(
            ProblemCode.LEGACY_DISABLED,
            "The PFX is encrypted with RC2 and OpenSSL's legacy algorithms are switched off here. Unset "
            "CRYPTOGRAPHY_OPENSSL_NO_LEGACY for this command, or export the PFX again with AES or 3DES.",
        )
    if sealed:
        used = ", ".join(sorted(shape.algorithms)) or "none"
        return _unsupported(f"the password is right, but its contents cannot be read (encryption: {used})")
    return CertificateProblem(
        ProblemCode.WRONG_PASSWORD,
        "The PFX does not open: the password is wrong, or the file is damaged. It carries no MAC that could be checked, so "
        "which of the two cannot be told.",
    )


def _unsupported(why: str) -> CertificateProblem:
    return CertificateProblem(
        ProblemCode.UNSUPPORTED_PFX,
        f"This PFX cannot be used: {why}. Export it again from Windows with a password, or with openssl pkcs12 -export.",
    )


def _not_pfx(data: bytes) -> CertificateProblem:
    """What else the bytes are, since people hand over the wrong file more often than a broken one."""
    return CertificateProblem(ProblemCode.NOT_PFX, f"This is not a PFX file: {_what_it_is(data)}")


def _what_it_is(data: bytes) -> str:
    text = data.strip()
    if not text:
        return "it is empty."
    if text.startswith(b"-----BEGIN"):
        return "it is PEM text. Give it as a PEM file, with its private key."
    if _is_base64(text):
        return "it is Base64 text. Decode it first (Export-ExchangeCertificate writes bytes with -BinaryEncoded)."
    if _parses(x509.load_der_x509_certificate, data):
        return "it is a certificate without a private key (.cer). Export it again with the private key (.pfx)."
    if _parses(x509.load_der_x509_csr, data):
        return "it is a certificate request, as a pending certificate exports. Complete the request first."
    return "its structure is another one, or it is cut short."


def _is_base64(text: bytes) -> bool:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True).startswith(b"\x30")
    except binascii.Error:
        return False


def _parses(load: Callable[[bytes], object], data: bytes) -> bool:
    try:
        load(data)
    except ValueError:
        return False
    return True
