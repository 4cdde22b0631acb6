"""A host over SSH: files by SFTP, commands and unix sockets by exec channels.

Rule of this room: it knows what files and sockets promise; how SSH carries it is the connection's.

Unix sockets are reached through a small relay on the host (python3, else socat): paramiko cannot open
``direct-streamlocal@openssh.com`` channels, and those would not pass sudo.
"""

from __future__ import annotations

import errno
import stat as stat_module
from collections.abc import Sequence
from typing import Final

from lbsync.errors import Denied, Rejected, Unreachable
from lbsync.kit.host import Completed, FileStatus, SshSettings, refusal, staging_name
from lbsync.kit.host_local import kind_of
from lbsync.kit.ssh_connection import SshConnection
from lbsync.kit.ssh_files import own, rename_if_absent, unlink
from lbsync.kit.ssh_tcp import SshTcp
from lbsync.kit.stream import Stream

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
        self._connection = SshConnection(settings)
        self._files = self._connection.files
        self._execute = self._connection.execute
        self._tcp = SshTcp(self._connection)

    @property
    def name(self) -> str:
        """``user@host``."""
        return self._connection.name

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

    def connect(self, address: str, port: int, timeout_s: float = 10.0) -> Stream:
        """See ``Host.connect``."""
        return self._tcp.connect(address, port, timeout_s)

    def close(self) -> None:
        """See ``Host.close``."""
        self._connection.close()

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
