"""A host over SSH: the contract's methods, each handed to what does it over one connection.

Rule of this room: it knows what files and sockets promise; how SSH carries it is the connection's.
"""

from __future__ import annotations

import stat as stat_module
from collections.abc import Sequence

from lbsync.errors import Rejected
from lbsync.kit import ssh_scripts, ssh_unix
from lbsync.kit.host import Completed, FileStatus, SshSettings, staging_name
from lbsync.kit.host_local import kind_of
from lbsync.kit.ssh_connection import SshConnection
from lbsync.kit.ssh_files import unlink
from lbsync.kit.ssh_tcp import SshTcp
from lbsync.kit.ssh_write import SshWriter
from lbsync.kit.stream import Stream

_NOT_FOUND = 127
_READ_S = 60.0


class SshHost:
    """One host over one SSH connection, opened when first used and again after it broke. Safe for several threads."""

    def __init__(self, settings: SshSettings) -> None:
        self._connection = SshConnection(settings)
        self._files = self._connection.files
        self._writer = SshWriter(self._connection)
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

    def read_files(self, paths: Sequence[str]) -> tuple[bytes | None, ...]:
        """See ``Host.read_files``."""
        if not paths:
            return ()
        done = self._connection.execute(ssh_scripts.command(ssh_scripts.READ, *paths), b"", _READ_S)
        known = ssh_scripts.parse_read(done.stdout, len(paths)) if done.rc == 0 else {}
        return tuple(known[number] if number in known else self.read_file(path) for number, path in enumerate(paths))

    def write_file(
        self,
        path: str,
        data: bytes,
        *,
        mode: int | None = 0o644,
        owner: str | None = None,
        group: str | None = None,
        exclusive: bool = False,
        durable: bool = True,
    ) -> None:
        """See ``Host.write_file``."""
        self._writer.write_file(path, data, mode=mode, owner=owner, group=group, exclusive=exclusive, durable=durable)

    def write_and_run(
        self,
        path: str,
        data: bytes,
        argv: Sequence[str],
        *,
        mode: int | None = 0o644,
        owner: str | None = None,
        group: str | None = None,
    ) -> Completed:
        """See ``Host.write_and_run``."""
        return self._found(argv, self._writer.write_and_run(path, data, argv, mode=mode, owner=owner, group=group))

    def remove(self, path: str) -> None:
        """See ``Host.remove``."""
        with self._files(path, "remove the file") as sftp:
            unlink(sftp, staging_name(path))
            unlink(sftp, path)

    def make_directory(
        self, path: str, *, mode: int = 0o755, owner: str | None = None, group: str | None = None
    ) -> None:
        """See ``Host.make_directory``."""
        self._writer.make_directory(path, mode=mode, owner=owner, group=group)

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
        self._writer.symlink(target, path)

    def run(self, argv: Sequence[str], *, input: bytes | None = None, timeout_s: float = 60.0) -> Completed:  # noqa: A002 -- subprocess's name for it
        """See ``Host.run``."""
        return self._found(argv, self._connection.execute(argv, input or b"", timeout_s))

    def _found(self, argv: Sequence[str], done: Completed) -> Completed:
        if done.rc == _NOT_FOUND:
            raise Rejected(f"cannot run {argv[0]}: no such command", where=self.name, code="ENOENT")
        return done

    def unix_request(self, path: str, data: bytes, timeout_s: float = 10.0) -> bytes:
        """See ``Host.unix_request``."""
        return ssh_unix.unix_request(self._connection, path, data, timeout_s)

    def connect(self, address: str, port: int, timeout_s: float = 10.0) -> Stream:
        """See ``Host.connect``."""
        return self._tcp.connect(address, port, timeout_s)

    def close(self) -> None:
        """See ``Host.close``."""
        self._connection.close()
