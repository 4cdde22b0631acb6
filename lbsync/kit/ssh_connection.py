"""One SSH connection, opened when first used and again after it broke: commands and the SFTP session on it.

Rule of this room: a host whose key is not in ``known_hosts`` is never talked to, and nothing is learnt. SSH hands one string
to the login shell: it is always ``shlex.join`` of an argument list, which a POSIX shell takes apart into the same list.
"""

from __future__ import annotations

import logging
import shlex
import socket
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko

from lbsync.errors import Denied, Rejected, Unreachable
from lbsync.kit.host import Completed, SshSettings, refusal, unended
from lbsync.kit.ssh_channel import converse
from lbsync.kit.ssh_login import Refuse, connection_error

_BEGUN = b"lbsync: begins\n"
_BEGIN = "printf 'lbsync: begins\\n'; exec \"$@\""
_FILES_S = 60.0
"""How long the file server may take for one answer."""

# Where nobody configured logging, Python prints paramiko's remarks on the terminal; what matters of them is in our errors.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SshConnection:
    """The way to one host. Safe for several threads."""

    def __init__(self, settings: SshSettings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._client: paramiko.SSHClient | None = None
        self._sftp: paramiko.SFTPClient | None = None

    @property
    def name(self) -> str:
        """``user@host``."""
        return f"{self.settings.user}@{self.settings.host}"

    def transport(self) -> paramiko.Transport:
        """The connection's transport, opened where it is not. Raises Denied, Unreachable."""
        with self._lock:
            transport = self._client.get_transport() if self._client else None
            if transport is None or not transport.is_active():
                self.close()
                self._client = self._connect()
                transport = self._client.get_transport()
            if transport is None:
                raise Unreachable("the SSH connection ended at once", where=self.name)
            return transport

    def execute(self, argv: Sequence[str], data: bytes, timeout_s: float, *, sudo: bool = True) -> Completed:
        """A command to its end, fed with ``data``; ``sudo`` follows the settings. Raises Unreachable, Denied."""
        prefix = ["sudo", "-n", "--"] if sudo and self.settings.sudo else []
        deadline = time.monotonic() + timeout_s
        transport = self.transport()
        try:
            with transport.open_session(timeout=self.settings.connect_timeout_s) as channel:
                channel.settimeout(timeout_s)
                channel.exec_command(shlex.join(["sh", "-c", _BEGIN, "lbsync", *prefix, *argv]))
                done = converse(channel, data, deadline)
        except TimeoutError as error:
            raise unended(argv[0], timeout_s, self.name) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self.lost(transport, f"running {argv[0]}", error) from error
        # What a login shell's start-up files print comes first, and is nobody's answer.
        _, mark, answer = done.stdout.partition(_BEGUN)
        return Completed(done.rc, answer if mark else done.stdout, done.stderr)

    @contextmanager
    def files(self, path: str, doing: str) -> Generator[paramiko.SFTPClient]:
        """The SFTP session, one caller at a time; errors become ours. ``doing`` completes "cannot …"."""
        with self._lock:
            try:
                yield self._opened_sftp()
            except (paramiko.SSHException, EOFError, TimeoutError, ConnectionError) as error:
                self.close()
                raise Unreachable(
                    f"the connection broke while trying to {doing}", where=f"{self.name}:{path}"
                ) from error
            except paramiko.SFTPError as error:
                self.close()
                raise Rejected(
                    f"cannot {doing}: what answers is not SFTP",
                    where=f"{self.name}:{path}",
                    remedy="the account's login shell must print nothing at its start (see its ~/.bashrc), or sshd have "
                    "`Subsystem sftp internal-sftp`",
                    code="no_sftp",
                ) from error
            except OSError as error:
                # SFTP v3 knows no full disk or busy file: everything but "no such file" and "permission" is a failure.
                raise refusal(error, doing=doing, where=f"{self.name}:{path}") from error

    def lost(self, transport: paramiko.Transport, doing: str, error: Exception) -> Unreachable:
        """The error for what broke while ``doing``; the connection is closed, unless only a session was refused."""
        if isinstance(error, paramiko.ChannelException) and transport.is_active():
            # Others work on over this connection: sshd's MaxSessions (10 by default) is used up for the moment.
            return Unreachable(f"the host opens no more sessions on this connection for {doing}", where=self.name)
        self.close()
        return Unreachable(f"the connection broke while {doing}", where=self.name)

    def close(self) -> None:
        """Close the connection and all on it; the next call opens anew."""
        with self._lock:
            client, self._client, self._sftp = self._client, None, None
            if client is not None:
                client.close()

    def _connect(self) -> paramiko.SSHClient:
        settings, where = self.settings, f"{self.name}:{self.settings.port}"
        known = Path(settings.known_hosts or "~/.ssh/known_hosts").expanduser()
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(Refuse())
        try:
            client.load_system_host_keys(str(known))
        except OSError as error:
            raise Denied(
                f"the known_hosts file {known} cannot be read: {error.strerror}",
                where=where,
                remedy=f"obtain the host's key in a way you trust and write it there (ssh-keyscan -p {settings.port})",
                code="unknown_host_key",
            ) from error
        try:
            client.connect(
                settings.host,
                port=settings.port,
                username=settings.user,
                key_filename=str(Path(settings.key_file).expanduser()) if settings.key_file else None,
                allow_agent=settings.key_file is None,
                look_for_keys=settings.key_file is None,
                timeout=settings.connect_timeout_s,
                banner_timeout=settings.connect_timeout_s,
                auth_timeout=settings.connect_timeout_s,
            )
        except BaseException as error:
            client.close()
            if isinstance(error, (paramiko.SSHException, OSError, EOFError, ValueError)):
                raise connection_error(error, where, str(known)) from error
            raise
        _send_at_once(client)
        return client

    def _opened_sftp(self) -> paramiko.SFTPClient:
        transport = self.transport()
        if self._sftp is None:
            channel = transport.open_session(timeout=self.settings.connect_timeout_s)
            channel.settimeout(_FILES_S)
            if self.settings.sudo:
                channel.exec_command(shlex.join(["sudo", "-n", "--", self.settings.sftp_server]))
            else:
                channel.invoke_subsystem("sftp")
            self._sftp = _greeted(channel)
        return self._sftp


def _greeted(channel: paramiko.Channel) -> paramiko.SFTPClient:
    """A session whose other side speaks SFTP. Raises SFTPError where it speaks something else, EOFError where it has gone."""
    try:
        return paramiko.SFTPClient(channel)
    except OSError as error:
        if not channel.closed or isinstance(error, (TimeoutError, ConnectionError)):
            raise
        # It had said its words and hung up before our first packet left: the same, seen a moment earlier.
        raise paramiko.SFTPError("it hung up instead of an answer") from error


def _send_at_once(client: paramiko.SSHClient) -> None:
    """No waiting for the answer to the packet before (Nagle): a session is many small ones, and sshd delays its answers."""
    transport = client.get_transport()
    if transport is not None and isinstance(transport.sock, socket.socket):
        with suppress(OSError):  # it ended meanwhile, which the next use tells
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
