"""Our files as they are on disk.

Rule of this room: reads only; a private key that is read on the way is reduced to its leaf at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbsync.kit.host import Host
from lbsync.kit.marker import read_marker
from lbsync.kit.pem_files import leaf_of
from lbsync_certs import Fingerprint
from lbsync_nginx.layout import TEXT_FILES, Files, Layout
from lbsync_nginx.render import structure_of
from lbsync_nginx.state import LINKS, LinkName, Links, NginxState, state_of


@dataclass(frozen=True, slots=True)
class Disk:
    """One look. ``files`` holds every text file (``None``: absent), ``links`` the leaf that each link leads to."""

    exists: bool
    files: Files
    certs_directory: bool
    installed: tuple[Fingerprint, ...]
    links: Links
    marker: str | None

    def state(self, main: str) -> NginxState | None:
        """The state of the file that carries the listener: ``main``, or the other one while the setting and the disk differ."""
        return state_of(self.files.get(main)) or next(filter(None, map(state_of, self.files.values())), None)

    def link(self, main: str) -> Fingerprint | None:
        """The leaf that the link leads to which our configuration on the disk names; ``main`` as for ``state``."""
        state = self.state(main)
        return self.links.get(state.link if state else LINKS[0])

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
        links={name: leaf_of(host.read_link(home.link(name))) for name in LINKS if f"{name}.pem" in (certs or ())},
        marker=read_marker(host, home.marker),
    )


def read_links(host: Host, home: Layout) -> dict[LinkName, Fingerprint | None]:
    """Where both links lead; none is looked for where certificates do not come by variable. Raises TargetError."""
    return {name: leaf_of(host.read_link(home.link(name))) if home.shared else None for name in LINKS}


def read_texts(host: Host, home: Layout) -> dict[str, str | None]:
    """Every text file of ours. Raises TargetError."""
    found = host.read_files([home.file(name) for name in TEXT_FILES])
    return {
        name: None if data is None else data.decode(errors="replace")
        for name, data in zip(TEXT_FILES, found, strict=True)
    }
