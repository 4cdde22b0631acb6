"""What the disk, other programs and other users do to a ledger is told with a remedy, and does no harm."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from lbsync.errors import LedgerError
from lbsync.ledger import Ledger
from lbsync.ledger.trouble import ledger_error
from lbsync.testing.history import intended, started, whole_run


def written(path: Path) -> Path:
    """A ledger file with one whole run."""
    with Ledger(path) as ledger:
        for event in whole_run("r1"):
            ledger.append("r1", event)
    return path


def test_a_full_disk_is_told_and_harmless(tmp_path: Path) -> None:
    """When the file cannot grow, the append fails with what to do; nothing of it is kept; later it works again."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.append("r1", started("r1"))
        db = ledger._db  # pyright: ignore[reportPrivateUsage]  # SQLite's limit holds for one connection only
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(LedgerError, match="no room left") as full:
            ledger.append("r1", intended(x="x" * 100_000))
        assert full.value.code == "full"
        assert "free some disk space" in full.value.remedy
        db.execute("PRAGMA max_page_count = 1000000")
        ledger.append("r1", intended(x="small"))
        assert ledger.verify_chain().events == 2


LIMITED = """
import resource, sys
from pathlib import Path
from lbsync.errors import LedgerError
from lbsync.ledger import Ledger
from lbsync.testing.history import intended, started
ledger = Ledger(Path(sys.argv[1]))
ledger.append("r1", started("r1"))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    ledger.append("r1", intended(x="x" * 1_000_000))
except LedgerError as error:
    print(error.code)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.append("r1", intended(x="small"))
print(ledger.verify_chain().events)
"""


def test_a_quota_is_told_and_harmless(tmp_path: Path) -> None:
    """A write the operating system refuses half-way is a LedgerError; the same connection goes on once it may."""
    argv = [sys.executable, "-c", LIMITED, str(tmp_path / "l.db")]
    answer = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert answer[0] in {"io", "full"}
    assert answer[1] == "2"


def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    """Text, and the database of another program, are refused and left as they are."""
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be looked at " * 50)
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger(text)
    assert text.read_text().startswith("not a database")
    other = tmp_path / "other.db"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE customers (name)")
    db.commit()
    db.close()
    before = other.read_bytes()
    with pytest.raises(LedgerError, match="a database, but no ledger"):
        Ledger(other)
    assert other.read_bytes() == before


def test_a_newer_ledger_is_left_alone(tmp_path: Path) -> None:
    """A file written by a later version says so."""
    path = written(tmp_path / "l.db")
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerError, match="newer lbsync"):
        Ledger(path)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    """Pages overwritten with noise are a damaged ledger with a remedy, not a traceback."""
    path = written(tmp_path / "l.db")
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(bytes(content))
    with pytest.raises(LedgerError) as found, Ledger(path) as ledger:
        ledger.verify_chain()
    assert found.value.code == "corrupt"
    assert "backup" in found.value.remedy
    assert "intact" not in found.value.state


def test_a_locked_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that keeps the file locked is named as the cause."""
    monkeypatch.setattr("lbsync.ledger.store.BUSY_TIMEOUT_S", 0.05)
    with Ledger(written(tmp_path / "l.db")) as ledger:
        db = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="keeps the ledger busy") as found:
            ledger.append("r2", started("r2"))
        db.close()
        assert found.value.code == "busy"
        ledger.append("r2", started("r2"))


READING_AS_NOBODY = """
import os, sys
from pathlib import Path
from lbsync.errors import LedgerError
from lbsync.ledger import Ledger
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    Ledger(Path(sys.argv[1]))
except LedgerError as error:
    print(error.code)
"""


def test_somebody_elses_ledger() -> None:
    """A user who may not write the file is told so."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = written(Path(name) / "l.db")
        path.chmod(0o400)
        path.parent.chmod(0o555)
        argv = [sys.executable, "-c", READING_AS_NOBODY, str(path)]
        answer = subprocess.run(argv, capture_output=True, text=True, check=False)
        path.parent.chmod(0o700)
    assert answer.stdout.strip() in {"cannot-open", "readonly"}, answer.stderr


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A path below a file is told as such, with its remedy."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(LedgerError, match="cannot be used") as found:
        Ledger(tmp_path / "file" / "l.db")
    assert "folder" in found.value.remedy


def test_a_file_system_without_wal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite cannot keep a WAL (network file systems), the ledger says that it needs a local disk."""

    def without_shared_memory(path: Path, **options: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(f"file:{path}?vfs=unix-dotfile", uri=True, **options)
        return db

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", without_shared_memory)
    with pytest.raises(LedgerError, match="file system"):
        Ledger(tmp_path / "l.db")


def test_an_error_without_a_code_is_told_too(tmp_path: Path) -> None:
    """What SQLite's bindings raise by themselves has no result code; it still becomes a LedgerError."""
    error = ledger_error(sqlite3.ProgrammingError("closed"), tmp_path)
    assert (error.code, "ProgrammingError" in error.message) == ("failed", True)
    ledger = Ledger(tmp_path / "l.db")
    ledger.close()
    with pytest.raises(LedgerError, match="the ledger failed"):
        ledger.runs()
