"""The host lbsync itself runs on.

Rule of this room: the operating system's own calls, no shell; children inherit no environment but what they need, so that
no secret given to lbsync by an environment variable travels on.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat as stat_module
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lbsync.errors import Rejected, Unreachable
from lbsync.kit.host import Completed, FileKind, FileStatus, refusal, staging_name, unended
from lbsync.kit.stream import SocketStream, Stream

_NEW_FILE = 0o644
_AS_IT_IS = -1
_CHILD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LocalHost:
    """This host. Holds nothing open."""

    name = "this host"

    def read_file(self, path: str) -> bytes | None:
        """See ``Host.read_file``."""
        try:
            return Path(path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refusal(error, doing="read the file", where=path) from error

    def read_files(self, paths: Sequence[str]) -> tuple[bytes | None, ...]:
        """See ``Host.read_files``."""
        return tuple(self.read_file(path) for path in paths)

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
        temporary = staging_name(path)
        uid, gid = _ids(path, owner, group)
        try:
            if mode is None:
                mode, uid, gid = _as_it_is(path, uid, gid)
            _stage(temporary, data, mode, uid, gid, durable=durable)
            if exclusive:
                os.link(temporary, path)
                Path(temporary).unlink()
            else:
                Path(temporary).replace(path)
            if durable:
                _sync_directory(path)
        except FileExistsError as error:
            Path(temporary).unlink(missing_ok=True)
            raise Rejected("the file is there already", where=path, code="exists") from error
        except OSError as error:
            Path(temporary).unlink(missing_ok=True)
            raise refusal(error, doing="write the file", where=path) from error

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
        self.write_file(path, data, mode=mode, owner=owner, group=group)
        return self.run(argv)

    def remove(self, path: str) -> None:
        """See ``Host.remove``."""
        try:
            Path(staging_name(path)).unlink(missing_ok=True)
            Path(path).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise refusal(error, doing="remove the file", where=path) from error

    def make_directory(
        self, path: str, *, mode: int = 0o755, owner: str | None = None, group: str | None = None
    ) -> None:
        """See ``Host.make_directory``."""
        uid, gid = _ids(path, owner, group)
        try:
            Path(path).mkdir(mode=mode)
            Path(path).chmod(mode)  # the umask may have taken bits away
            os.chown(path, uid, gid)
        except FileExistsError as error:
            if not Path(path).is_dir():
                raise Rejected("a file is in the place of a directory", where=path, code="exists") from error
        except OSError as error:
            raise refusal(error, doing="create the directory", where=path) from error

    def remove_directory(self, path: str) -> None:
        """See ``Host.remove_directory``."""
        try:
            Path(path).rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return
            raise refusal(error, doing="remove the directory", where=path) from error

    def list_directory(self, path: str) -> tuple[str, ...] | None:
        """See ``Host.list_directory``."""
        try:
            return tuple(sorted(entry.name for entry in Path(path).iterdir()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise refusal(error, doing="list the directory", where=path) from error

    def stat(self, path: str) -> FileStatus | None:
        """See ``Host.stat``."""
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise refusal(error, doing="look at the file", where=path) from error
        return FileStatus(
            kind=kind_of(found.st_mode),
            mode=stat_module.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            size=found.st_size,
        )

    def read_link(self, path: str) -> str | None:
        """See ``Host.read_link``."""
        try:
            return str(Path(path).readlink())
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EINVAL, errno.ENOTDIR}:
                return None
            raise refusal(error, doing="read the link", where=path) from error

    def symlink(self, target: str, path: str) -> None:
        """See ``Host.symlink``."""
        temporary = Path(staging_name(path))
        try:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            temporary.replace(path)
            _sync_directory(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise refusal(error, doing="point the link", where=path) from error

    def run(self, argv: Sequence[str], *, input: bytes | None = None, timeout_s: float = 60.0) -> Completed:  # noqa: A002 -- subprocess's name for it
        """See ``Host.run``."""
        environment = {"PATH": _CHILD_PATH, "LC_ALL": "C", "HOME": "/"}
        try:
            done = subprocess.run(  # noqa: S603 -- an argument list from the settings, no shell
                list(argv), input=input or b"", capture_output=True, timeout=timeout_s, check=False, env=environment
            )
        except subprocess.TimeoutExpired as error:
            raise unended(argv[0], timeout_s, self.name) from error
        except OSError as error:
            raise refusal(error, doing=f"run {argv[0]}", where=self.name) from error
        return Completed(done.returncode, done.stdout, done.stderr)

    def unix_request(self, path: str, data: bytes, timeout_s: float = 10.0) -> bytes:
        """See ``Host.unix_request``."""
        deadline = time.monotonic() + timeout_s
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            try:
                connection.connect(path)
            except PermissionError as error:
                raise refusal(error, doing="open the socket", where=path) from error
            except OSError as error:
                raise Unreachable(f"nobody answers on the socket: {error.strerror or error}", where=path) from error
            try:
                return _converse(connection, data, deadline)
            except TimeoutError as error:
                raise Unreachable(f"no full answer within {timeout_s:g} s", where=path) from error

    def connect(self, address: str, port: int, timeout_s: float = 10.0) -> Stream:
        """See ``Host.connect``."""
        from lbsync.kit.handshake import connect, where

        return SocketStream(connect(address, port, timeout_s=timeout_s), where(address, port))

    def close(self) -> None:
        """Nothing is open that its user does not close."""


def kind_of(mode: int) -> FileKind:
    """The kind of file that a st_mode says."""
    if stat_module.S_ISREG(mode):
        return "file"
    if stat_module.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat_module.S_ISLNK(mode) else "other"


def _converse(connection: socket.socket, data: bytes, deadline: float) -> bytes:
    answer = bytearray()
    try:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            part = connection.recv(65536)
            if not part:
                return bytes(answer)
            answer += part
    except (BrokenPipeError, ConnectionResetError):
        return bytes(answer)


def _ids(path: str, owner: str | None, group: str | None) -> tuple[int, int]:
    """User and group id; -1 leaves one as it is. Raises Rejected for an unknown name."""
    try:
        uid = -1 if owner is None else pwd.getpwnam(owner).pw_uid
        gid = -1 if group is None else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise Rejected(
            f"no such user or group: {owner or ''}:{group or ''}", where=path, code="no_such_user"
        ) from error
    return uid, gid


def _as_it_is(path: str, uid: int, gid: int) -> tuple[int, int, int]:
    """Mode, user and group id of the file that is there; what is given comes first."""
    try:
        there = Path(path).stat()
    except FileNotFoundError:
        return _NEW_FILE, uid, gid
    mode = stat_module.S_IMODE(there.st_mode)
    return mode, there.st_uid if uid == _AS_IT_IS else uid, there.st_gid if gid == _AS_IT_IS else gid


def _stage(path: str, data: bytes, mode: int, uid: int, gid: int, *, durable: bool) -> None:
    Path(path).unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        if durable:
            os.fsync(descriptor)


def _sync_directory(path: str) -> None:
    descriptor = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
