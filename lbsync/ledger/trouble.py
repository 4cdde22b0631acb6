"""What SQLite says, as errors an administrator can act on.

Rule of this file: it decides by SQLite's result codes, never by the text of a message.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lbsync.errors import LedgerError

_ABOUT: dict[int, tuple[str, str, str]] = {
    sqlite3.SQLITE_FULL: ("full", "there is no room left for the ledger", "free some disk space, then `lbsync resume`"),
    sqlite3.SQLITE_READONLY: (
        "readonly",
        "the ledger cannot be written",
        "run as the user that owns it, or move it to a file system that is not mounted read-only",
    ),
    sqlite3.SQLITE_BUSY: ("busy", "another process keeps the ledger busy", "wait for it to end, then try again"),
    sqlite3.SQLITE_LOCKED: ("busy", "another process keeps the ledger busy", "wait for it to end, then try again"),
    sqlite3.SQLITE_NOTADB: (
        "not-a-ledger",
        "the file is no ledger",
        "name another file, or restore this one from a backup",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "corrupt",
        "the ledger is damaged",
        "keep the file, restore it from a backup; `sqlite3 FILE .recover` saves what can be read",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot-open",
        "the ledger cannot be opened",
        "check that the folder exists and that this user may write to it",
    ),
    sqlite3.SQLITE_IOERR: (
        "io",
        "the disk failed while the ledger was read or written",
        "check the disk, its free space and this user's quota, then `lbsync resume`",
    ),
    sqlite3.SQLITE_PERM: ("denied", "this user may not use the ledger", "run as the user that owns it"),
}
_SAFE = "nothing is done that was not written down first; what was written is intact"
_LOST = "nothing was changed by this command; what was done before cannot be read"


def _primary(error: sqlite3.Error) -> int:
    """SQLite's primary result code; extended codes carry it in their low byte. -1 where there is none."""
    code: object = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else -1


def ledger_error(error: sqlite3.Error, path: Path) -> LedgerError:
    """The LedgerError for what SQLite raised."""
    name: object = getattr(error, "sqlite_errorname", type(error).__name__)
    code, message, remedy = _ABOUT.get(
        _primary(error), ("failed", "the ledger failed", "keep the file and report the result code")
    )
    state = _LOST if code in {"corrupt", "not-a-ledger"} else _SAFE
    return LedgerError(f"{message} ({name})", where=str(path), state=state, remedy=remedy, code=code)


def busy(error: sqlite3.Error) -> bool:
    """True when somebody else holds the lock."""
    return _primary(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@contextmanager
def told_as_ledger_errors(path: Path) -> Generator[None]:
    """Inside, errors of SQLite and of the file system become LedgerError."""
    try:
        yield
    except sqlite3.Error as error:
        raise ledger_error(error, path) from error
    except OSError as error:
        raise LedgerError(
            f"the ledger cannot be used ({os.strerror(error.errno or 0)})",
            where=str(path),
            state="nothing was changed",
            remedy="check that the folder exists and that this user may write to it",
            code="cannot-open",
        ) from error


def create_private(path: Path) -> None:
    """Make the file with mode 0600, its folder with 0700 where missing; tighten a file that others can read.

    An existing file is never opened here: closing it would drop the POSIX locks this process holds on it through SQLite.
    Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
