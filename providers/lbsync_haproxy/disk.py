"""The owned directory as it is on disk.

Rule of this room: reads only; a private key that is read on the way (the live PEM holds one) is reduced to its leaf at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbsync.kit.host import Host
from lbsync.kit.marker import read_marker
from lbsync.kit.pem_files import held_pem, leaf_digests, leaf_of
from lbsync_certs import Fingerprint, Thumbprint
from lbsync_haproxy import layout
from lbsync_haproxy.layout import Layout
from lbsync_haproxy.render import structure_of
from lbsync_haproxy.states import Place, begins


@dataclass(frozen=True, slots=True)
class Disk:
    """One look. ``files`` holds the four text files (``None``: absent), ``live`` the leaf the live link points to."""

    exists: bool
    files: dict[str, str | None]
    live: Fingerprint | None
    live_thumbprint: Thumbprint | None
    certs_directory: bool
    installed: tuple[Fingerprint, ...]
    marker: str | None
    foreign: tuple[str, ...]
    """Configuration files in our directory that are not ours: HAProxy loads them with it."""
    begins: dict[Place, str]
    """Servers that are not ready when HAProxy begins the next time, as the server state file has them."""
    stale_ocsp: bool
    """An OCSP answer lies beside the live certificate; HAProxy would staple it to any leaf."""

    @property
    def structure(self) -> str | None:
        """Digest of the text files, ``None`` where one is missing."""
        return structure_of(self.files)


def read_disk(host: Host, home: Layout) -> Disk:
    """Look at the owned directory. Raises TargetError."""
    names = host.list_directory(home.directory)
    certs = host.list_directory(home.certs)
    live = leaf_of(host.read_link(home.live)) if certs else None
    leaves = live_leaf(host, home) if live else None
    if leaves is None or leaves[0] != live:
        live, leaves = None, None  # dangling, or a file that does not hold what its name says
    return Disk(
        exists=names is not None,
        files={name: read_text(host, home, name) for name in layout.TEXT_FILES},
        live=live,
        live_thumbprint=leaves[1] if leaves else None,
        certs_directory=certs is not None,
        installed=tuple(leaf for name in certs or () if (leaf := leaf_of(name))),
        marker=read_marker(host, home.marker),
        foreign=tuple(n for n in names or () if n.endswith(".cfg") and not n.startswith(".") and n != layout.CFG),
        begins=begins(read_text(host, home, layout.STATES)),
        stale_ocsp="live.pem.ocsp" in (certs or ()),
    )


def read_text(host: Host, home: Layout, name: str) -> str | None:
    """One of our text files. Raises TargetError."""
    data = host.read_file(home.file(name))
    return None if data is None else data.decode(errors="replace")


def live_leaf(host: Host, home: Layout) -> tuple[Fingerprint, Thumbprint] | None:
    """SHA-256 and SHA-1 of the leaf in the file that the live link points to."""
    data = host.read_file(home.live)
    return leaf_digests(data) if data is not None else None


def installed_pem(host: Host, home: Layout, leaf: Fingerprint) -> tuple[bytes, Thumbprint]:
    """An installed certificate's file and its SHA-1, without empty lines (they end a Runtime API payload).

    Raises Rejected where it is not there or does not hold that leaf.
    """
    path = home.certificate(leaf)
    data, thumbprint = held_pem(host.read_file(path), path, leaf)
    lines = [line.strip() for line in data.splitlines()]
    return b"\n".join(line for line in lines if line) + b"\n", thumbprint
