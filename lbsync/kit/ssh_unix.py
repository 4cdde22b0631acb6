"""Unix sockets of a host over SSH, through a small relay there: python3, else socat.

Rule of this room: one request, one answer. paramiko cannot open ``direct-streamlocal@openssh.com`` channels, and those would not
pass sudo.
"""

from __future__ import annotations

from typing import Final

from lbsync.errors import Rejected, Unreachable
from lbsync.kit.ssh_connection import SshConnection

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


def unix_request(connection: SshConnection, path: str, data: bytes, timeout_s: float) -> bytes:
    """See ``Host.unix_request``."""
    limit_s = timeout_s + 5
    done = connection.execute(["python3", "-I", "-S", "-c", _RELAY, path, f"{timeout_s:g}"], data, limit_s)
    if done.rc == _NOT_FOUND and not _SOCAT_SPECIAL & set(path):
        done = connection.execute(["socat", "-t", f"{timeout_s:g}", "-", f"UNIX-CONNECT:{path}"], data, limit_s)
    if done.rc == _NOT_FOUND:
        raise Rejected(
            "neither python3 nor socat is there to reach a unix socket",
            where=connection.name,
            remedy="install one of them on that host",
            code="ENOENT",
        )
    if done.rc != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unreachable(f"nobody answers on the socket: {said[-1] if said else 'no reason given'}", where=path)
    return done.stdout
