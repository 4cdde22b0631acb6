"""What of the administrator's files NGINX has not loaded yet: a reload of ours would make it live.

Rule of this room: reads only; times are compared, contents never quoted.

A file counts by when it, or the link to it, was last written or changed in any way (so one that was moved or copied here with
its old date counts too), a folder of an include mask by when a name in it last did. Our own folder does not count, nor the one
that our file lies in: what we do there is a change as well.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from lbsync.errors import TargetError
from lbsync.kit.host import Host
from lbsync_nginx.dump import Dump, Include
from lbsync_nginx.layout import HTTP, STREAM, Layout
from lbsync_nginx.process import Workers

_MASKS = frozenset("*?[")


def not_loaded(
    host: Host, home: Layout, dump: Dump, includes: Iterable[Include], workers: Workers | None
) -> tuple[str, ...]:
    """Files and folders that changed after the oldest worker took up; nothing where that is unknown."""
    if workers is None or workers.since is None:
        return ()
    ours = {home.file(STREAM), home.file(HTTP)}
    files = [path for path in dump.files if path not in ours]
    masks = {posixpath.dirname(one.pattern) for one in includes if _MASKS & set(posixpath.basename(one.pattern))}
    folders = sorted(masks - {home.directory, posixpath.dirname(home.http_file)})
    form = "%.3Y %n\n%.3Z %n"
    try:
        # Y: last written, Z: last changed in any way; of the link (without -L) and of what it leads to.
        told = [host.run(["stat", *more, "-c", form, "--", *files]) for more in ((), ("-L",))]
        if folders:
            told.append(host.run(["stat", "-L", "-c", "%.3Y %n", "--", *folders]))
    except TargetError:
        return ()
    lines = (line.partition(" ") for done in told for line in done.stdout.decode(errors="replace").splitlines())
    latest = workers.since + workers.unsure_s
    return tuple(dict.fromkeys(path for at, _, path in lines if _seconds(at) > latest))


def _seconds(text: str) -> float:
    """A time as stat prints it; nothing for what is none, as where there is no such file any more."""
    try:
        return float(text)
    except ValueError:
        return 0.0
