"""A real HAProxy in front of a simulated farm: ``directory/haproxy.cfg`` and, beside it, ``directory/lbsync`` for lbsync.

Rule of this room: as for every balancer of the lab. Unix socket paths are short (a hundred bytes), so the sockets lie in a
temporary directory.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from lbsync.lab.balancer import LabBalancer, NoBalancer, Running
from lbsync.testing.haproxy import RunningHaproxy, haproxy_program

# HAProxy takes it as the time-out of a check's TLS handshake too: shorter, and a busy machine marks healthy servers down.
_CHECK_INTERVAL_S = 1.0


class LabHaproxy(LabBalancer):
    """HAProxy in master-worker mode."""

    provider = "haproxy"
    product = "HAProxy"

    def __init__(self, directory: Path) -> None:
        """Raises NoBalancer where HAProxy is not installed."""
        if haproxy_program() is None:
            raise NoBalancer(
                "HAProxy is not installed, and the rehearsal runs through a real one.",
                remedy="Install it (Debian, Ubuntu: apt-get install haproxy), or name it in LBSYNC_HAPROXY.",
                code="no_haproxy",
            )
        super().__init__(directory, "haproxy.cfg")
        self._sockets: Path | None = None

    def make(self) -> Running:
        """See LabBalancer."""
        self._sockets = Path(tempfile.mkdtemp(prefix="lbsync-lab-"))
        return RunningHaproxy(
            self.directory, sockets=self._sockets, own_session=True, check_interval_s=_CHECK_INTERVAL_S
        )

    def stop(self) -> None:
        """See LabBalancer."""
        super().stop()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None
