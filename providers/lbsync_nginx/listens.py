"""Who listens where in an NGINX configuration, under which names, and what stands in the way of our listeners.

Rule of this room: pure. NGINX itself accepts most of what is refused here: a server name that stands twice is a warning, a port
of the stream and of the http block at once fails only when a reload binds it, and then silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from lbsync.kit.endpoints import ANY, Endpoint, endpoint
from lbsync_nginx.dump import Directive

Module = Literal["http", "stream"]
_PLAIN_PORT = 80
_PORTS = re.compile(r"([0-9]+)(?:-([0-9]+))?\Z")
_UDP = frozenset({"udp", "quic"})


@dataclass(frozen=True, slots=True)
class Listen:
    """One address and port of one server block, or a range of ports up to ``last``; 0 for none.

    ``names`` are in lower case; stream servers have none.
    """

    module: Module
    address: str
    port: int
    tls: bool
    names: tuple[str, ...] = ()
    http2: bool = False
    default: bool = False
    where: str = ""
    last: int = 0

    @property
    def at(self) -> Endpoint:
        """As an endpoint."""
        return Endpoint(self.address, self.port, max(self.port, self.last), self.where)


def listens_of(tree: Iterable[Directive]) -> tuple[Listen, ...]:
    """Every TCP listener of the http and stream blocks; sockets with a path are passed over."""
    found: list[Listen] = []
    for top in tree:
        if top.name not in {"http", "stream"} or top.block is None:
            continue
        module: Module = "http" if top.name == "http" else "stream"
        for server in top.block:
            if server.name == "server" and server.block is not None:
                found += _server(module, server, server.block)
    return tuple(found)


def _server(module: Module, server: Directive, block: tuple[Directive, ...]) -> Iterator[Listen]:
    names = tuple(name.lower() for one in block if one.name == "server_name" for name in one.args)
    lines = [one for one in block if one.name == "listen" and one.args]
    if not lines and module == "http":
        yield Listen("http", "*", _PLAIN_PORT, tls=False, names=names, where=server.where)
    for line in lines:
        place = _place(line.args[0])
        options = frozenset(line.args[1:])
        if place is None or options & _UDP:
            continue
        address, first, last = place
        yield Listen(
            module,
            address,
            first,
            tls="ssl" in options or any(one.name == "ssl" and one.args == ("on",) for one in block),
            names=names,
            http2="http2" in options,
            default=bool(options & {"default_server", "default"}),
            where=line.where,
            last=last,
        )


def _place(word: str) -> tuple[str, int, int] | None:
    """Address and first and last port; ``None`` for a socket with a path, and for what is no place."""
    if word.startswith("unix:"):
        return None
    address, colon, ports = word.rpartition(":")
    if word.endswith("]") or (not colon and not _PORTS.match(word)):
        address, ports = word, str(_PLAIN_PORT)
    found = _PORTS.match(ports)
    if found is None:
        return None
    address = address.strip("[]")
    return ("*" if address in ANY else address, int(found[1]), int(found[2] or found[1]))


def conflicts(ours: Iterable[Listen], theirs: Iterable[Listen], file: str) -> Iterator[str]:
    """What of theirs cannot be beside ours, each as a sentence that says what to do; ``file`` is how ours are called."""
    others = tuple(theirs)
    for own in ours:
        for other in others:
            if other.at.clashes(own.address, own.port):
                yield from _conflict(own, other, file)


def _conflict(own: Listen, other: Listen, file: str) -> Iterator[str]:
    mine, its = endpoint(own.address, own.port), endpoint(other.address, other.port)
    same_place = (own.address in ANY) is (other.address in ANY)  # they clash, so two addresses are one
    if other.module != own.module:
        yield (
            f"{other.where} listens on {its} in the {other.module} block, where {file} shall listen on {mine} in the "
            f"{own.module} block: NGINX cannot have both. Move one of them to another address."
        )
    elif not same_place and own.address in ANY:
        yield (
            f"{other.where} listens on {its}: clients of that address would never reach {file}, which shall listen on "
            f"{mine}. Set bind_address to the address Exchange's clients use, or remove that listener."
        )
    elif not same_place:
        yield (
            f"{other.where} listens on {its}, every address: {file} on {mine} alone would take that address away from it. Set "
            'bind_address = "*" to share them by name, or have that server listen on its own addresses.'
        )
    elif own.module == "stream" or own.tls is not other.tls:
        kind = "TLS" if other.tls else "plain text"
        yield f"{other.where} has {its} for {kind} already. Move it, or give lbsync another address."
    else:
        shared = sorted(set(own.names) & set(other.names))
        if shared:
            yield (
                f"{other.where} serves {', '.join(shared)} on {its} already: NGINX would ignore one of both. Take the name "
                "out of it, or remove that server."
            )


def without_default(ours: Iterable[Listen], theirs: Iterable[Listen]) -> Iterator[Listen]:
    """Listeners of theirs that we share by name and of which none is the default: then whoever is included first is."""
    others = [other for other in theirs if other.module == "http"]
    for own in ours:
        shared = [other for other in others if own.module == "http" and other.at.clashes(own.address, own.port)]
        if shared and not any(other.default for other in shared):
            yield shared[0]


def with_default(ours: Iterable[Listen], theirs: Iterable[Listen]) -> Iterator[Listen]:
    """Default servers of theirs on our TLS address: their TLS settings may hold before a name is known."""
    wanted = [own for own in ours if own.tls and own.module == "http"]
    for other in theirs:
        if other.default and any(other.at.clashes(own.address, own.port) for own in wanted):
            yield other


def speaks_http2(ours: Iterable[Listen], theirs: Iterable[Listen]) -> Iterator[Listen]:
    """Listeners of theirs that bring HTTP/2 to an address of ours: before 1.25.1 it is the address's, not the server's."""
    wanted = [own for own in ours if own.tls]
    for other in theirs:
        if other.http2 and any(other.at.clashes(own.address, own.port) for own in wanted):
            yield other
