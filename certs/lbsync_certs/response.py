"""What a CA sends back for a certificate request: one certificate, or a chain, in any of the forms that CAs use.

Rule of this room: bytes in, the leaf and its chain out, or one clear ``CertificateProblem``, so that a wrong file is refused
before a server is asked anything. Whether it answers *this* request is for the one who holds the request.

Windows' own CA writes PKCS#7 between the same lines as a certificate, so what a block holds decides, never its label.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import pkcs7

from lbsync_certs.bundle import public_bytes
from lbsync_certs.chain import issued_by, order
from lbsync_certs.info import BROKEN, describe, is_self_signed, subject_of
from lbsync_certs.pfx_shape import shape_of
from lbsync_certs.problem import CertificateProblem, ProblemCode
from lbsync_certs.quiet import quietly
from lbsync_certs.values import CertificateInfo

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 #]+)-----(.*?)-----END \1-----", re.DOTALL)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEQUENCE = b"\x30"
"""The first byte of everything that is DER here."""


@dataclass(frozen=True, slots=True)
class Response:
    """A CA's answer. ``chain`` is ordered from the leaf's issuer upwards as far as the answer goes, without the leaf."""

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    info: CertificateInfo

    @property
    def intermediates(self) -> tuple[x509.Certificate, ...]:
        """The chain without a self-signed root: whom to trust is not for a CA's answer to say."""
        return tuple(cert for cert in self.chain if not is_self_signed(cert))

    @property
    def public_key(self) -> bytes:
        """The leaf's SubjectPublicKeyInfo in DER, which is equal exactly where it answers a request of the same key."""
        return public_bytes(self.leaf.public_key())


def read_response(data: bytes) -> Response:
    """The leaf of a CA's answer, and its chain: a certificate (PEM, DER, bare base64) or PKCS#7 (PEM, DER).

    The leaf is the certificate that issued none of the others and is no CA; where several of one key are, the first of them
    that ends last. Raises CertificateProblem: ``no_certificate``, ``several_keys``, ``chain_broken``, ``unreadable``.
    """
    certificates = tuple(dict.fromkeys(_certificates(data)))
    try:
        leaf = _leaf(certificates)
        return Response(leaf=leaf, chain=order(leaf, certificates), info=describe(leaf))
    except BROKEN:
        # A name, a key or an extension that breaks its own rules; no TLS server could use it.
        raise _not_an_answer("a certificate in it cannot be read") from None


def _certificates(data: bytes) -> Iterable[x509.Certificate]:
    text = _unwrapped(data)
    blocks = [(label, _decoded(body)) for label, body in _BLOCK.findall(text)]
    if any(label.endswith(b"PRIVATE KEY") for label, _ in blocks):
        raise _not_an_answer("it holds a private key, which no CA has. Use it as a certificate file instead")
    if not blocks:
        bare = text if data.startswith(_SEQUENCE) else _decoded(text)
        blocks = [(b"", bare)]
    for _, der in blocks:
        yield from _from_der(der)


def _unwrapped(data: bytes) -> bytes:
    """Text as PowerShell's own redirection saves it (UTF-16) becomes bytes like any other."""
    if not data.startswith(_UTF16):
        return data
    try:
        return data.decode("utf-16").encode()
    except UnicodeDecodeError:
        return data


def _decoded(text: bytes) -> bytes:
    """Base64 as bytes; empty where it is none."""
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return b""


def _from_der(der: bytes) -> Sequence[x509.Certificate]:
    if not der.startswith(_SEQUENCE):
        raise _not_an_answer("it is empty, damaged, or some other text")
    try:
        return (x509.load_der_x509_certificate(der),)
    except ValueError:
        pass
    try:
        with quietly("PKCS#7 certificates could not be parsed as DER"):  # BER is allowed there, and some CAs write it
            return pkcs7.load_der_pkcs7_certificates(der)
    except (ValueError, UnsupportedAlgorithm):
        raise _not_an_answer(_what_it_is(der)) from None


def _what_it_is(der: bytes) -> str:
    if _parses(x509.load_der_x509_csr, der):
        return "it is the request itself. Send that to the CA, and give here what comes back"
    if _parses(shape_of, der):
        return "it is a PFX, which brings its own private key. Use it as a certificate file instead"
    if b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" in der[:32]:  # 1.2.840.113549.1.7.2, signedData
        return "it is a PKCS#7 file without a readable certificate. Download the CA's answer again"
    return "its structure is another one, or it is cut short"


def _parses(load: Callable[[bytes], object], der: bytes) -> bool:
    try:
        load(der)
    except ValueError:
        return False
    return True


def _leaf(certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    ends = [cert for cert in certificates if not _is_ca(cert) and not _issued_another(cert, certificates)]
    if not ends:
        raise CertificateProblem(
            ProblemCode.NO_CERTIFICATE,
            f"There are only certificates of CAs in it ({_listed(certificates)}). Download the server's certificate too, "
            "or the whole chain as one .p7b file.",
        )
    if len({public_bytes(cert.public_key()) for cert in ends}) > 1:
        raise CertificateProblem(
            ProblemCode.SEVERAL_KEYS,
            f"There are {len(ends)} server certificates of different keys in it ({_listed(ends)}), and which one is meant "
            "cannot be told. Give the answer to one request alone.",
        )
    return max(ends, key=lambda cert: cert.not_valid_after_utc)


def _issued_another(cert: x509.Certificate, others: Iterable[x509.Certificate]) -> bool:
    return any(other != cert and issued_by(other, cert) for other in others)


def _is_ca(cert: x509.Certificate) -> bool:
    try:
        return cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _listed(certificates: Iterable[x509.Certificate]) -> str:
    return "; ".join(subject_of(cert) for cert in certificates)


def _not_an_answer(why: str) -> CertificateProblem:
    return CertificateProblem(
        ProblemCode.UNREADABLE,
        f"This is no CA's answer to a request (a certificate, or a .p7b file): {why}.",
    )
