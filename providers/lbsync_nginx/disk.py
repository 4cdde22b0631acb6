"""Our files as they are on disk.

Rule of this room: reads only; a private key that is read on the way is reduced to its leaf at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lbsync.errors import Rejected
from lbsync.kit.host import Host
from lbsync.kit.marker import read_marker
from lbsync.kit.pem_files import leaf_digests
from lbsync.kit.seal import seal_of
from lbsync_certs import Fingerprint
from lbsync_nginx.layout import TEXT_FILES, Files, Layout
from lbsync_nginx.render import structure_of
from lbsync_nginx.state import NginxState, state_of

_PEM = re.compile(r"([0-9a-f]{64})\.pem\Z")


@dataclass(frozen=True, slots=True)
class Disk:
    """One look. ``files`` holds every text file (``None``: absent), ``link`` the leaf that the live link points to."""

    exists: bool
    files: Files
    certs_directory: bool
    installed: tuple[Fingerprint, ...]
    link: Fingerprint | None
    marker: str | None

    def state(self, main: str) -> NginxState | None:
        """The state of the file that carries the listener."""
        return state_of(self.files.get(main))

    @property
    def structure(self) -> str | None:
        """Digest of the files without their state; ``None`` where there is no listener among them."""
        return structure_of(self.files)


def read_disk(host: Host, home: Layout) -> Disk:
    """Look at everything we own. Raises TargetError."""
    names = host.list_directory(home.directory)
    certs = host.list_directory(home.certs) if names is not None else None
    return Disk(
        exists=names is not None,
        files=read_texts(host, home),
        certs_directory=certs is not None,
        installed=tuple(leaf for name in certs or () if (leaf := leaf_of(name))),
        link=leaf_of(host.read_link(home.live)) if "live.pem" in (certs or ()) else None,
        marker=read_marker(host, home.marker),
    )


def read_texts(host: Host, home: Layout) -> dict[str, str | None]:
    """Every text file of ours. Raises TargetError."""
    found = host.read_files([home.file(name) for name in TEXT_FILES])
    return {
        name: None if data is None else data.decode(errors="replace")
        for name, data in zip(TEXT_FILES, found, strict=True)
    }


def leaf_of(name: str | None) -> Fingerprint | None:
    """The leaf that a PEM's file name (or a link's target) stands for; ``None`` for any other name."""
    found = _PEM.match((name or "").rpartition("/")[2])
    return Fingerprint(found.group(1)) if found else None


def refuse_missing(home: Layout, leaf: Fingerprint, data: bytes | None) -> None:
    """Raises Rejected where a leaf's file (``data``) is not there or does not hold what its name says."""
    path = home.certificate(leaf)
    digests = leaf_digests(data) if data is not None else None
    if digests is None or digests[0] != leaf:
        raise Rejected(
            "the certificate's file is missing"
            if data is None
            else "the file does not hold the certificate it is named by",
            where=path,
            state="the certificate served is the one before",
            remedy="plan and apply again: the certificate is installed first",
            code="not_installed",
        )


def refuse_edited(home: Layout, files: Files) -> None:
    """Raises Rejected where somebody wrote or edited a file of ours."""
    for name, text in files.items():
        if seal_of(text) in {"edited", "foreign"}:
            raise Rejected(
                "the file was written or edited by somebody else, and is not overwritten",
                where=home.file(name),
                state="nothing was changed",
                remedy="keep what you need of it elsewhere, remove the file, then plan again",
                code="edited",
            )
