"""The host of the lab's balancer, reached through a real OpenSSH server on loopback, with its key in a known_hosts of the lab.

Rule of this room: it starts one process and ends exactly that one, by its own id; private keys go when it ends.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lbsync.errors import LbsyncError
from lbsync.testing.sshd import RunningSshd, sshd_program


class LabSshd:
    """sshd below ``directory``; ``wrong_known_hosts`` is a file to try what another key than the host's leads to."""

    def __init__(self, directory: Path) -> None:
        """Nothing is started or written yet. Raises LbsyncError where OpenSSH's server is not installed."""
        if sshd_program() is None:
            raise LbsyncError(
                "OpenSSH's server is not installed, and the rehearsal reaches its balancer through a real one.",
                remedy="Install it (Debian, Ubuntu: apt-get install openssh-server), or rehearse without --ssh.",
                code="no_sshd",
            )
        self.directory = directory
        self.config = directory / "sshd_config"
        self.wrong_known_hosts = directory / "known_hosts.wrong"
        self._running: RunningSshd | None = None

    @property
    def running(self) -> RunningSshd:
        """The process and how to log in. Raises RuntimeError before it was started."""
        if self._running is None:
            raise RuntimeError("sshd has not been started")
        return self._running

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._running.pid if self._running is not None else None

    def start(self) -> None:
        """Make its keys, start it and wait until it answers. Raises LbsyncError with its words when it does not."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True, mode=0o700)
        try:
            self._running = RunningSshd(self.directory, own_session=True)
            self.wrong_known_hosts.write_text(self._running.host_line("other_key"), encoding="utf-8")
            self._running.start()
        except (RuntimeError, OSError) as error:
            self.stop()
            raise LbsyncError(str(error), where=str(self.config), code="sshd_start") from error

    def stop(self) -> None:
        """End it; what it said stays, its keys do not; twice is once."""
        if self._running is not None:
            self._running.stop()
            self._running = None
        for name in ("host_key", "user_key", "other_key"):
            (self.directory / name).unlink(missing_ok=True)
