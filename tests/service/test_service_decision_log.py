"""The decisions' file: a chain of lines that survives a full disk and a file that was moved away."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lbsync.errors import LbsyncError
from lbsync.service.keeping import Decisions, verify


def test_decisions_are_a_chain(tmp_path: Path) -> None:
    """What a full disk left of a line is taken away; what somebody changed is found."""
    path = tmp_path / "decisions.jsonl"
    Decisions(path).add("anna", "a", "approved", "p1")
    with path.open("ab") as file:
        file.write(b'{"seq": 2, "at": ')
    assert Decisions(path).add("bea", "a", "declined", "p2", "no").seq == 2
    assert verify(path) == 2
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("anna", "mallory"), encoding="utf-8")
    with pytest.raises(LbsyncError, match="decision 1 is not what was written"):
        verify(path)
    for end in ("{}\n", "\n"):  # a chain is begun anew in an empty file only
        path.write_text(text + end, encoding="utf-8")
        with pytest.raises(LbsyncError, match="the last decision"):
            Decisions(path).add("anna", "a", "approved", "p3")


def test_decisions_go_on_where_their_file_was_moved_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the service runs, as logrotate does: old and new are whole chains; and no decision costs a look at all before it."""
    path, old = tmp_path / "decisions.jsonl", tmp_path / "decisions.jsonl.1"
    log = Decisions(path)

    def whole(_: Path) -> bytes:
        pytest.fail("all of it was read")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", whole)
        for number in range(3):
            log.add("anna", "a", "declined", f"p{number}", "why " * 2000)  # longer than what is read at once
        path.rename(old)
        for number in range(2):
            assert log.add("anna", "a", "approved", f"q{number}").seq == number + 1
        assert Decisions(old).add("bea", "a", "approved", "p3").seq == 4
    assert (verify(old), verify(path)) == (4, 2)
    path.write_bytes(b"")  # copied and emptied in place
    log.add("anna", "a", "approved", "r")
    assert verify(path) == 1


def test_what_was_not_decided_does_not_stand_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes the line and then says no: the next decision follows the one before."""
    path = tmp_path / "decisions.jsonl"
    log = Decisions(path)
    log.add("anna", "a", "approved", "p1")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(LbsyncError, match="cannot be written down"):
            log.add("anna", "a", "approved", "p2")
    assert log.add("bea", "a", "approved", "p3").seq == 2
    assert verify(path) == 2
