"""The details log: what the rooms below say of their work, as JSON lines in a private file.

Rule of this file: mode 0600, redacted before it is written, never on the terminal. It is for the one who looks into a
failure later; what an operator needs to know is printed by the commands themselves.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lbsync.loglines import formatter, through_logging

if TYPE_CHECKING:
    from lbsync.redact import Redactor

LOG_NAME = "lbsync.log"
_KEPT_BYTES = 10_000_000
"""A log that has grown larger is put aside once, as lbsync.log.1."""


@contextmanager
def details(folder: Path, redactor: Redactor) -> Generator[Path]:
    """Inside, structlog and the standard library's logging go to the details log of ``folder``; yields its path.

    Raises OSError.
    """
    import structlog

    path = private_log(folder)
    with path.open("a", encoding="utf-8") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(formatter(redactor))
        through_logging()
        root, ours = logging.getLogger(), logging.getLogger("lbsync")
        before = ours.level
        root.addHandler(handler)
        ours.setLevel(logging.INFO)
        try:
            yield path
        finally:
            ours.setLevel(before)
            root.removeHandler(handler)
            structlog.reset_defaults()


def private_log(folder: Path) -> Path:
    """The log file of ``folder``, made for its owner alone and put aside when it has grown large. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / LOG_NAME
    if path.exists() and path.stat().st_size > _KEPT_BYTES:
        path.replace(path.with_name(f"{LOG_NAME}.1"))
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    path.chmod(0o600)
    return path


def keep_traceback(folder: Path, redactor: Redactor, text: str) -> Path | None:
    """Write a traceback into the log of ``folder``; the file, or ``None`` where even that fails."""
    try:
        path = private_log(folder)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC).isoformat()} unexpected error\n{redactor.clean(text)}\n")
    except OSError:
        return None
    return path
