"""A real HAProxy in front of a simulated farm, as an administrator would have it: own configuration, sockets, process.

Rule of this room: it starts one process and ends exactly that one, by its own id; the directory lbsync owns starts empty and
is never written here. Unix socket paths are short (a hundred bytes), so the sockets lie in a temporary directory.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync.errors import LbsyncError

_START_S = 20.0
_STOP_S = 10.0
_BASE = """\
# The administrator's own configuration. lbsync reads it and never writes it.
global
    log stdout format raw local0 notice
    maxconn 2000
    stats socket {socket} mode 600 level admin expose-fd listeners
    stats timeout 30s
    hard-stop-after 60s

defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s

# Something of the administrator's that must stay as it is.
backend admin_own
    server nobody 127.0.0.1:9
"""


def haproxy_program() -> str | None:
    """Path of the program: ``LBSYNC_HAPROXY``, else as found; ``None`` where there is none."""
    return os.environ.get("LBSYNC_HAPROXY") or shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class LabHaproxy:
    """HAProxy in master-worker mode: ``directory/haproxy.cfg`` and, beside it, ``directory/lbsync`` for lbsync's files."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is made afresh. Raises LbsyncError where HAProxy is not installed."""
        program = haproxy_program()
        if program is None:
            raise LbsyncError(
                "HAProxy is not installed, and the rehearsal runs through a real one.",
                remedy="Install it (Debian, Ubuntu: apt-get install haproxy), or name it in LBSYNC_HAPROXY.",
                code="no_haproxy",
            )
        self.program = program
        self.directory = directory
        self.owned = directory / "lbsync"
        self.main = directory / "haproxy.cfg"
        self.log_file = directory / "haproxy.log"
        self._sockets: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        pick = random.SystemRandom()
        # A loopback address of its own: no outgoing connection of this machine takes its ports meanwhile.
        self.address = f"127.{pick.randint(1, 250)}.{pick.randint(1, 250)}.{pick.randint(2, 250)}"
        self.https_port, self.http_port = _free_port(self.address), _free_port(self.address)

    @property
    def socket(self) -> Path:
        """The stats socket, level admin."""
        return self._socket_directory / "admin.sock"

    @property
    def master_socket(self) -> Path:
        """The master's socket."""
        return self._socket_directory / "master.sock"

    @property
    def _socket_directory(self) -> Path:
        if self._sockets is None:
            raise RuntimeError("HAProxy has not been started")
        return self._sockets

    @property
    def settings(self) -> dict[str, object]:
        """``[balancers.settings]`` for it."""
        return {
            "bind_address": self.address,
            "https_port": self.https_port,
            "http_port": self.http_port,
            "directory": str(self.owned.resolve()),
            "config_file": str(self.main.resolve()),
            "socket": str(self.socket),
            "master_socket": str(self.master_socket),
            "reload": "master-socket",
            "haproxy": self.program,
            "check_interval_s": 0.5,
        }

    @property
    def balancer(self) -> dict[str, object]:
        """The whole ``[[balancers]]`` entry."""
        listen = {"address": self.address, "https_port": self.https_port, "http_port": self.http_port}
        return {"name": "lb1", "provider": "haproxy", "listen": listen, "settings": self.settings}

    @property
    def pid(self) -> int | None:
        """The master's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it and wait until it answers. Raises LbsyncError with its words when it does not."""
        self._sockets = Path(tempfile.mkdtemp(prefix="lbsync-lab-"))
        self.owned.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.main.write_text(_BASE.format(socket=self.socket), encoding="utf-8")
        command = [self.program, "-W", "-db", "-S", f"{self.master_socket},mode,600"]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  a list, no shell
                [*command, "-f", str(self.main), "-f", str(self.owned)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the lab, which then ends it in order
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self.log_file.read_text(encoding="utf-8", errors="replace")[-2000:]
                self.stop()
                raise LbsyncError(f"HAProxy did not start: {said}", where=str(self.main), code="haproxy_start")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.settimeout(1.0)
            connection.connect(str(self.socket))
            connection.sendall(b"show info\n")
            return bool(connection.recv(1024))
        return False

    def stop(self) -> None:
        """End it, workers included; twice is once."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_S)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


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


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
