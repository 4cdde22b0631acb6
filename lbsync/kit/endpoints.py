"""TCP addresses and ports: what clashes with what, and what the kernel says is listening or connected.

Rule of this room: pure text in, values out. The kernel's tables are the texts of /proc/net/tcp and /proc/net/tcp6.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

ANY = frozenset({"*", "", "0.0.0.0", "::"})  # noqa: S104 -- compared, not bound
"""How configurations and the kernel write "every address"."""

_STATE, _INODE = 3, 9
"""Columns: sl, local, remote, st, queues, timer, retransmissions, uid, timeout, inode."""
_LISTEN = "0A"
_WHILE_OPEN = frozenset({"01", "02", "08"})  # ESTABLISHED, SYN_SENT, CLOSE_WAIT
_WHILE_HELD = frozenset({"04", "05"})  # FIN_WAIT1, FIN_WAIT2
_NO_PROCESS = "0"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP address with a range of ports; ``address`` is ``*`` for any. ``where`` says who has it."""

    address: str
    first: int
    last: int
    where: str = ""

    def clashes(self, address: str, port: int) -> bool:
        """True when both cannot listen at once."""
        if not self.first <= port <= self.last:
            return False
        return self.address in ANY or address in ANY or _same(self.address, address)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a kernel table; addresses as text, ``inode`` is ``0`` where no process holds the socket."""

    local: tuple[str, int]
    remote: tuple[str, int]
    state: str
    inode: str


def endpoint(address: str, port: int) -> str:
    """``address:port`` as configurations want it, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def first_clash(endpoints: Iterable[Endpoint], address: str, port: int) -> Endpoint | None:
    """The first of them that cannot listen at once with this address and port."""
    return next((found for found in endpoints if found.clashes(address, port)), None)


def parse_listening(tables: Iterable[str]) -> tuple[Endpoint, ...]:
    """Listening TCP endpoints, each once, in the tables' order."""
    found: dict[Endpoint, None] = {}
    for row in _rows(tables):
        if row.state == _LISTEN:
            address, port = row.local
            found[Endpoint("*" if address in ANY else address, port, port, "another process")] = None
    return tuple(found)


def established(tables: Iterable[str], peer: str, port: int) -> int:
    """How many connections to ``peer`` (an IPv4 or IPv6 address, not a name) and ``port`` may still carry a request.

    Those are ESTABLISHED, SYN_SENT (a request waits for it) and CLOSE_WAIT (the answer came, and is being passed on); FIN_WAIT1
    and FIN_WAIT2 while a process holds the socket: it sent its last byte and may read on. Without one nobody waits for an
    answer, and the kernel alone keeps the row for up to a minute; LAST_ACK, CLOSING and TIME_WAIT are closed on both sides.
    Raises ValueError where ``peer`` is no address.
    """
    wanted = (str(_plain(ipaddress.ip_address(peer.strip("[]").partition("%")[0]))), port)
    return sum(
        row.remote == wanted and (row.state in _WHILE_OPEN or (row.state in _WHILE_HELD and row.inode != _NO_PROCESS))
        for row in _rows(tables)
    )


def _rows(tables: Iterable[str]) -> Iterator[_Row]:
    for table in tables:
        for line in table.splitlines()[1:]:
            fields = line.split()
            if len(fields) > _STATE:
                inode = fields[_INODE] if len(fields) > _INODE else ""
                yield _Row(_kernel_endpoint(fields[1]), _kernel_endpoint(fields[2]), fields[_STATE], inode)


def _same(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one.lower() == other.lower()


def _kernel_endpoint(text: str) -> tuple[str, int]:
    digits, _, port = text.partition(":")
    return _kernel_address(digits), int(port, 16)


@lru_cache(maxsize=4096)
def _kernel_address(digits: str) -> str:
    """Addresses stand in words of 32 bits, each with its bytes reversed on a little-endian host.

    A busy host's table has the same few in tens of thousands of lines.
    """
    raw = b"".join(bytes.fromhex(digits[i : i + 8])[::-1] for i in range(0, len(digits), 8))
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6  # noqa: PLR2004 -- bytes of an IPv4 address
    return str(_plain(ipaddress.ip_address(socket.inet_ntop(family, raw))))


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address where an IPv6 socket wrote it as mapped (::ffff:1.2.3.4)."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
