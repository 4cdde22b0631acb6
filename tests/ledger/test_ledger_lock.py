"""One run at a time: the lock tells who holds it, and a killed process lets go of it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lbsync.errors import LedgerError
from lbsync.ledger import Ledger, RunLock, holder

HOLDING = """
import sys
from pathlib import Path
from lbsync.ledger import RunLock
with RunLock(Path(sys.argv[1]), "r1"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding(ledger: Path) -> Generator[subprocess.Popen[str]]:
    """Another process that holds the lock until its input ends."""
    argv = [sys.executable, "-c", HOLDING, str(ledger)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_lock_keeps_others_out_and_says_who_holds_it(tmp_path: Path) -> None:
    """A second process is refused with the first one's id, host and run; once that ends, it may."""
    path = tmp_path / "l.db"
    assert holder(path) is None
    with holding(path) as process:
        with pytest.raises(LedgerError, match=rf"process {process.pid} on .*, run r1") as refused, RunLock(path, "r2"):
            pass
        assert refused.value.code == "run-locked"
        found = holder(path)
        assert found is not None
        assert (found.pid, found.run_id) == (process.pid, "r1")
        process.communicate()
    assert holder(path) is None
    with RunLock(path, "r2"):
        pass


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    """After SIGKILL the lock is free at once, and the note it left behind is not believed."""
    path = tmp_path / "l.db"
    with holding(path) as process:
        process.kill()
        process.wait()
        assert (tmp_path / "l.db.holder").exists()
        assert holder(path) is None
        with RunLock(path, "r2"):
            found = holder(path)
            assert found is not None
            assert (found.pid, found.run_id) == (os.getpid(), "r2")


def test_the_ledger_can_be_used_while_the_lock_is_held(tmp_path: Path) -> None:
    """Opening, reading and asking for the holder in the same process does not let go of its lock."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger, ledger.lock("r1"):
        with Ledger(path) as other:
            assert other.runs() == ()
        assert holder(path) is not None
        with pytest.raises(LedgerError, match="another run"), RunLock(path, "r2"):
            pass
        code = (
            "import sys; from pathlib import Path; from lbsync.ledger import holder; print(holder(Path(sys.argv[1])))"
        )
        seen = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        ).stdout
        assert f"process {os.getpid()}" in seen


@pytest.mark.parametrize("note", ["", "{}", "not json", '{"pid": 1}'])
def test_a_torn_note_is_no_trouble(tmp_path: Path, note: str) -> None:
    """The lock counts, not the note: an unreadable note makes an unnamed holder."""
    path = tmp_path / "l.db"
    with holding(path) as process:
        (tmp_path / "l.db.holder").write_text(note)
        found = holder(path)
        assert found is not None
        assert found.pid == 0
        with pytest.raises(LedgerError) as refused, RunLock(path, "r2"):
            pass
        assert refused.value.message == "another run is under way"
        process.communicate()


def test_the_lock_is_private_and_cleans_up(tmp_path: Path) -> None:
    """Lock and note can be read by their owner only; no note stays behind."""
    path = tmp_path / "l.db"
    old = os.umask(0)
    try:
        with RunLock(path, "r1"):
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("l.db.*")}
    finally:
        os.umask(old)
    assert modes["l.db.lock"] == modes["l.db.holder"] == 0o600
    assert not (tmp_path / "l.db.holder").exists()


def test_a_lock_file_that_is_no_database(tmp_path: Path) -> None:
    """Something else under the lock's name is told, not taken for a held lock."""
    path = tmp_path / "l.db"
    (tmp_path / "l.db.lock").write_text("something else, long enough to be looked at as a database " * 30)
    with pytest.raises(LedgerError, match="no ledger") as found, RunLock(path, "r1"):
        pass
    assert found.value.code == "not-a-ledger"
    with pytest.raises(LedgerError, match="no ledger"):
        holder(path)


def test_a_note_that_cannot_be_written_keeps_no_lock(tmp_path: Path) -> None:
    """Where the note fails, entering fails, and the lock is free again."""
    path = tmp_path / "l.db"
    (tmp_path / "l.db.holder").mkdir()
    with pytest.raises(LedgerError, match="cannot be used"), RunLock(path, "r1"):
        pass
    assert holder(path) is None
    (tmp_path / "l.db.holder").rmdir()
    with RunLock(path, "r1"):
        pass
