"""TCP connections that start at a host reached over SSH: by sshd's own forwarding, else by a relay there.

Rule of this room: forwarding is sshd's to allow (AllowTcpForwarding); where it does not, python3 on the host connects instead,
and where there is none either the message says what to do.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import paramiko

from lbsync.errors import Rejected, Unreachable
from lbsync.kit.handshake import NO_CONNECTION, where
from lbsync.kit.ssh_connection import SshConnection
from lbsync.kit.stream import Stream, gone, silent

_RELAY: Final = """\
import os, socket, sys, threading
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))
except OSError as error:
    os.write(1, b"-" + str(error).encode())
    sys.exit()
s.settimeout(None)
os.write(1, b"+")
def send():
    try:
        while True:
            part = os.read(0, 65536)
            if not part:
                os._exit(0)
            s.sendall(part)
    except OSError:
        pass
threading.Thread(target=send, daemon=True).start()
try:
    while True:
        part = s.recv(65536)
        if not part:
            break
        while part:
            part = part[os.write(1, part):]
except OSError:
    pass
os._exit(0)
"""
_CONNECTED, _NOT_CONNECTED = b"+", b"-"
"""The relay's first byte; after the second it says why."""
_PROHIBITED, _CONNECT_FAILED = 1, 2
"""Reasons for which sshd opens no channel (RFC 4254, 5.1)."""
_RELAYS = 6
"""Each relay takes one of the sessions that sshd allows on a connection (MaxSessions, 10 by default)."""


class SshTcp:
    """Connects from the host at the other end. Safe for several threads."""

    def __init__(self, connection: SshConnection) -> None:
        self._connection = connection
        self._relays = threading.BoundedSemaphore(_RELAYS)
        self._forwarding = True

    def connect(self, address: str, port: int, timeout_s: float) -> Stream:
        """See ``Host.connect``."""
        bare, place = address.removeprefix("[").removesuffix("]"), where(address, port)
        if self._forwarding:
            channel = self._forwarded(bare, port, timeout_s, place)
            if channel is not None:
                return ChannelStream(channel, place, timeout_s)
        return self._relayed(bare, port, timeout_s, place)

    def _forwarded(self, address: str, port: int, timeout_s: float, place: str) -> paramiko.Channel | None:
        """A forwarded connection, ``None`` where sshd does not forward, or did not say clearly why it does not connect."""
        transport = self._connection.transport()
        started = time.monotonic()
        try:
            return transport.open_channel("direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout_s)
        except (paramiko.SSHException, EOFError, OSError) as error:
            if not transport.is_active():
                raise self._connection.lost(transport, f"connecting to {place}", error) from error
            if time.monotonic() - started >= timeout_s:
                raise _no_connection("no answer in time", place) from error
            # paramiko keeps one reason for all threads: only one it names is believed, and the relay tells the others.
            code = error.code if isinstance(error, paramiko.ChannelException) else None
            if code == _CONNECT_FAILED:
                raise _no_connection(f"{self._connection.name} could not connect to it", place) from error
            self._forwarding = code != _PROHIBITED
            return None

    def _relayed(self, address: str, port: int, timeout_s: float, place: str) -> Stream:
        if not self._relays.acquire(timeout=timeout_s):
            raise Unreachable(f"{self._connection.name} has {_RELAYS} connections of ours open already", where=place)
        try:
            channel = self._start_relay(address, port, timeout_s, place)
        except BaseException:
            self._relays.release()
            raise
        return ChannelStream(channel, place, timeout_s, self._relays.release)

    def _start_relay(self, address: str, port: int, timeout_s: float, place: str) -> paramiko.Channel:
        transport = self._connection.transport()
        try:
            channel = transport.open_session(timeout=timeout_s)
            try:
                channel.settimeout(timeout_s + 1)  # it connects within timeout_s, or says why not
                channel.exec_command(
                    shlex.join(["python3", "-I", "-S", "-c", _RELAY, address, str(port), f"{timeout_s:g}"])
                )
                _await_connected(channel, self._connection.name, place)
            except BaseException:
                channel.close()
                raise
        except TimeoutError as error:
            raise _no_connection("no answer in time", place) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._connection.lost(transport, f"connecting to {place}", error) from error
        return channel


def _await_connected(channel: paramiko.Channel, host: str, place: str) -> None:
    """The relay's word. Raises Unreachable where it did not connect, Rejected where it does not run, OSError."""
    first = channel.recv(1)
    if first == _CONNECTED:
        return
    if first == _NOT_CONNECTED:
        with channel.makefile("rb") as output:
            raise _no_connection(output.read().decode(errors="replace"), place)
    with channel.makefile_stderr("rb") as errors:
        said = " ".join(errors.read().decode(errors="replace").split())
    raise Rejected(
        f"sshd forwards no TCP connections, and python3 does not make them: {said or 'no reason given'}",
        where=host,
        remedy="set AllowTcpForwarding local in that host's sshd_config (for this account), or install python3",
        code="no_forwarding",
    )


class ChannelStream:
    """A stream over an SSH channel; ``closed`` is called once when it is closed."""

    def __init__(
        self, channel: paramiko.Channel, where: str, timeout_s: float, closed: Callable[[], None] | None = None
    ) -> None:
        self._channel = channel
        self._closed = closed
        self.where = where
        channel.settimeout(timeout_s)

    def send(self, data: bytes) -> None:
        """See ``Stream.send``."""
        try:
            self._channel.sendall(data)
        except TimeoutError as error:
            raise silent(self.where) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise gone(self.where) from error

    def receive(self, size: int = 65536) -> bytes:
        """See ``Stream.receive``."""
        try:
            data = self._channel.recv(size)
        except TimeoutError as error:
            raise silent(self.where) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise gone(self.where) from error
        if not data and not self._channel.get_transport().is_active():
            raise gone(self.where)
        return data

    def close(self) -> None:
        """See ``Stream.close``."""
        self._channel.close()
        closed, self._closed = self._closed, None
        if closed is not None:
            closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _no_connection(why: str, place: str) -> Unreachable:
    return Unreachable(
        f"No connection: {why}",
        where=place,
        remedy="Check that the listener is up and that no firewall stands between.",
        code=NO_CONNECTION,
    )
