"""The kernel's tables of TCP sockets on NGINX's host, cut down there to the rows that count.

Rule of this room: reads only. A busy balancer has tens of thousands of rows, nearly all of connections that are over, and over
SSH each would travel.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.kit.endpoints import Endpoint, parse_listening
from lbsync.kit.host import Host

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LOCAL, _REMOTE = "[0-9A-F]+:[0-9A-F]{4}", "[0-9A-F]+:"
_LISTEN, _NOT_OVER = "0A", "0[^6]"
"""States. 06, TIME_WAIT, is nearly every row of a balancer that opens a connection for each request."""
_OPEN = "0[18]"
"""ESTABLISHED and CLOSE_WAIT: what came before the client's goodbye may be unread."""


def read_listening(host: Host) -> tuple[Endpoint, ...]:
    """Whoever listens there. Raises TargetError."""
    return parse_listening([_rows(host, f"{_REMOTE}0000 {_LISTEN}")])


def read_connections_to(host: Host, ports: Iterable[int]) -> str:
    """A table of the connections from there to some ports of whatever address that are not over. Raises TargetError."""
    return _rows(host, f"{_REMOTE}({_hexadecimal(ports)}) {_NOT_OVER}")


def clients_at(ports: Iterable[int]) -> str:
    """A pattern for the rows of clients of some ports here that may still send something."""
    return f"^ *[0-9]+: [0-9A-F]+:({_hexadecimal(ports)}) {_REMOTE}[0-9A-F]{{4}} {_OPEN} "


def _hexadecimal(ports: Iterable[int]) -> str:
    return "|".join(f"{port:04X}" for port in sorted(set(ports)))


def _rows(host: Host, behind_local: str) -> str:
    """Rows that go on so behind the local address, below a title."""
    done = host.run(["grep", "-hsE", f"^ *[0-9]+: {_LOCAL} {behind_local} ", *_TABLES])
    return "sl local_address rem_address st\n" + done.stdout.decode(errors="replace")
