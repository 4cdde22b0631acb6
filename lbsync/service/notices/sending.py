"""One notice to one address, by apprise.

Rule of this file: an address is full of secrets, and so is what apprise says of it. What is told of a failure is chosen here
from a closed list of words; nothing that apprise logs goes anywhere.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from pydantic import SecretStr

from lbsync.service.notices.texts import Text
from lbsync.watch.items import Level

Sender = Callable[[SecretStr, Text, Level], str]
"""Sends; returns why it failed, in words without a secret, or an empty text."""

TIMEOUT_S: Final = 30.0
_CONNECT_S, _READ_S = 8.0, 12.0
MISSING: Final = "apprise is not installed: pip install 'lbsync[notify]'"
UNREADABLE: Final = "apprise cannot read the address: see its documentation for how that service's is written"
_TYPES: Final = MappingProxyType({Level.OK: "success", Level.WARNING: "warning", Level.CRITICAL: "failure"})


def send(url: SecretStr, text: Text, level: Level) -> str:
    """Send; returns why it failed, without a secret, or an empty text. Takes ``TIMEOUT_S`` seconds and some at most."""
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(_send(url, text, level)), name="lbsync-notice", daemon=True)
    thread.start()
    thread.join(TIMEOUT_S)
    if thread.is_alive():  # it holds nothing but its own connection, and ends with the process
        return f"no answer within {TIMEOUT_S:.0f} s"
    return answers[0] if answers else "apprise failed in a way that it does not tell"


def _send(url: SecretStr, text: Text, level: Level) -> str:
    try:
        import apprise
    except ImportError:
        return MISSING
    heard = _silenced()
    heard.words.clear()
    plugin = apprise.Apprise.instantiate(url.get_secret_value(), suppress_exceptions=True)
    if plugin is None:
        return UNREADABLE
    plugin.socket_connect_timeout, plugin.socket_read_timeout = _CONNECT_S, _READ_S
    sender = apprise.Apprise()
    sender.add(plugin)
    try:
        sent = sender.notify(
            title=text.title,
            body=text.body,
            notify_type=apprise.NotifyType(_TYPES.get(level, "info")),
            body_format=apprise.NotifyFormat.TEXT,
        )
    except Exception as error:  # noqa: BLE001  # any of a hundred plugins; its text may hold the address
        return f"apprise failed: {type(error).__name__}"
    return "" if sent else _why(heard.words)


class _Hearing(logging.Handler):
    """Keeps apprise's own words of this thread's sending in memory, to be judged and thrown away."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._own = threading.local()

    @property
    def words(self) -> list[str]:
        """Of this thread."""
        if not hasattr(self._own, "words"):
            self._own.words = []
        found: list[str] = self._own.words
        return found

    def emit(self, record: logging.LogRecord) -> None:
        self.words.append(record.getMessage())


_LOCK = threading.Lock()


def _silenced() -> _Hearing:
    """Apprise's logger, which names addresses and payloads, ends here, whatever the level of logging is."""
    logger = logging.getLogger("apprise")
    with _LOCK:
        found = next((handler for handler in logger.handlers if isinstance(handler, _Hearing)), None)
        if found is None:
            found = _Hearing()
            logger.addHandler(found)
            logger.propagate = False
            logger.setLevel(logging.WARNING)
            # It would name host and path of every request at DEBUG; a path is where Teams and Slack have their token.
            logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)
        return found


def _why(words: list[str]) -> str:
    """Apprise returns no codes: what can be told for sure from its words, and nothing of them themselves."""
    joined = " ".join(words)
    answered = re.search(r"\berror=([1-5]\d\d)\b", joined)
    if answered is not None:
        return f"it was not taken: HTTP {answered.group(1)}"
    if re.search(r"\bconnection error\b", joined, re.IGNORECASE):
        return "no connection, or no answer in time"
    return "it was not taken"
