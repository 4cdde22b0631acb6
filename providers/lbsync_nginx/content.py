"""Our text files and links as one thing, put in its place.

Rule of this room: it writes what differs and nothing else; whether NGINX takes it is another's business (``publish``).
"""

from __future__ import annotations

from dataclasses import dataclass

from lbsync.kit.pem_files import pem_name
from lbsync_nginx.device import Device
from lbsync_nginx.layout import CA, TEXT_FILES, Files
from lbsync_nginx.state import LINKS, LinkName, Links, state_of
from lbsync_nginx.tidy import remove


@dataclass(frozen=True, slots=True)
class Content:
    """Our files, and where links lead (``None``: absent); a link that is not named is let alone."""

    files: Files
    links: Links

    def has(self, wanted: Content) -> bool:
        """Whether this holds what is wanted."""
        return self.files == wanted.files and self.links_as(wanted)

    def links_as(self, wanted: Content) -> bool:
        """Whether links lead here where they are wanted to."""
        return all(self.links.get(name) == leaf for name, leaf in wanted.links.items())


def place(device: Device, before: Content, after: Content) -> None:
    """Only what differs, in an order in which NGINX can start at every moment.

    Links come first, but those that are not wanted any more, which workers may still read (``unlink``). A file that loses the
    listener comes before others, since two would not go together; then what others refer to.
    """
    for link, leaf in after.links.items():
        if leaf is not None and leaf != before.links.get(link):
            device.host.symlink(pem_name(leaf), device.home.link(link))
    changed = [name for name in TEXT_FILES if after.files.get(name) != before.files.get(name)]
    losing = [name for name in changed if state_of(before.files.get(name)) and not state_of(after.files.get(name))]
    for name in (*losing, *(name for name in changed if name not in losing)):
        text = after.files.get(name)
        if text is not None:
            _write(device, name, text)
        elif name != CA:
            device.host.remove(device.home.file(name))
    if CA in changed and after.files.get(CA) is None:
        device.host.remove(device.home.ca)


def unlink(device: Device, before: Content, after: Content) -> None:
    """Remove the links that were there before and shall not be; no worker may read them by then. Raises TargetError."""
    unwanted: list[LinkName] = [link for link in LINKS if link in after.links and after.links[link] is None]
    gone = [device.home.link(link) for link in unwanted if before.links.get(link) is not None]
    if gone:
        remove(device.host, gone)


def _write(device: Device, name: str, text: str) -> None:
    owner, group = device.settings.owner, device.settings.group
    device.host.write_file(device.home.file(name), text.encode(), mode=None, owner=owner, group=group)
