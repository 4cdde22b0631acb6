"""The few calls of SFTP that need care.

Rule of this room: one call, one effect; what to do about a failure is decided by the host.
"""

from __future__ import annotations

import stat

import paramiko

from lbsync.errors import Rejected
from lbsync.kit.host_local import kind_of


def unlink(sftp: paramiko.SFTPClient, path: str) -> None:
    """Remove a file, if it is there."""
    try:
        sftp.remove(path)
    except FileNotFoundError:
        return


def own(sftp: paramiko.SFTPClient, path: str, uid: int | None, gid: int | None) -> None:
    """Give a file to an owner, a group, or both; SFTP knows only both at once."""
    if uid is None and gid is None:
        return
    now = sftp.stat(path)
    sftp.chown(path, now.st_uid or 0 if uid is None else uid, now.st_gid or 0 if gid is None else gid)


def as_it_is(
    sftp: paramiko.SFTPClient, path: str, uid: int | None, gid: int | None
) -> tuple[int, int | None, int | None]:
    """Mode, user and group id of the file that is there; what is given comes first, a new file gets 0644."""
    try:
        there = sftp.stat(path)
    except FileNotFoundError:
        return 0o644, uid, gid
    return (
        stat.S_IMODE(there.st_mode or 0o644),
        there.st_uid if uid is None else uid,
        there.st_gid if gid is None else gid,
    )


def make(sftp: paramiko.SFTPClient, path: str, mode: int, uid: int | None, gid: int | None) -> None:
    """Make a directory that is exactly so; nothing where there is one. Raises Rejected where something else is there."""
    try:
        there = kind_of(sftp.lstat(path).st_mode or 0)
    except FileNotFoundError:
        sftp.mkdir(path, mode)
        own(sftp, path, uid, gid)
        sftp.chmod(path, mode)  # the server's umask may have taken bits away
        return
    if there != "directory":
        raise Rejected("a file is in the place of a directory", where=path, code="exists")


def rename_if_absent(sftp: paramiko.SFTPClient, temporary: str, path: str) -> None:
    """OpenSSH's plain rename links, then unlinks: it fails where the new name exists."""
    try:
        sftp.rename(temporary, path)
    except OSError as error:
        try:
            sftp.lstat(path)
        except FileNotFoundError:
            raise error from None
        raise Rejected("the file is there already", where=path, code="exists") from error
