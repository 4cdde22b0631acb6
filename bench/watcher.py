"""A client that looks at the certificate again and again: watcher.py ADDRESS PORT NAME CA.

It says in the end, of each full handshake, when it ended (on the clock that all programs of a host share) and the SHA-256 of
the leaf, which is empty where it failed.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import sys
import time

from bench.child import say, stopping

_EVERY_S = 0.005


def greeting(ca_file: str) -> ssl.SSLContext:
    """For full handshakes that verify chain and name."""
    context = ssl.create_default_context(cafile=ca_file)
    context.options |= ssl.OP_NO_TICKET
    return context


def leaf(context: ssl.SSLContext, address: str, port: int, name: str) -> str:
    """One full handshake: the SHA-256 of what was served. Raises OSError where it fails."""
    with (
        socket.create_connection((address, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


def main() -> None:
    """Look until stdin ends."""
    address, port, name, ca = sys.argv[1:]
    context, ended = greeting(ca), stopping()
    seen: list[tuple[float, str]] = []
    say("up")
    while not ended.is_set():
        try:
            served = leaf(context, address, int(port), name)
        except OSError:
            served = ""
        seen.append((time.monotonic(), served))
        time.sleep(_EVERY_S)
    say(seen)


if __name__ == "__main__":
    main()
