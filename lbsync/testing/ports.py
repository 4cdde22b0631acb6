"""Addresses and ports for programs that must be told theirs before they run."""

from __future__ import annotations

import atexit
import random
import socket
import sys
from collections import deque

_HOLDS = sys.platform == "linux"
_MOST = 256
_held: deque[socket.socket] = deque()
_given: deque[int] = deque(maxlen=_MOST)


def free_port(address: str) -> int:
    """A TCP port of the kernel's choice that nobody has on ``address``, and that the kernel gives to nobody else for now.

    A port that is merely free at this moment is given to the next outgoing connection, and the program that was told of it
    then cannot listen. So on Linux this process keeps a socket bound to it that never listens: programs that set SO_REUSEADDR
    (HAProxy, NGINX, sshd, asyncio) listen there all the same, and a connection to it is refused until they do. The last 256 are
    kept. Elsewhere that option means something else, and the port is only free. None is one of the last 256 that were given out
    here, on whatever address: one program may be told several, and take them for all of its addresses.
    """
    while True:
        probe = socket.socket()
        if _HOLDS:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, 0))
        port = int(probe.getsockname()[1])
        if port in _given:  # on another address, or not held
            probe.close()
            continue
        _given.append(port)
        if not _HOLDS:
            probe.close()
            return port
        _held.append(probe)
        if len(_held) > _MOST:
            _held.popleft().close()
        return port


@atexit.register
def _let_go() -> None:
    while _held:
        _held.popleft().close()


def own_address() -> str:
    """A loopback address that nobody else is likely to use."""
    pick = random.SystemRandom()
    return f"127.{pick.randint(1, 250)}.{pick.randint(1, 250)}.{pick.randint(2, 250)}"
