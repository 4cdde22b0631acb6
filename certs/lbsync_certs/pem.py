"""PEM files: certificates and a key as text, as HAProxy, NGINX and OpenSSL write them.

Rule of this room: as in ``pfx``, bytes in and a ``Bundle`` or one clear ``CertificateProblem`` out; order, line ends and text
between the blocks do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lbsync_certs.bundle import Bundle, assemble
from lbsync_certs.problem import CertificateProblem, ProblemCode

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CERTIFICATES = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE"})


def open_pem(
    data: bytes, password: str | bytes | None = None, *, intermediates: Iterable[x509.Certificate] = ()
) -> Bundle:
    """A bundle from certificates and one key, in any order.

    ``password`` opens an encrypted key and is ignored where the key is not. Raises CertificateProblem: ``not_pem``,
    ``no_key``, ``several_keys``, ``no_certificate``, ``wrong_password``, ``key_mismatch``, ``chain_broken``,
    ``unreadable``.
    """
    blocks = _blocks(data)
    if not blocks:
        raise CertificateProblem(
            ProblemCode.NOT_PEM, "There is no PEM block in it. A file in DER form is opened as a PFX."
        )
    keys = [text for label, text in blocks if label.endswith(b"PRIVATE KEY")]
    if not keys:
        raise CertificateProblem(ProblemCode.NO_KEY, "There is no private key in it. Add the key of the certificate.")
    if len(keys) > 1:
        raise CertificateProblem(
            ProblemCode.SEVERAL_KEYS,
            f"There are {len(keys)} private keys in it, and which one is meant cannot be told.",
        )
    secret = password.encode() if isinstance(password, str) else password
    return assemble(_key(keys[0], secret), _certificates(blocks), intermediates)


def certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    """Every certificate of a CA file or of a list of intermediates, PEM or DER, in the order of the file.

    Keys in it are not read. Raises CertificateProblem ``no_certificate`` or ``unreadable``.
    """
    blocks = _blocks(data)
    found = _certificates(blocks) if blocks else (_certificate(data, pem=False),)
    if not found:
        raise CertificateProblem(ProblemCode.NO_CERTIFICATE, "There is no certificate in it.")
    return found


def _blocks(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((match[1], match[0]) for match in _BLOCK.finditer(data.replace(b"\r", b"")))


def _certificates(blocks: Iterable[tuple[bytes, bytes]]) -> tuple[x509.Certificate, ...]:
    return tuple(_certificate(text, pem=True) for label, text in blocks if label in _CERTIFICATES)


def _certificate(data: bytes, *, pem: bool) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise CertificateProblem(
            ProblemCode.UNREADABLE, "A certificate in it cannot be read: the block is damaged or cut short."
        ) from error


def _key(text: bytes, password: bytes | None) -> PrivateKeyTypes:
    encrypted = b"ENCRYPTED" in text
    if encrypted and not password:
        raise CertificateProblem(ProblemCode.WRONG_PASSWORD, "The private key is encrypted and no password was given.")
    try:
        return load_pem_private_key(text, password if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is left out: what the parser saw was a key.
        if encrypted:
            raise CertificateProblem(
                ProblemCode.WRONG_PASSWORD, "The password of the private key is wrong, or the key is damaged."
            ) from None
        raise CertificateProblem(
            ProblemCode.UNREADABLE, "The private key cannot be read: damaged or cut short."
        ) from None
