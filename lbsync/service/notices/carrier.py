"""The process that sends one notice: a JSON object on stdin, why it failed on stdout, or nothing.

Rule of this file: an address is full of secrets, and so is what apprise says of it. What is told of a failure is chosen here
from a closed list of words; what apprise logs is judged in memory and thrown away.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from types import MappingProxyType
from typing import Final

MISSING: Final = "apprise is not installed: pip install 'lbsync[notify]'"
UNREADABLE: Final = "apprise cannot read the address: its documentation says how that service's is written"
_CONNECT_S, _READ_S = 8.0, 15.0
_TYPES: Final = MappingProxyType({"ok": "success", "warning": "warning", "critical": "failure"})


class _Hearing(logging.Handler):
    """Keeps apprise's own words."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.words.append(record.getMessage())


def carry(url: str, title: str, body: str, level: str) -> str:
    """Send; returns why it failed, in words of this file, or an empty text."""
    try:
        import apprise
    except ImportError:
        return MISSING
    heard = _Hearing()
    logging.getLogger("apprise").addHandler(heard)
    try:
        plugin = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if plugin is None:
            return UNREADABLE
        plugin.socket_connect_timeout, plugin.socket_read_timeout = _CONNECT_S, _READ_S
        sender = apprise.Apprise()
        sender.add(plugin)
        kind = apprise.NotifyType(_TYPES.get(level, "info"))
        sent = sender.notify(title=title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
    except Exception as error:  # noqa: BLE001  # any of a hundred services; its text may hold the address
        return f"apprise failed: {type(error).__name__}"
    return "" if sent else why(" ".join(heard.words))


def why(words: str) -> str:
    """What can be told for sure from apprise's words, and nothing of them themselves: it returns no codes."""
    answered = re.search(r"\berror=([1-5]\d\d)\b", words)
    if answered is not None:
        return f"it was not taken: HTTP {answered.group(1)}"
    if re.search(r"\bconnection error\b", words, re.IGNORECASE):
        return "no connection, or no answer in time"
    return "it was not taken"


if __name__ == "__main__":
    sys.stdout.write(carry(**json.load(sys.stdin)))
