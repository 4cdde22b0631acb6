"""NGINX's error log: the only place where a master says that it could not do what it was told.

Rule of this room: what was written after a mark is read, never more; where there is no file, nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from lbsync.errors import TargetError
from lbsync.kit.host import Host
from lbsync_nginx.dump import Directive
from lbsync_nginx.tested import serious_lines


@dataclass(frozen=True, slots=True)
class LogMark:
    """An error log's file (``None``: it goes elsewhere) and its length in bytes at some moment."""

    path: str | None
    size: int = 0


def log_path(tree: tuple[Directive, ...], default: str | None) -> str | None:
    """Where the master logs: the last error_log outside every block, else the program's own; ``None`` for no file."""
    named = [one.args[0] for one in tree if one.name == "error_log" and one.args]
    path = named[-1] if named else default
    return path if path and path.startswith("/") else None


def mark_log(host: Host, path: str | None) -> LogMark:
    """The log's length now; no file counts as none."""
    if path is None:
        return LogMark(None)
    try:
        there = host.stat(path)
    except TargetError:
        return LogMark(None)
    return LogMark(path, there.size if there is not None else 0)


def failures_since(host: Host, mark: LogMark) -> tuple[str, ...]:
    """Serious lines written since the mark; a log that was rotated meanwhile is read from its beginning."""
    if mark.path is None:
        return ()
    try:
        there = host.stat(mark.path)
        if there is None or there.size == mark.size:
            return ()
        start = mark.size if there.size > mark.size else 0
        done = host.run(["tail", "-c", f"+{start + 1}", "--", mark.path])
    except TargetError:
        return ()
    return serious_lines(done.stdout.decode(errors="replace"))
