"""f5-sdk logs each request with its body at DEBUG, keys and all: what it says never leaves this process.

Rule of this room: a filter, not a level, since whoever debugs lbsync sets levels.
"""

from __future__ import annotations

import logging

_TALKATIVE = ("icontrol.session", "icontrol", "f5", "f5.bigip", "f5.bigip.tm.ltm.policy")
_PATHS = "urllib3.connectionpool"
_TOKENS = "/authz/tokens/"


class _Below(logging.Filter):
    """Lets warnings and errors through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        return record.levelno >= logging.WARNING


class _Tokens(logging.Filter):
    """Keeps back what names a token: it is part of the path by which it is given back, and lives on where that fails."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        return _TOKENS not in record.getMessage()


_FILTER = _Below()
_TOKEN_FILTER = _Tokens()


def silence() -> None:
    """Have the SDK's loggers keep quiet; twice is once. Its upload, which logs on the root logger, is not used."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_FILTER)
    logging.getLogger(_PATHS).addFilter(_TOKEN_FILTER)
