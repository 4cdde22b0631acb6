"""What of the administrator's files NGINX has not loaded yet: a reload of ours would make it live.

Rule of this room: reads only; times are compared, contents never quoted.

A file counts by when it, or the link to it, last changed in any way (so one that was moved or copied here with its old date
counts too), a folder of an include mask by when a name in it last did. Our own folder does not count, nor the one that our
file lies in: what we do there is a change as well.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from lbsync.errors import TargetError
from lbsync.kit.host import Host
from lbsync_nginx.dump import Dump, Include
from lbsync_nginx.layout import HTTP, STREAM, Layout

_CLOCK_S = 2.0
"""Clocks of files and processes may differ by so much before a file counts as newer than the workers."""
_MASKS = frozenset("*?[")


def not_loaded(
    host: Host, home: Layout, dump: Dump, includes: Iterable[Include], since: float | None
) -> tuple[str, ...]:
    """Files and folders that changed after ``since``, the start of the oldest worker in seconds since 1970.

    Nothing where that is unknown, or the host does not tell.
    """
    if since is None:
        return ()
    ours = {home.file(STREAM), home.file(HTTP)}
    files = [path for path in dump.files if path not in ours]
    masks = {posixpath.dirname(one.pattern) for one in includes if _MASKS & set(posixpath.basename(one.pattern))}
    folders = sorted(masks - {home.directory, posixpath.dirname(home.http_file)})
    try:
        # Z: the last change of anything, of the link (without -L) and of what it leads to; Y: of the names in a folder.
        told = [host.run(["stat", *more, "-c", "%Z %n", "--", *files]) for more in ((), ("-L",))]
        if folders:
            told.append(host.run(["stat", "-L", "-c", "%Y %n", "--", *folders]))
    except TargetError:
        return ()
    lines = (line.partition(" ") for done in told for line in done.stdout.decode(errors="replace").splitlines())
    return tuple(dict.fromkeys(path for at, _, path in lines if at.isdigit() and int(at) > since + _CLOCK_S))
