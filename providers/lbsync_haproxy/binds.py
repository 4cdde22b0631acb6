"""Who else listens on our address: bind lines of HAProxy configurations, and the kernel's list of listening sockets.

Rule of this room: pure text in, endpoints out. ``haproxy -c`` passes two front ends on one address and port, and handshakes then
split between them: so lbsync looks for itself.
"""

from __future__ import annotations

import ipaddress
import shlex
import socket
from collections.abc import Iterable
from dataclasses import dataclass

_ANY = frozenset({"*", "", "0.0.0.0", "::"})  # noqa: S104 -- compared, not bound
_LISTEN = "0A"
_SCHEMES = ("ipv4@", "ipv6@", "tcp@", "tcp4@", "tcp6@")
_NOT_TCP = ("/", "unix@", "abns@", "fd@", "sockpair@", "quic4@", "quic6@", "udp@", "udp4@", "udp6@", "abnsz@")


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
        return self.address in _ANY or address in _ANY or _same(self.address, address)


def parse_binds(text: str, where: str) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
    """TCP endpoints of all ``bind`` lines, and the words that cannot be understood (variables, odd ports).

    ``where`` is the file's name; each endpoint carries it with its line number.
    """
    found: list[Endpoint] = []
    unclear: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = _words(line)
        if len(words) < 2 or words[0] != "bind":  # noqa: PLR2004 -- a keyword and its argument
            continue
        for word in words[1].split(","):
            endpoint = _endpoint(word, f"{where} line {number}")
            if endpoint is not None:
                found.append(endpoint)
            elif not word.startswith(_NOT_TCP):
                unclear.append(f"{where} line {number}: bind {word}")
    return tuple(found), tuple(unclear)


def parse_listening(tables: Iterable[str]) -> tuple[Endpoint, ...]:
    """Listening TCP endpoints from the texts of /proc/net/tcp and tcp6 (addresses in little-endian words of 32 bits)."""
    found: dict[Endpoint, None] = {}
    for table in tables:
        for line in table.splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[3] == _LISTEN:  # noqa: PLR2004 -- sl, local, remote, st
                address, _, port = fields[1].partition(":")
                number = int(port, 16)
                found[Endpoint(_kernel_address(address), number, number, "another process")] = None
    return tuple(found)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split("#", 1)[0].split()


def _endpoint(word: str, where: str) -> Endpoint | None:
    for scheme in _SCHEMES:
        word = word.removeprefix(scheme)
    if word.startswith(_NOT_TCP) or "$" in word:
        return None
    address, colon, ports = word.rpartition(":")
    first, _, last = ports.partition("-")
    if not colon or not first.isdigit() or (last and not last.isdigit()):
        return None
    address = address.strip("[]")
    return Endpoint("*" if address in _ANY else address, int(first), int(last or first), where)


def _same(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one.lower() == other.lower()


def _kernel_address(digits: str) -> str:
    raw = b"".join(bytes.fromhex(digits[i : i + 8])[::-1] for i in range(0, len(digits), 8))
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6  # noqa: PLR2004 -- bytes of an IPv4 address
    address = ipaddress.ip_address(socket.inet_ntop(family, raw))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return "*" if str(address) in _ANY else str(address)
