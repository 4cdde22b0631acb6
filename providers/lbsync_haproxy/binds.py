"""Who else listens on our address: bind lines of HAProxy configurations.

Rule of this room: pure text in, endpoints out. ``haproxy -c`` passes two front ends on one address and port, and handshakes then
split between them: so lbsync looks for itself.
"""

from __future__ import annotations

import shlex

from lbsync.kit.endpoints import ANY, Endpoint

_SCHEMES = ("ipv4@", "ipv6@", "tcp@", "tcp4@", "tcp6@")
_NOT_TCP = ("/", "unix@", "abns@", "fd@", "sockpair@", "quic4@", "quic6@", "udp@", "udp4@", "udp6@", "abnsz@")


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
    return Endpoint("*" if address in ANY else address, int(first), int(last or first), where)
