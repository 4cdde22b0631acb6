"""A host over SSH: files by SFTP, commands and unix sockets by exec channels.

Rule of this room: a host whose key is not in ``known_hosts`` is never talked to, and nothing is learnt. SSH hands one string
to the login shell: it is always ``shlex.join`` of an argument list, which a POSIX shell takes apart into the same list.

Unix sockets are reached through a small relay on the host (python3, else socat): paramiko cannot open
``direct-streamlocal@openssh.com`` channels, and those would not pass sudo.
"""

from __future__ import annotations

import errno
import shlex
import stat as stat_module
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import paramiko

from lbsync.errors import Denied, Rejected, Unreachable
from lbsync.kit.host import Completed, FileStatus, SshSettings, refusal, staging_name
from lbsync.kit.host_local import kind_of
from lbsync.kit.ssh_channel import converse, open_session
from lbsync.kit.ssh_files import own, rename_if_absent, unlink
from lbsync.kit.ssh_login import Refuse, connection_error

_RELAY: Final = """\
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(float(sys.argv[2]))
try:
    s.connect(sys.argv[1])
except OSError as error:
    sys.exit("connect: %s" % error)
try:
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
    while True:
        part = s.recv(65536)
        if not part:
            break
        sys.stdout.buffer.write(part)
except (BrokenPipeError, ConnectionResetError):
    pass
"""
_NOT_FOUND = 127
_SOCAT_SPECIAL = frozenset(",:!\"'\\()[]{}")


class SshHost:
    """One host over one SSH connection, opened when first used and again after it broke. Safe for several threads."""

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._client: paramiko.SSHClient | None = None
        self._sftp: paramiko.SFTPClient | None = None

    @property
    def name(self) -> str:
        """``user@host``."""
        return f"{self._settings.user}@{self._settings.host}"

    def read_file(self, path: str) -> bytes | None:
        """See ``Host.read_file``."""
        with self._files(path, "read the file") as sftp:
            try:
                with sftp.open(path, "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return None

    def write_file(
        self,
        path: str,
        data: bytes,
        *,
        mode: int = 0o644,
        owner: str | None = None,
        group: str | None = None,
        exclusive: bool = False,
        durable: bool = True,
    ) -> None:
        """See ``Host.write_file``."""
        temporary = staging_name(path)
        uid, gid = self._id("-u", owner), self._group(group)
        try:
            with self._files(path, "write the file") as sftp:
                unlink(sftp, temporary)
                with sftp.open(temporary, "wbx") as file:
                    file.chmod(0o600)  # still empty: nothing is there to be read before this
                    own(sftp, temporary, uid, gid)
                    file.chmod(mode)
                    file.write(data)
            if durable:
                self._sync(temporary)
            with self._files(path, "write the file") as sftp:
                if exclusive:
                    rename_if_absent(sftp, temporary, path)
                else:
                    sftp.posix_rename(temporary, path)
            if durable:
                self._sync(path.rpartition("/")[0] or "/")
        except (Rejected, Denied) as error:
            self._discard(temporary)
            if error.code == "exists" or not self._is_full(path):
                raise
            raise refusal(OSError(errno.ENOSPC, "full"), doing="write the file", where=f"{self.name}:{path}") from error

    def remove(self, path: str) -> None:
        """See ``Host.remove``."""
        with self._files(path, "remove the file") as sftp:
            unlink(sftp, staging_name(path))
            unlink(sftp, path)

    def make_directory(
        self, path: str, *, mode: int = 0o755, owner: str | None = None, group: str | None = None
    ) -> None:
        """See ``Host.make_directory``."""
        uid, gid = self._id("-u", owner), self._group(group)
        there = self.stat(path)
        if there is not None:
            if there.kind == "directory":
                return
            raise Rejected("a file is in the place of a directory", where=path, code="exists")
        with self._files(path, "create the directory") as sftp:
            sftp.mkdir(path, mode)
            sftp.chmod(path, mode)  # the server's umask may have taken bits away
            own(sftp, path, uid, gid)

    def remove_directory(self, path: str) -> None:
        """See ``Host.remove_directory``."""
        if self.list_directory(path) == ():
            with self._files(path, "remove the directory") as sftp:
                sftp.rmdir(path)

    def list_directory(self, path: str) -> tuple[str, ...] | None:
        """See ``Host.list_directory``."""
        with self._files(path, "list the directory") as sftp:
            try:
                return tuple(sorted(sftp.listdir(path)))
            except FileNotFoundError:
                return None

    def stat(self, path: str) -> FileStatus | None:
        """See ``Host.stat``."""
        with self._files(path, "look at the file") as sftp:
            try:
                found = sftp.lstat(path)
            except FileNotFoundError:
                return None
        bits = found.st_mode or 0
        return FileStatus(
            kind=kind_of(bits),
            mode=stat_module.S_IMODE(bits),
            uid=found.st_uid or 0,
            gid=found.st_gid or 0,
            size=found.st_size or 0,
        )

    def read_link(self, path: str) -> str | None:
        """See ``Host.read_link``."""
        found = self.stat(path)
        if found is None or found.kind != "symlink":
            return None
        with self._files(path, "read the link") as sftp:
            return sftp.readlink(path)

    def symlink(self, target: str, path: str) -> None:
        """See ``Host.symlink``."""
        temporary = staging_name(path)
        with self._files(path, "point the link") as sftp:
            unlink(sftp, temporary)
            sftp.symlink(target, temporary)
            sftp.posix_rename(temporary, path)
        self._sync(path.rpartition("/")[0] or "/")

    def run(self, argv: Sequence[str], *, input: bytes | None = None, timeout_s: float = 60.0) -> Completed:  # noqa: A002 -- subprocess's name for it
        """See ``Host.run``."""
        done = self._execute(argv, input or b"", timeout_s)
        if done.rc == _NOT_FOUND:
            raise Rejected(f"cannot run {argv[0]}: no such command", where=self.name, code="ENOENT")
        return done

    def unix_request(self, path: str, data: bytes, timeout_s: float = 10.0) -> bytes:
        """See ``Host.unix_request``."""
        done = self._execute(["python3", "-I", "-S", "-c", _RELAY, path, f"{timeout_s:g}"], data, timeout_s + 5)
        if done.rc == _NOT_FOUND and not _SOCAT_SPECIAL & set(path):
            done = self._execute(["socat", "-t", f"{timeout_s:g}", "-", f"UNIX-CONNECT:{path}"], data, timeout_s + 5)
        if done.rc == _NOT_FOUND:
            raise Rejected(
                "neither python3 nor socat is there to reach a unix socket",
                where=self.name,
                remedy="install one of them on that host",
                code="ENOENT",
            )
        if done.rc != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise Unreachable(f"nobody answers on the socket: {said[-1] if said else 'no reason given'}", where=path)
        return done.stdout

    def close(self) -> None:
        """See ``Host.close``."""
        with self._lock:
            client, self._client, self._sftp = self._client, None, None
            if client is not None:
                client.close()

    def _connected(self) -> paramiko.SSHClient:
        with self._lock:
            transport = self._client.get_transport() if self._client else None
            if self._client is not None and transport is not None and transport.is_active():
                return self._client
            self.close()
            self._client = self._connect()
            return self._client

    def _connect(self) -> paramiko.SSHClient:
        settings, where = self._settings, f"{self.name}:{self._settings.port}"
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
        return client

    @contextmanager
    def _files(self, path: str, doing: str) -> Generator[paramiko.SFTPClient]:
        """The SFTP session, one caller at a time; errors become ours."""
        with self._lock:
            try:
                yield self._opened_sftp()
            except (paramiko.SSHException, EOFError, TimeoutError, ConnectionError) as error:
                self.close()
                raise Unreachable(
                    f"the connection broke while trying to {doing}", where=f"{self.name}:{path}"
                ) from error
            except OSError as error:
                # SFTP v3 knows no full disk or busy file: everything but "no such file" and "permission" is a failure.
                raise refusal(error, doing=doing, where=f"{self.name}:{path}") from error

    def _opened_sftp(self) -> paramiko.SFTPClient:
        client = self._connected()
        if self._sftp is None:
            if self._settings.sudo:
                channel = open_session(client, self._settings.connect_timeout_s)
                channel.exec_command(shlex.join(["sudo", "-n", "--", self._settings.sftp_server]))
                self._sftp = paramiko.SFTPClient(channel)
            else:
                self._sftp = client.open_sftp()
            session = self._sftp.get_channel()
            if session is not None:
                session.settimeout(60.0)
        return self._sftp

    def _execute(self, argv: Sequence[str], data: bytes, timeout_s: float) -> Completed:
        prefix = ["sudo", "-n", "--"] if self._settings.sudo else []
        deadline = time.monotonic() + timeout_s
        try:
            channel = open_session(self._connected(), self._settings.connect_timeout_s)
            with channel:
                channel.settimeout(timeout_s)
                channel.exec_command(shlex.join([*prefix, *argv]))
                return converse(channel, data, deadline)
        except TimeoutError as error:
            raise Unreachable(f"{argv[0]} did not end within {timeout_s:g} s", where=self.name) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            self.close()
            raise Unreachable(f"the connection broke while {argv[0]} ran", where=self.name) from error

    def _sync(self, path: str) -> None:
        done = self._execute(["sync", path], b"", 60)
        if done.rc != 0:
            reason = done.stderr.decode(errors="replace").strip()
            raise Rejected(f"cannot bring the file to the disk: {reason}", where=f"{self.name}:{path}")

    def _id(self, which: str, name: str | None) -> int | None:
        if name is None:
            return None
        done = self._execute(["id", which, name], b"", 30)
        if done.rc != 0:
            raise Rejected(f"no such user: {name}", where=self.name, code="no_such_user")
        return int(done.stdout)

    def _group(self, name: str | None) -> int | None:
        if name is None:
            return None
        done = self._execute(["getent", "group", name], b"", 30)
        if done.rc != 0:
            raise Rejected(f"no such group: {name}", where=self.name, code="no_such_user")
        return int(done.stdout.split(b":")[2])

    def _discard(self, temporary: str) -> None:
        with self._files(temporary, "remove the file") as sftp:
            unlink(sftp, temporary)

    def _is_full(self, path: str) -> bool:
        """A full disk, found by df since SFTP does not say it."""
        done = self._execute(["df", "-Pk", path.rpartition("/")[0] or "/"], b"", 30)
        last = done.stdout.decode(errors="replace").splitlines()[-1:]
        return done.rc == 0 and bool(last) and last[0].split()[3:4] == ["0"]
