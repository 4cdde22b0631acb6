"""A TCP connection that starts at some host: the contract, and the one over a socket.

Rule of this room: bytes in, bytes out, and a silence has an end; what is said over it is not its business.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Protocol, Self

from lbsync.errors import Unreachable

NO_ANSWER = "no_answer"
"""Code of Unreachable where the other side was silent for too long."""
CLOSED = "closed"
"""Code of Unreachable where the connection is gone."""


class Stream(Protocol):
    """A connection, for one thread at a time. Inside ``with`` it is closed at the end."""

    @property
    def where(self) -> str:
        """The address and port it leads to, as messages name it."""
        ...

    def send(self, data: bytes) -> None:
        """Send all of it. Raises Unreachable where the other side does not take it (``no_answer``) or is gone (``closed``)."""
        ...

    def receive(self, size: int = 65536) -> bytes:
        """At least one and at most ``size`` bytes; none at the end. A reset by the other side is an end as well.

        Raises Unreachable: with code ``no_answer`` after a silence of the stream's time-out, ``closed`` where the way there
        broke.
        """
        ...

    def close(self) -> None:
        """Close it; twice is once. Raises nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SocketStream:
    """A stream over a connected socket, which brings its time-out."""

    def __init__(self, connection: socket.socket, where: str) -> None:
        self._connection = connection
        self.where = where

    def send(self, data: bytes) -> None:
        """See ``Stream.send``."""
        try:
            self._connection.sendall(data)
        except TimeoutError as error:
            raise silent(self.where) from error
        except OSError as error:
            raise gone(self.where) from error

    def receive(self, size: int = 65536) -> bytes:
        """See ``Stream.receive``."""
        try:
            return self._connection.recv(size)
        except TimeoutError as error:
            raise silent(self.where) from error
        except ConnectionResetError:
            return b""
        except OSError as error:
            raise gone(self.where) from error

    def close(self) -> None:
        """See ``Stream.close``."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def silent(where: str) -> Unreachable:
    """The error for a silence that was too long."""
    return Unreachable("no answer in time", where=where, code=NO_ANSWER)


def gone(where: str) -> Unreachable:
    """The error for a connection that cannot be used any more."""
    return Unreachable("the connection was closed", where=where, code=CLOSED)
