"""A real HAProxy of one's own for tests and rehearsals: an administrator's configuration, its sockets, its process.

Rule of this room: it plays the administrator. It knows nothing of what lbsync writes into the directory it is given.

Unix socket paths are limited to about a hundred bytes: give it a short directory.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync.testing.ports import free_port, own_address

_START_S = 20.0
_STOP_S = 10.0
_MAIN = """\
# The administrator's own configuration. lbsync reads it and never writes it.
global
    log stdout format raw local0 emerg
    maxconn 2000
    stats socket {socket} mode 600 level {level} expose-fd listeners
    stats timeout 30s
    hard-stop-after 60s
{extra_global}
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s

# Something of the administrator's that must stay as it is.
backend admin_own
    server nobody 127.0.0.1:9
{extra}"""


def haproxy_program() -> str | None:
    """Path of the program: ``LBSYNC_HAPROXY``, else as found; ``None`` where there is none."""
    return os.environ.get("LBSYNC_HAPROXY") or shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class RunningHaproxy:
    """HAProxy in master-worker mode below ``directory``, loading ``directory/lbsync`` beside its main file.

    ``address`` is a loopback address nobody else is likely to use; ``https_port`` and ``http_port`` are free on it. ``extra``
    and ``extra_global`` are added to the main configuration. ``loads`` false leaves our directory out, as before an
    administrator added it. ``sockets`` is where its sockets go when ``directory`` is too long for them. ``own_session`` keeps
    a terminal's Ctrl-C from it. ``check_interval_s`` is also what HAProxy gives a check's handshake: two that take longer, on
    a busy machine, and no server is up.
    """

    def __init__(
        self,
        directory: Path,
        *,
        extra: str = "",
        extra_global: str = "",
        level: str = "admin",
        loads: bool = True,
        sockets: Path | None = None,
        own_session: bool = False,
        check_interval_s: float = 0.5,
    ) -> None:
        program = haproxy_program()
        if program is None:
            raise FileNotFoundError("haproxy is not installed")
        self.program = program
        self.directory = directory
        self.owned = directory / "lbsync"
        self.main = directory / "haproxy.cfg"
        self.socket = (sockets or directory) / "admin.sock"
        self.master_socket = (sockets or directory) / "master.sock"
        self.address = own_address()
        self.https_port = free_port(self.address)
        self.http_port = free_port(self.address)
        self._loads = loads
        self._own_session = own_session
        self._check_interval_s = check_interval_s
        self._process: subprocess.Popen[bytes] | None = None
        self.owned.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.main.write_text(
            _MAIN.format(socket=self.socket, level=level, extra=extra, extra_global=extra_global), encoding="utf-8"
        )

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
            "check_interval_s": self._check_interval_s,
        }

    @property
    def listen(self) -> Mapping[str, object]:
        """``[balancers.listen]`` for it."""
        return {"address": self.address, "https_port": self.https_port, "http_port": self.http_port}

    @property
    def pid(self) -> int:
        """The master's process id. Raises RuntimeError while it does not run."""
        if self._process is None:
            raise RuntimeError("haproxy does not run")
        return self._process.pid

    @property
    def log(self) -> str:
        """What HAProxy said so far."""
        path = self.directory / "haproxy.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its words when it does not."""
        ours = ["-f", str(self.owned)] if self._loads else []
        with (self.directory / "haproxy.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- a list, no shell
                [self.program, "-W", "-db", "-S", f"{self.master_socket},mode,600", "-f", str(self.main), *ours],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=self._own_session,
            )
        deadline = time.monotonic() + _START_S
        while not self.ask("show info"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"haproxy did not start: {self.log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, the workers with it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
        for path in (self.socket, self.master_socket):
            path.unlink(missing_ok=True)

    def ask(self, command: str) -> str:
        """A Runtime API command's answer; empty where nobody answers."""
        answer = bytearray()
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.settimeout(_STOP_S)
            connection.connect(str(self.socket))
            connection.sendall(command.encode() + b"\n")
            while part := connection.recv(65536):
                answer += part
        return answer.decode(errors="replace").strip()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
