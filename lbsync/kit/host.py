"""A host that files and commands live on: the contract, its values, and how the system's errors become ours.

Rule of this room: files are replaced atomically (a dot-named temporary file in the same directory, fsync, rename), a private
key is never readable by others for an instant, and commands are argument lists, never shell text. It knows nothing of the
products whose files these are.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import Field

from lbsync.errors import ConfigError, Denied, Rejected, TargetError, Unreachable
from lbsync.kit.stream import Stream
from lbsync.model import Value

NOT_ENDED = "not_ended"
"""Code of Unreachable where a command was not over in time: the host itself may well be there."""

FileKind = Literal["file", "directory", "symlink", "other"]

_DENIED = frozenset({errno.EACCES, errno.EPERM})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended. ``rc`` is its exit code, negative for a signal (here) as subprocess has it."""

    rc: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What lstat says: ``mode`` holds the permission bits only."""

    kind: FileKind
    mode: int
    uid: int
    gid: int
    size: int


class SshSettings(Value):
    """How to reach a host over SSH. Host keys are never learnt: ``known_hosts`` must hold the host's key."""

    host: str = Field(description="Name or address of the host that the balancer runs on.")
    port: int = Field(default=22, ge=1, le=65535, description="Port of its SSH server.")
    user: str = Field(default="root", description="Account to log in as.")
    key_file: str | None = Field(
        default=None, description="Private key to log in with; default: the SSH agent and ~/.ssh/id_*."
    )
    known_hosts: str | None = Field(
        default=None, description="File with the host's key, as `ssh-keyscan` writes it; default: ~/.ssh/known_hosts."
    )
    sudo: bool = Field(
        default=False, description="Work through `sudo -n`: for an account that may use it without a password."
    )
    sftp_server: str = Field(
        default="/usr/lib/openssh/sftp-server",
        description="Path of the host's sftp-server, started through sudo; used with sudo = true only.",
    )
    connect_timeout_s: float = Field(default=10.0, gt=0, description="Seconds to wait for a connection.")


class Host(Protocol):
    """Files, commands, sockets and connections of one host. Paths are absolute POSIX paths.

    Every method raises Unreachable when the host does not answer (in time), Denied when the rights are missing, and
    Rejected (``code``: the errno's name, ``no_space`` for a full disk, ``exists``) for anything else it says no to.
    """

    @property
    def name(self) -> str:
        """How messages call this host."""
        ...

    def read_file(self, path: str) -> bytes | None:
        """The content, or ``None`` where there is no such file; follows symbolic links."""
        ...

    def read_files(self, paths: Sequence[str]) -> tuple[bytes | None, ...]:
        """``read_file`` of each, in their order; over SSH together in one command. Not all at one moment."""
        ...

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
        """Replace or create a file at once: readers see the old content or the new one, a crash leaves one of both.

        ``mode`` ``None`` keeps that of a file that is there, and its owner and group where none is given; a new one gets
        0644. The bytes are staged under ``staging_name`` in the same directory, created 0600 and given owner and mode before the
        rename. ``exclusive`` refuses (Rejected, ``exists``) where the file is there already; ``durable`` false spares the
        fsync, for what need not outlive a power cut.
        """
        ...

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
        """``write_file``, then ``run``, in one go, which over SSH spares round trips. The file stays, whatever ``argv`` says."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file or symbolic link, and whatever a killed write left beside it; nothing where there is none."""
        ...

    def make_directory(
        self, path: str, *, mode: int = 0o755, owner: str | None = None, group: str | None = None
    ) -> None:
        """Create one directory with exactly this mode; nothing where it is there already. Its parent must exist."""
        ...

    def remove_directory(self, path: str) -> None:
        """Remove a directory if it is there and empty; one that is not empty stays."""
        ...

    def list_directory(self, path: str) -> tuple[str, ...] | None:
        """The names in it, sorted, or ``None`` where there is no such directory."""
        ...

    def stat(self, path: str) -> FileStatus | None:
        """What is at the path itself (a symbolic link is not followed), or ``None``."""
        ...

    def read_link(self, path: str) -> str | None:
        """Where a symbolic link points, or ``None`` where there is none."""
        ...

    def symlink(self, target: str, path: str) -> None:
        """Make ``path`` a symbolic link to ``target``, replacing what is there at once."""
        ...

    def run(self, argv: Sequence[str], *, input: bytes | None = None, timeout_s: float = 60.0) -> Completed:  # noqa: A002 -- subprocess's name for it
        """Run a command to its end. A failing exit code is an answer, not an error; a command not found is Rejected."""
        ...

    def unix_request(self, path: str, data: bytes, timeout_s: float = 10.0) -> bytes:
        """Connect to a unix stream socket, send ``data``, close the sending side, return all that comes until the end.

        A peer that resets the connection after it was reached ends the answer, which may then be empty.
        """
        ...

    def connect(self, address: str, port: int, timeout_s: float = 10.0) -> Stream:
        """A TCP connection from this host to an address or name as this host knows it (IPv6 with or without brackets).

        ``timeout_s`` is for connecting and for each silence after. Raises Unreachable with code ``no_connection`` where nobody
        listens; Rejected where the host has no way to connect. May be called by several threads; a host may hold back a
        connection until another one is closed, so a thread keeps one open at a time.
        """
        ...

    def close(self) -> None:
        """Close every connection; the next call opens anew."""
        ...


def open_host(ssh: SshSettings | None) -> Host:
    """This host, or one over SSH; connects when first used. Raises ConfigError where paramiko is not installed."""
    if ssh is None:
        from lbsync.kit.host_local import LocalHost

        return LocalHost()
    try:
        from lbsync.kit.host_ssh import SshHost
    except ImportError as error:
        raise ConfigError(
            "SSH needs the Python package paramiko, which is not installed",
            where=f"ssh host {ssh.host}",
            remedy="pip install 'lbsync[ssh]'",
        ) from error
    return SshHost(ssh)


def staging_name(path: str) -> str:
    """Where a file is staged before it is renamed: dot-named (HAProxy skips those), in the same directory."""
    folder, name = posixpath.split(path)
    return posixpath.join(folder, f".{name}.lbsync-tmp")


def unended(program: str, timeout_s: float, where: str) -> Unreachable:
    """The error for a command that was not over in time; nobody knows how far it came."""
    return Unreachable(f"{program} did not end within {timeout_s:g} s", where=where, code=NOT_ENDED)


def refusal(error: OSError, *, doing: str, where: str) -> TargetError:
    """Our error for what the operating system said; ``doing`` completes "cannot …"."""
    reason = error.strerror or "the system gave no reason"
    if error.errno in _DENIED:
        return Denied(
            f"cannot {doing}: {reason}",
            where=where,
            remedy="run lbsync with an account that has the rights, or allow sudo in the settings",
            code=errno.errorcode.get(error.errno or 0, ""),
        )
    if error.errno in _FULL:
        return no_space(doing, where)
    return Rejected(f"cannot {doing}: {reason}", where=where, code=errno.errorcode.get(error.errno or 0, ""))


def no_space(doing: str, where: str) -> Rejected:
    """The error for a full disk."""
    return Rejected(
        f"cannot {doing}: the disk is full",
        where=where,
        state="the file is as it was",
        remedy="make room on that file system, then run again",
        code="no_space",
    )
