"""Certificate files on a balancer, looked at: whose leaf one holds.

Rule of this room: such a file may hold a private key, so it is reduced to its leaf's digests at once.
"""

from __future__ import annotations

import ssl

from lbsync_certs import Fingerprint, Thumbprint
from lbsync_certs.info import fingerprint_of, thumbprint_of

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def leaf_digests(pem: bytes) -> tuple[Fingerprint, Thumbprint] | None:
    """SHA-256 and SHA-1 of the first certificate of a PEM file, ``None`` where there is none."""
    text = pem.decode("ascii", errors="replace")
    start, end = text.find(_BEGIN), text.find(_END)
    if start < 0 or end < start:
        return None
    try:
        der = ssl.PEM_cert_to_DER_cert(text[start : end + len(_END)])
    except ValueError:
        return None
    return fingerprint_of(der), thumbprint_of(der)
