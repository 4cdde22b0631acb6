"""NGINX as a process: its master, its workers, and since when they run.

Rule of this room: reads only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lbsync.errors import TargetError, Unreachable
from lbsync.kit.host import Host
from lbsync_nginx.settings import NginxSettings

NOT_RUNNING = "not_running"

_TICK_S, _SECONDS_S = 0.05, 2.0
_TICKS_PER_S = 100  # USER_HZ is 100 on every Linux that NGINX is packaged for
_STARTED = 19  # field 22 of /proc/PID/stat, counted from behind the name in parentheses
_BOOT = re.compile(r"^btime (\d+)$", re.MULTILINE)
_WORKER = "nginx: worker process"
_ENDING = f"{_WORKER} is shutting down"


@dataclass(frozen=True, slots=True)
class Workers:
    """Process ids.

    ``ending`` finish what they have and take nothing new; ``since`` is when the oldest taking one took up, in seconds
    since 1970, or ``None`` where that cannot be seen.
    """

    taking: frozenset[int]
    ending: frozenset[int]
    since: float | None = None
    unsure_s: float = 0.0
    """By how much ``since`` may be too early."""


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
    texts = host.read_files([f"/proc/{pid}/{name}" for pid in pids for name in ("cmdline", "stat")])
    titles = {pid: _title(texts[2 * number]) for number, pid in enumerate(pids)}
    taking = frozenset(pid for pid, title in titles.items() if title == _WORKER)
    starts = [_ticks(texts[2 * number + 1]) for number, pid in enumerate(pids) if pid in taking]
    known = [start for start in starts if start is not None]
    boot, unsure_s = _boot(host)
    return Workers(
        taking=taking,
        ending=frozenset(pid for pid, title in titles.items() if title == _ENDING),
        since=boot + min(known) / _TICKS_PER_S if boot is not None and known else None,
        unsure_s=unsure_s,
    )


def _boot(host: Host) -> tuple[float | None, float]:
    """When the host was started, by its own clock, and by how much that may be too early.

    The clock minus the time it is up is exact, but for how long it took to ask for both, which is much on a busy host; where date
    knows no fractions the kernel's own word is to a second.
    """
    done = host.run(["sh", "-c", "date +%s.%N; cat /proc/uptime; date +%s.%N"])
    words = done.stdout.decode(errors="replace").split()
    try:
        before, up, after = float(words[0]), float(words[1]), float(words[-1])
        return before - up, _TICK_S + max(0.0, after - before)
    except (ValueError, IndexError):
        found = _BOOT.search((host.read_files(["/proc/stat"])[0] or b"").decode(errors="replace"))
    return (float(found[1]) if found else None), _SECONDS_S


def _title(cmdline: bytes | None) -> str:
    """What a process calls itself: NGINX writes that over its arguments. Words before them, a loader's, stay."""
    return (cmdline or b"").rstrip(b"\0 ").rpartition(b"\0")[2].decode(errors="replace")


def _ticks(stat: bytes | None) -> int | None:
    fields = (stat or b"").rpartition(b")")[2].split()
    return int(fields[_STARTED]) if len(fields) > _STARTED else None


def is_upgrading(host: Host, settings: NginxSettings) -> bool:
    """Whether an upgrade of the program is under way (SIGUSR2): the old master serves beside the new one."""
    words = (host.read_files([f"{settings.pid_file}.oldbin"])[0] or b"").split()
    return bool(words) and words[0].isdigit() and host.read_files([f"/proc/{int(words[0])}/stat"])[0] is not None


def replaced_since(host: Host, master: int) -> bool:
    """Whether NGINX runs a program that was replaced on the disk since, as an upgrade without a restart leaves it."""
    try:
        return (host.read_link(f"/proc/{master}/exe") or "").endswith(" (deleted)")
    except TargetError:
        return False  # another user's process


def not_running(settings: NginxSettings) -> Unreachable:
    """The error for an NGINX that is not there."""
    return Unreachable(
        "NGINX does not run",
        where=settings.pid_file,
        remedy="start it (systemctl start nginx), or correct pid_file",
        code=NOT_RUNNING,
    )
