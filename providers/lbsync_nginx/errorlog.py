"""NGINX's error log: where it is, and what went wrong since some moment.

Rule of this room: what was written after a mark is read, never more; where there is no file, nothing is said.
"""

from __future__ import annotations

from lbsync.errors import TargetError
from lbsync.kit.host import Host
from lbsync_nginx.dump import Directive
from lbsync_nginx.reloading import LogMark
from lbsync_nginx.tested import errors_in


def log_path(tree: tuple[Directive, ...], default: str | None) -> str | None:
    """Where the master logs: the last error_log outside every block, else the program's own; ``None`` for no file."""
    named = [one.args[0] for one in tree if one.name == "error_log" and one.args]
    path = named[-1] if named else default
    return path if path and path.startswith("/") else None


def errors_since(host: Host, mark: LogMark) -> tuple[str, ...]:
    """What went wrong since the mark, for a person to read; nothing where the log cannot be read."""
    if mark.path is None:
        return ()
    try:
        done = host.run(["tail", "-c", f"+{mark.size + 1}", "--", mark.path])
    except TargetError:
        return ()
    return tuple(filter(None, map(_ours_alone, errors_in(done.stdout.decode(errors="replace")))))


def _ours_alone(words: str) -> str:
    """A line without what a client sent; nothing where the line is about another site's request.

    Clients of every site write into this log (a path with a token, a Referer with control characters), and what is said here
    goes into ledger and report.
    """
    told, client, _ = words.partition(", client:")
    if client and "SSL" not in told:
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in told)
