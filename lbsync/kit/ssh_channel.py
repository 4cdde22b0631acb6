"""One command on an SSH channel: fed, listened to and ended by a deadline.

Rule of this room: bytes in, bytes out; it knows nothing of what is run or why.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import paramiko

from lbsync.kit.host import Completed


def converse(channel: paramiko.Channel, data: bytes, deadline: float) -> Completed:
    """Feed a command and collect what it says, all at once so that neither side can block the other."""
    errors = bytearray()
    threads = [
        threading.Thread(target=_feed, args=(channel, data), daemon=True),
        threading.Thread(target=_collect, args=(channel.recv_stderr, errors), daemon=True),
    ]
    for thread in threads:
        thread.start()
    output = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        channel.settimeout(left)
        part = channel.recv(65536)
        if not part:
            break
        output += part
    if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
        raise TimeoutError
    rc = channel.recv_exit_status()
    if rc == -1:
        raise EOFError("the command ended without an exit status")
    threads[1].join(max(0.1, deadline - time.monotonic()))
    return Completed(rc, bytes(output), bytes(errors))


def _feed(channel: paramiko.Channel, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except (OSError, EOFError, paramiko.SSHException):
        return  # the command ended without reading it all; its exit status tells


def _collect(receive: Callable[[int], bytes], into: bytearray) -> None:
    try:
        while part := receive(65536):
            into += part
    except (OSError, EOFError, paramiko.SSHException):
        return  # the main thread meets the same error and reports it
