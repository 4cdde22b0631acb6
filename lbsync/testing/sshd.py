"""An OpenSSH server of one's own for tests: own keys, own port, this account, nothing of the system's configuration.

Rule of this room: it plays the administrator of a remote host; what lbsync does over it is not its business.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync.testing.ports import free_port

_START_S = 20.0
_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PidFile none
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
SetEnv PATH={directory}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SHLVL=1
"""


def sshd_program() -> str | None:
    """Path of the program, ``None`` where there is none."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class RunningSshd:
    """sshd on 127.0.0.1; ``settings`` log in as the account that runs the test.

    ``directory/bin`` is first in its PATH. SHLVL keeps bash from reading this account's ~/.bashrc for every command.
    ``own_session`` keeps a terminal's Ctrl-C from it.
    """

    def __init__(self, directory: Path, *, own_session: bool = False) -> None:
        program = sshd_program()
        if program is None:
            raise FileNotFoundError("sshd is not installed")
        self._program = program
        self.directory = directory
        self.port = free_port("127.0.0.1")
        self.known_hosts = directory / "known_hosts"
        self.key_file = directory / "user_key"
        self._own_session = own_session
        self._process: subprocess.Popen[bytes] | None = None
        (directory / "bin").mkdir()
        for name in ("host_key", "user_key", "other_key"):
            self._keygen(directory / name)
        (directory / "authorized_keys").write_text(
            (directory / "user_key.pub").read_text(encoding="utf-8"), encoding="utf-8"
        )
        (directory / "sshd_config").write_text(_CONFIG.format(port=self.port, directory=directory), encoding="utf-8")
        self.known_hosts.write_text(self.host_line("host_key"), encoding="utf-8")

    @property
    def settings(self) -> dict[str, object]:
        """``ssh`` settings for it."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "key_file": str(self.key_file),
            "known_hosts": str(self.known_hosts),
            "connect_timeout_s": 60.0,  # it is always there, however busy the machine is
        }

    def host_line(self, key: str) -> str:
        """A known_hosts line that says the host has this key of the directory."""
        kind, value, *_ = (self.directory / f"{key}.pub").read_text(encoding="utf-8").split()
        return f"[127.0.0.1]:{self.port} {kind} {value}\n"

    @property
    def pid(self) -> int:
        """Its process id. Raises RuntimeError while it does not run."""
        if self._process is None:
            raise RuntimeError("sshd does not run")
        return self._process.pid

    @property
    def log(self) -> str:
        """What sshd said so far."""
        return (self.directory / "sshd.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its words when it does not."""
        if os.geteuid() == 0:  # the directory it asks for when it runs as root, as it does not for others
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (self.directory / "sshd.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- a list, no shell
                [self._program, "-D", "-e", "-f", str(self.directory / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=self._own_session,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"sshd did not start: {self.log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it; connections that are open go on until their clients end them. Twice is once."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _keygen(self, path: Path) -> None:
        keygen = shutil.which("ssh-keygen") or "/usr/bin/ssh-keygen"
        subprocess.run(  # noqa: S603 -- a list, no shell
            [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, stdin=subprocess.DEVNULL
        )
