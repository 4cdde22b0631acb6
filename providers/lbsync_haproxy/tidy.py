"""What a killed run leaves in the owned directory, removed: half-written files and a configuration that was being tried.

Rule of this room: only names that lbsync alone gives (dot-named, so HAProxy passes over them), and never a certificate's file.
"""

from __future__ import annotations

import posixpath

from lbsync.kit.host import staging_name
from lbsync_haproxy import layout
from lbsync_haproxy.device import Device


def tidy(device: Device) -> None:
    """Remove half-written files and trials. Raises TargetError."""
    paths = [
        *(device.home.file(name) for name in layout.TEXT_FILES),
        device.home.live,
        device.home.marker,
        device.home.states,
    ]
    left = {
        *(device.host.list_directory(device.home.directory) or ()),
        *(device.host.list_directory(device.home.certs) or ()),
    }
    for path in paths:
        if posixpath.basename(staging_name(path)) in left:
            device.host.remove(staging_name(path))
    if posixpath.basename(device.home.staging) in left:
        clear_trial(device)


def clear_trial(device: Device) -> None:
    """Remove a configuration that was put up to be tried. Raises TargetError."""
    place = device.home.staging
    for name in device.host.list_directory(place) or ():
        device.host.remove(f"{place}/{name}")
    device.host.remove_directory(place)
