"""Certificate files on a balancer: one immutable PEM for each leaf (certificate, chain, key), named by its fingerprint.

Rule of this room: such a file is the only place on any disk with a private key. What is read of it is reduced to digests at once,
or handed to the product that serves it; a file is written once and never changed.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass

from lbsync.errors import Rejected
from lbsync.kit.host import Host
from lbsync.model import Receipt
from lbsync.target import MaterialSource
from lbsync_certs import Bundle, Fingerprint, Thumbprint
from lbsync_certs.info import fingerprint_of, thumbprint_of

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_PEM_NAME = re.compile(r"([0-9a-f]{64})\.pem\Z")


@dataclass(frozen=True, slots=True)
class PemFolder:
    """The folder, and who may read what is in it: its owner only, or ``shared`` with its group."""

    path: str
    owner: str | None = None
    group: str | None = None
    shared: bool = False

    def file(self, leaf: Fingerprint) -> str:
        """The path of one leaf's file."""
        return f"{self.path}/{pem_name(leaf)}"


def pem_name(leaf: Fingerprint) -> str:
    """File name of a leaf's PEM."""
    return f"{leaf}.pem"


def leaf_of(name: str | None) -> Fingerprint | None:
    """The leaf that a PEM's file name (or a link's target) stands for; ``None`` for any other name."""
    found = _PEM_NAME.match(name or "")
    return Fingerprint(found.group(1)) if found else None


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


def install_pem(host: Host, folder: PemFolder, leaf: Fingerprint, materials: MaterialSource) -> Receipt:
    """Write the file of ``leaf``, and the folder where it is missing. Raises CertificateError, TargetError."""
    path = folder.file(leaf)
    held = host.read_file(path)
    digests = leaf_digests(held) if held is not None else None
    if digests is not None and digests[0] == leaf:
        return Receipt(summary="the certificate is installed already", details={"file": path})
    bundle = open_bundle(materials, leaf, path)
    owner, group, shared = folder.owner, folder.group, folder.shared
    host.make_directory(folder.path, mode=0o750 if shared else 0o700, owner=owner, group=group)
    host.write_file(path, bundle.pem(), mode=0o640 if shared else 0o600, owner=owner, group=group)
    readers = f"its owner and the group {group}" if shared else "its owner only"
    return Receipt(summary=f"wrote the certificate and its key, readable by {readers}", details={"file": path})


def open_bundle(materials: MaterialSource, leaf: Fingerprint, place: str) -> Bundle:
    """The certificate with its key, to be written to ``place``.

    Raises CertificateError; Rejected (``other_certificate``) where the source holds another one by now; TargetError.
    """
    bundle = materials.open(leaf)
    if bundle.fingerprint != leaf:
        raise Rejected(
            f"the certificate that was opened is {bundle.fingerprint[:12]}, not {leaf[:12]}",
            where=place,
            state="nothing was written",
            remedy="plan again: the source holds another certificate now",
            code="other_certificate",
        )
    return bundle


def remove_pem(host: Host, folder: PemFolder, leaf: Fingerprint, *, served: bool, keep_directory: bool) -> Receipt:
    """Remove a leaf's file, and the folder where it is empty then; one that is ``served`` stays. Raises TargetError."""
    path = folder.file(leaf)
    if served:
        return Receipt(summary="kept the certificate: it is served", details={"file": path})
    host.remove(path)
    if not keep_directory:
        host.remove_directory(folder.path)
    return Receipt(summary="removed the certificate's file", details={"file": path})


def held_pem(data: bytes | None, path: str, leaf: Fingerprint) -> tuple[bytes, Thumbprint]:
    """What was read at ``path`` and its leaf's SHA-1. Raises Rejected where it is not there or does not hold that leaf."""
    digests = leaf_digests(data) if data is not None else None
    if data is None or digests is None or digests[0] != leaf:
        raise Rejected(
            "the certificate's file is missing"
            if data is None
            else "the file does not hold the certificate it is named by",
            where=path,
            state="the certificate served is the one before",
            remedy="plan and apply again: the certificate is installed first",
            code="not_installed",
        )
    return data, digests[1]
