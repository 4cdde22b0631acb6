"""NGINX as a process: its master, its workers, since when they run, and how it is told to reload.

Rule of this room: it looks and reloads; whether a reload took is judged by ``live``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lbsync.errors import Rejected, TargetError
from lbsync.kit.host import Completed, Host
from lbsync_nginx.settings import NginxSettings

_TICKS_PER_S = 100  # USER_HZ is 100 on every Linux that NGINX is packaged for
_STARTED = 19  # field 22 of /proc/PID/stat, counted from behind the name in parentheses
_BOOT = re.compile(r"^btime (\d+)$", re.MULTILINE)
_WORKER = "nginx: worker process"
_ENDING = f"{_WORKER} is shutting down"


@dataclass(frozen=True, slots=True)
class Workers:
    """Process ids.

    ``ending`` finish what they have and take nothing new; ``since`` is when the newest took up, in seconds
    since 1970, or ``None`` where that cannot be seen.
    """

    taking: frozenset[int]
    ending: frozenset[int]
    since: float | None = None


def master_of(host: Host, settings: NginxSettings) -> int | None:
    """The master's process id, ``None`` where NGINX does not run. Raises TargetError."""
    words = (host.read_file(settings.pid_file) or b"").split()
    if not words or not words[0].isdigit():
        return None
    pid = int(words[0])
    return pid if host.read_file(f"/proc/{pid}/stat") is not None else None


def workers_of(host: Host, master: int) -> Workers:
    """The master's workers as they are now. Raises TargetError."""
    (children,) = host.read_files([f"/proc/{master}/task/{master}/children"])
    pids = [int(word) for word in (children or b"").split()]
    texts = host.read_files([f"/proc/{pid}/{name}" for pid in pids for name in ("cmdline", "stat")] + ["/proc/stat"])
    titles = {
        pid: (texts[2 * number] or b"").rstrip(b"\0 ").decode(errors="replace") for number, pid in enumerate(pids)
    }
    taking = frozenset(pid for pid, title in titles.items() if title == _WORKER)
    starts = [_ticks(texts[2 * number + 1]) for number, pid in enumerate(pids) if pid in taking]
    boot = _BOOT.search((texts[-1] or b"").decode(errors="replace"))
    known = [start for start in starts if start is not None]
    return Workers(
        taking=taking,
        ending=frozenset(pid for pid, title in titles.items() if title == _ENDING),
        since=int(boot[1]) + max(known) / _TICKS_PER_S if boot and known else None,
    )


def _ticks(stat: bytes | None) -> int | None:
    fields = (stat or b"").rpartition(b")")[2].split()
    return int(fields[_STARTED]) if len(fields) > _STARTED else None


def replaced_since(host: Host, master: int) -> bool:
    """Whether NGINX runs a program that was replaced on the disk since, as an upgrade without a restart leaves it."""
    try:
        return (host.read_link(f"/proc/{master}/exe") or "").endswith(" (deleted)")
    except TargetError:
        return False  # another user's process


def reload(host: Host, settings: NginxSettings, master: int) -> None:
    """Tell the master to load its configuration anew.

    Raises Rejected (``reload_failed``) where that says no, TargetError.

    That it says yes means nothing: a master that cannot load keeps its old workers and tells its error log alone.
    """
    match settings.reload:
        case "systemd":
            done = host.run(["systemctl", "reload", settings.unit])
        case "signal":
            done = host.run(["kill", "-HUP", str(master)])
        case command:
            done = host.run(command)
    if done.rc != 0:
        raise not_reloaded(settings, said(done))


def not_reloaded(settings: NginxSettings, reason: str) -> Rejected:
    """The error for a reload that did not take."""
    return Rejected(
        f"NGINX was not reloaded: {reason}",
        where=settings.config_file,
        state="the workers before serve on",
        remedy="see NGINX's error log for what it could not do",
        code="reload_failed",
    )


def said(done: Completed) -> str:
    """A command's words on one line."""
    text = (done.stderr + b"\n" + done.stdout).decode(errors="replace")
    return " | ".join(line.strip() for line in text.splitlines() if line.strip())
