"""Who is at the other end of an SSH connection, and why one was not made.

Rule of this room: a host key that is not known ends it before anything is said; an error names what to do and no secret.
"""

from __future__ import annotations

from typing import NoReturn

import paramiko

from lbsync.errors import Denied, Unreachable


class UnknownHostKey(paramiko.SSHException):
    """The host's key stands in no known_hosts file."""


class Refuse(paramiko.RejectPolicy):
    """paramiko's RejectPolicy with an error class of its own, so that nobody reads its text."""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> NoReturn:  # noqa: ARG002 -- paramiko's signature
        """Refuse, always."""
        raise UnknownHostKey(f"{hostname} offered {key.get_name()} {key.fingerprint}")


def connection_error(error: Exception, where: str, known: str) -> Denied | Unreachable:
    """What paramiko met while connecting to ``where``, as an error of ours; ``known`` is the known_hosts file."""
    if isinstance(error, paramiko.BadHostKeyException):
        return Denied(
            "the host's key is not the one in known_hosts: another machine answers, or the host was set up anew",
            where=where,
            state="no login was tried",
            remedy=f"find out why; only then replace its line in {known}",
            code="host_key_changed",
        )
    if isinstance(error, UnknownHostKey):
        return Denied(
            f"the host's key is not in known_hosts ({error})",
            where=where,
            state="no login was tried",
            remedy=f"obtain the host's key in a way you trust and add it to {known}",
            code="unknown_host_key",
        )
    if isinstance(error, (paramiko.AuthenticationException, paramiko.PasswordRequiredException)):
        return Denied(
            "the SSH login was rejected",
            where=where,
            remedy="check user and key_file; keys with a passphrase must be in the agent",
            code="ssh_login",
        )
    if isinstance(error, (FileNotFoundError, PermissionError, ValueError)):
        return Denied(f"the SSH key cannot be used: {error}", where=where, remedy="check key_file", code="ssh_key")
    return Unreachable(
        f"no SSH connection: {error}", where=where, remedy="check that sshd runs there and is not filtered"
    )
