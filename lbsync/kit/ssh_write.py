"""Writing on a host over SSH: by one command where that does it, else by SFTP, step by step.

Rule of this room: both ways keep what ``Host`` promises, and only the second one says what went wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from lbsync.errors import Denied, Rejected
from lbsync.kit import ssh_scripts
from lbsync.kit.host import Completed, no_space, staging_name
from lbsync.kit.ssh_connection import SshConnection
from lbsync.kit.ssh_files import as_it_is, make, own, rename_if_absent, unlink

_SCRIPT_S = 120.0


class SshWriter:
    """Writes files, links and directories. Safe for several threads."""

    def __init__(self, connection: SshConnection) -> None:
        self._connection = connection
        self._files = connection.files

    def write_file(
        self,
        path: str,
        data: bytes,
        *,
        mode: int | None,
        owner: str | None,
        group: str | None,
        exclusive: bool,
        durable: bool,
    ) -> None:
        """See ``Host.write_file``."""
        parameters = [path, staging_name(path), str(len(data)), _octal(mode), owner or "", group or ""]
        flags = ["yes" if flag else "" for flag in (exclusive, durable)]
        match self._script(ssh_scripts.WRITE, *parameters, *flags, data=data):
            case ssh_scripts.DONE:
                return
            case ssh_scripts.NOT_SYNCED:
                self._sync(_folder(path))
            case ssh_scripts.EXISTS if exclusive:
                raise Rejected("the file is there already", where=path, code="exists")
            case _:
                self._write_by_steps(path, data, mode, owner, group, exclusive=exclusive, durable=durable)

    def write_and_run(
        self, path: str, data: bytes, argv: Sequence[str], *, mode: int | None, owner: str | None, group: str | None
    ) -> Completed:
        """See ``Host.write_and_run``."""
        parameters = [path, staging_name(path), str(len(data)), _octal(mode), owner or "", group or "", "", "yes"]
        command = ssh_scripts.command(ssh_scripts.WRITE_AND_RUN, *parameters, *argv)
        done = self._connection.execute(command, data, _SCRIPT_S)
        if done.stdout.startswith(ssh_scripts.WRITTEN):
            return Completed(done.rc, done.stdout.removeprefix(ssh_scripts.WRITTEN), done.stderr)
        self.write_file(path, data, mode=mode, owner=owner, group=group, exclusive=False, durable=True)
        return self._connection.execute(argv, b"", _SCRIPT_S)

    def symlink(self, target: str, path: str) -> None:
        """See ``Host.symlink``."""
        temporary = staging_name(path)
        rc = self._script(ssh_scripts.LINK, target, path, temporary)
        if rc == ssh_scripts.DONE:
            return
        if rc != ssh_scripts.NOT_SYNCED:
            try:
                with self._files(path, "point the link") as sftp:
                    unlink(sftp, temporary)
                    sftp.symlink(target, temporary)
                    sftp.posix_rename(temporary, path)
            except (Rejected, Denied) as error:
                self._discard(temporary)
                raise self._explained(error, path, "point the link") from error
        self._sync(_folder(path))

    def make_directory(self, path: str, *, mode: int, owner: str | None, group: str | None) -> None:
        """See ``Host.make_directory``."""
        if self._script(ssh_scripts.DIRECTORY, path, f"{mode:o}", owner or "", group or "") == ssh_scripts.DONE:
            return
        uid, gid = self._user(owner), self._group(group)
        try:
            with self._files(path, "create the directory") as sftp:
                make(sftp, path, mode, uid, gid)
        except (Rejected, Denied) as error:
            raise self._explained(error, path, "create the directory") from error

    def _script(self, script: str, *parameters: str, data: bytes = b"") -> int:
        """The exit code. Raises Unreachable, Denied: then nobody knows how far it came."""
        return self._connection.execute(ssh_scripts.command(script, *parameters), data, _SCRIPT_S).rc

    def _write_by_steps(
        self,
        path: str,
        data: bytes,
        mode: int | None,
        owner: str | None,
        group: str | None,
        *,
        exclusive: bool,
        durable: bool,
    ) -> None:
        temporary = staging_name(path)
        uid, gid = self._user(owner), self._group(group)
        try:
            with self._files(path, "write the file") as sftp:
                if mode is None:
                    mode, uid, gid = as_it_is(sftp, path, uid, gid)
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
                self._sync(_folder(path))
        except (Rejected, Denied) as error:
            self._discard(temporary)
            raise self._explained(error, path, "write the file", len(data)) from error

    def _sync(self, path: str) -> None:
        done = self._connection.execute(["sync", path], b"", 60)
        if done.rc != 0:
            reason = done.stderr.decode(errors="replace").strip()
            raise Rejected(
                f"cannot bring the file to the disk: {reason}", where=f"{self._connection.name}:{path}", code="sync"
            )

    def _user(self, name: str | None) -> int | None:
        if name is None:
            return None
        done = self._connection.execute(["id", "-u", name], b"", 30)
        if done.rc != 0:
            raise Rejected(f"no such user: {name}", where=self._connection.name, code="no_such_user")
        return int(done.stdout)

    def _group(self, name: str | None) -> int | None:
        if name is None:
            return None
        done = self._connection.execute(["getent", "group", name], b"", 30)
        if done.rc != 0:
            raise Rejected(f"no such group: {name}", where=self._connection.name, code="no_such_user")
        return int(done.stdout.split(b":")[2])

    def _discard(self, temporary: str) -> None:
        with self._files(temporary, "remove the file") as sftp:
            unlink(sftp, temporary)

    def _explained(self, error: Rejected | Denied, path: str, doing: str, size: int = 1) -> Rejected | Denied:
        """The error, or a full disk in its place: found by df, since SFTP does not say it. ``size`` bytes are to fit."""
        if isinstance(error, Denied) or error.code == "exists":
            return error
        done = self._connection.execute(["df", "-Pk", _folder(path)], b"", 30)
        match done.stdout.decode(errors="replace").splitlines()[-1:]:
            case [line] if done.rc == 0 and (room_kib := line.split()[3:4]) and room_kib[0].isdigit():
                if int(room_kib[0]) * 1024 < size:
                    return no_space(doing, f"{self._connection.name}:{path}")
            case _:
                pass
        return error


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _octal(mode: int | None) -> str:
    """As chmod takes it; nothing for a mode that is to be kept."""
    return "" if mode is None else f"{mode:o}"
