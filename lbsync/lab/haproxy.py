"""A real HAProxy in front of a simulated farm, as an administrator would have it: own configuration, sockets, process.

Rule of this room: it starts one process and ends exactly that one, by its own id; the directory lbsync owns starts empty and
is never written here. Unix socket paths are short (a hundred bytes), so the sockets lie in a temporary directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from lbsync.errors import LbsyncError
from lbsync.testing.haproxy import RunningHaproxy, haproxy_program

# HAProxy takes it as the time-out of a check's TLS handshake too: shorter, and a busy machine marks healthy servers down.
_CHECK_INTERVAL_S = 1.0


class LabHaproxy:
    """HAProxy in master-worker mode: ``directory/haproxy.cfg`` and, beside it, ``directory/lbsync`` for lbsync's files."""

    def __init__(self, directory: Path) -> None:
        """Nothing is started or written yet. Raises LbsyncError where HAProxy is not installed."""
        if haproxy_program() is None:
            raise LbsyncError(
                "HAProxy is not installed, and the rehearsal runs through a real one.",
                remedy="Install it (Debian, Ubuntu: apt-get install haproxy), or name it in LBSYNC_HAPROXY.",
                code="no_haproxy",
            )
        self.directory = directory
        self.main = directory / "haproxy.cfg"
        self._sockets: Path | None = None
        self._running: RunningHaproxy | None = None

    @property
    def running(self) -> RunningHaproxy:
        """The process and where it is reached. Raises RuntimeError before it was started."""
        if self._running is None:
            raise RuntimeError("HAProxy has not been started")
        return self._running

    @property
    def balancer(self) -> dict[str, object]:
        """The whole ``[[balancers]]`` entry."""
        running = self.running
        return {"name": "lb1", "provider": "haproxy", "listen": dict(running.listen), "settings": running.settings}

    @property
    def pid(self) -> int | None:
        """The master's process id while it runs."""
        return self._running.pid if self._running is not None else None

    def start(self) -> None:
        """Start it and wait until it answers. Raises LbsyncError with its words when it does not."""
        self._sockets = Path(tempfile.mkdtemp(prefix="lbsync-lab-"))
        self._running = RunningHaproxy(
            self.directory, sockets=self._sockets, own_session=True, check_interval_s=_CHECK_INTERVAL_S
        )
        try:
            self._running.start()
        except (RuntimeError, OSError) as error:
            self.stop()
            raise LbsyncError(str(error), where=str(self.main), code="haproxy_start") from error

    def stop(self) -> None:
        """End it, workers included; twice is once."""
        if self._running is not None:
            self._running.stop()
            self._running = None
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None


def end_orphan(pid: int, main: Path) -> bool:
    """End an HAProxy whose lab was killed, if ``pid`` is still one started with ``main``; true when it was."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\x00")
    except OSError:
        return False
    if str(main).encode() not in arguments:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    return True
