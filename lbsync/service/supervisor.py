"""A word to the service manager: ready, alive, ending (sd_notify).

Rule of this file: a datagram to the socket that the manager named, and nothing where it named none. Source: sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

_MILLION = 1_000_000


class Supervisor:
    """Who started the service, if it wants to know; ``environ`` is where it said so."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        wanted = environ.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
        usec = environ.get("WATCHDOG_USEC", "") if wanted else ""
        self.every_s = int(usec) / _MILLION / 2 if usec.isdigit() and int(usec) > 0 else None
        """How often it wants to hear that the service is alive; ``None``: never."""

    def tell(self, *words: str) -> None:
        """``READY=1``, ``WATCHDOG=1``, ``STOPPING=1``, ``STATUS=...``."""
        if not self._address or not hasattr(socket, "AF_UNIX"):
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.connect(address)
            to.sendall("\n".join(words).encode())
