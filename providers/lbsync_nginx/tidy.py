"""What a killed run leaves beside our files, removed: half-written ones.

Rule of this room: only names that lbsync alone gives, and never a certificate's file, which its own removal takes along. NGINX
loads none of them: each begins with a dot, which no star of an include stands for.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.kit.host import Host, staging_name
from lbsync_nginx.layout import TEXT_FILES, Layout


def half_written(home: Layout) -> tuple[str, ...]:
    """Where our text files and the run marker are while they are being written."""
    return (*(staging_name(home.file(name)) for name in TEXT_FILES), staging_name(home.marker))


def tidy(host: Host, home: Layout) -> None:
    """Remove everything that a killed run may have left half-written. Raises TargetError."""
    remove(host, (*half_written(home), *map(staging_name, home.links)))


def remove(host: Host, paths: Iterable[str]) -> None:
    """Remove files that are there or not, by one command; where the rights are missing, what follows says so."""
    host.run(["rm", "-f", "--", *paths])
