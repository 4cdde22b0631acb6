"""The run marker, here and over SSH; and waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbsync.errors import Denied, Rejected, Unreachable
from lbsync.kit.host import Host
from lbsync.kit.marker import leave_marker, read_marker, remove_marker
from lbsync.kit.waiting import wait_for


def test_a_marker_is_left_once_and_taken_by_its_own_run_only(host: Host, tmp_path: Path) -> None:
    """Another run is refused, named, and can remove nothing."""
    path = str(tmp_path / "run-marker")
    assert read_marker(host, path) is None
    assert leave_marker(host, path, "mine").details == {"file": path}
    assert "already" in leave_marker(host, path, "mine").summary
    with pytest.raises(Rejected, match="mine") as caught:
        leave_marker(host, path, "theirs")
    assert caught.value.code == "marker"
    assert "kept another" in remove_marker(host, path, "theirs").summary
    assert read_marker(host, path) == "mine"
    assert "removed" in remove_marker(host, path, "mine").summary
    assert "not there" in remove_marker(host, path, "mine").summary
    assert list(tmp_path.iterdir()) == []


def test_waiting_ends_with_the_first_yes() -> None:
    """Silence in between is not yet; the question is asked once even when there is no time."""
    answers = iter([False, None, True])

    def question() -> bool:
        answer = next(answers)
        if answer is None:
            raise Unreachable("nobody there")
        return answer

    assert wait_for(question, 10, every_s=0)
    assert next(answers, "none left") == "none left"
    assert not wait_for(lambda: False, 0)


def test_waiting_does_not_hide_other_errors() -> None:
    """A missing right does not come with time."""

    def question() -> bool:
        raise Denied("no rights")

    with pytest.raises(Denied):
        wait_for(question, 10)
