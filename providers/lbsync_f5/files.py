"""A certificate as the three files that a BIG-IP takes: key, chain, leaf.

Rule of this room: pure; the bytes of a key leave it for an upload only.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lbsync_certs import Bundle


def key_pem(bundle: Bundle) -> bytes:
    """The key, unencrypted, in the form that every version reads (``BEGIN RSA PRIVATE KEY``, ``BEGIN EC PRIVATE KEY``)."""
    return bundle.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def leaf_pem(bundle: Bundle) -> bytes:
    """The leaf alone."""
    return bundle.leaf.public_bytes(Encoding.PEM)


def chain_pem(bundle: Bundle) -> bytes:
    """The intermediates, the leaf's issuer first; empty where there are none."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in bundle.chain)
