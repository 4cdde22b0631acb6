"""Log lines: JSON, one event a line, cleaned of secrets as the last thing before they are written.

Rule of this file: how a line is made, for the command line's file and the service's stderr alike; never where it goes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import Processor

    from lbsync.redact import Redactor


def shared_processors() -> list[Processor]:
    """What is added to each event: its context, the logger's name, the level, the time in UTC."""
    import structlog

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def formatter(redactor: Redactor) -> logging.Formatter:
    """Makes a line of whatever structlog, or the standard library's logging, says."""
    import structlog
    from structlog.tracebacks import ExceptionDictTransformer

    class Redacted(structlog.stdlib.ProcessorFormatter):
        """JSON lines, cleaned."""

        def format(self, record: logging.LogRecord) -> str:
            return redactor.clean(super().format(record))

    return Redacted(
        foreign_pre_chain=shared_processors(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Without the values of variables: a password that somebody just typed is known to no redactor.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(default=_plain),
        ],
    )


def through_logging() -> None:
    """Have structlog hand its events to the standard library's logging; ``structlog.reset_defaults`` ends it."""
    import structlog

    structlog.configure(
        processors=[*shared_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _plain(value: object) -> str:
    """Whatever JSON does not know, by its repr: secrets and bundles hide themselves there."""
    return repr(value)
