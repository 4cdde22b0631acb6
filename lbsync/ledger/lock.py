"""One run at a time: a lock that a killed process lets go of, and a note of who holds it.

Rule of this file: the lock is SQLite's ``BEGIN EXCLUSIVE`` on a database of its own (a lock of the operating system, gone
with the process); the note beside it only tells people, and is believed only while the lock is held.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync.errors import LedgerError
from lbsync.ledger.trouble import busy, create_private, ledger_error, told_as_ledger_errors

_GRACE_S = 0.2
"""``holder`` tries the lock for an instant; a run that starts just then waits it out."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process at work: its id, its host, and the run it works on."""

    pid: int
    host: str
    run_id: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, run {self.run_id}"


class RunLock:
    """The lock that goes with a ledger. A context manager; entering raises LedgerError when another process holds it."""

    def __init__(self, ledger: Path, run_id: str) -> None:
        self._path = ledger.with_name(ledger.name + ".lock")
        self._note = _note_of(ledger)
        self._run_id = run_id
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with told_as_ledger_errors(self._path):
            create_private(self._path)
            db = sqlite3.connect(self._path, timeout=_GRACE_S, isolation_level=None, check_same_thread=False)
        self._held.callback(db.close)
        try:
            db.execute("BEGIN EXCLUSIVE")
            with told_as_ledger_errors(self._note):
                self._write_note()
        except sqlite3.Error as error:
            self._held.close()
            if busy(error):
                raise self._taken() from error
            raise ledger_error(error, self._path) from error
        except BaseException:
            self._held.close()
            raise
        self._held.callback(self._forget_note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.close()

    def _forget_note(self) -> None:
        with suppress(OSError):
            self._note.unlink(missing_ok=True)

    def _write_note(self) -> None:
        temporary = self._note.with_name(f".{self._note.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(asdict(Holder(os.getpid(), socket.gethostname(), self._run_id)), file)
        temporary.replace(self._note)

    def _taken(self) -> LedgerError:
        return under_way(self._path, _read_note(self._note))


def under_way(where: Path, at_work: Holder | None) -> LedgerError:
    """Why nothing may be done now: another process is at it. ``where`` is the ledger or its lock."""
    return LedgerError(
        "another run is under way" + (f" ({at_work})" if at_work else ""),
        where=str(where),
        state="nothing was changed by this command",
        remedy="wait for it to end, or stop it with Ctrl-C where it runs",
        code="run-locked",
    )


def holder(ledger: Path) -> Holder | None:
    """Who works on this ledger now; ``None`` when nobody does. Reads only, apart from trying the lock for an instant."""
    path = ledger.with_name(ledger.name + ".lock")
    if not path.exists():
        return None
    with told_as_ledger_errors(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        if busy(error):
            return _read_note(_note_of(ledger)) or Holder(0, "?", "?")
        raise ledger_error(error, path) from error
    finally:
        db.close()
    return None


def _note_of(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + ".holder")


def _read_note(path: Path) -> Holder | None:
    with suppress(OSError, ValueError, TypeError):
        return Holder(**json.loads(path.read_text()))
    return None
