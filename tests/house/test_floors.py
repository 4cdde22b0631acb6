"""The judge of coverage: a gap on floors 0 to 2 is found, one elsewhere is not."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def floors(root: Path) -> ModuleType:
    """tools/floors.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("floors", root / "tools" / "floors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _report(tmp_path: Path, **files: tuple[list[int], list[list[int]]]) -> str:
    path = tmp_path / "coverage.json"
    reports = {
        name.replace("__", "/") + ".py": {"missing_lines": lines, "missing_branches": branches}
        for name, (lines, branches) in files.items()
    }
    path.write_text(json.dumps({"files": reports, "totals": {"percent_covered": 99.5}}), encoding="utf-8")
    return str(path)


def test_full_floors_pass(floors: ModuleType, tmp_path: Path) -> None:
    """A gap in a room with effects is no failure."""
    assert floors.main([_report(tmp_path, lbsync__model=([], []), lbsync__probe=([4], [[3, 4]]))]) == 0


def test_an_untaken_branch_fails(floors: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One branch never taken in a decision fails, and is named."""
    assert floors.main([_report(tmp_path, lbsync__model=([], [[7, 9]]))]) == 1
    assert "lbsync/model.py" in capsys.readouterr().out


def test_an_unread_line_fails(floors: ModuleType, tmp_path: Path) -> None:
    """A line never run in the certificates' room fails."""
    assert floors.main([_report(tmp_path, certs__lbsync_certs__pfx=([12], []))]) == 1


def test_measuring_nothing_fails(floors: ModuleType, tmp_path: Path) -> None:
    """A report without a single held file is a mistake, not a success."""
    assert floors.main([_report(tmp_path, lbsync__probe=([], []))]) == 1


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("lbsync/model.py", True),
        ("lbsync/advise/server.py", True),
        ("lbsync/engine/driver.py", False),
        ("lbsync/ledger.py", False),
        ("certs/lbsync_certs/pfx.py", True),
        ("providers/lbsync_haproxy/wire.py", False),
        ("lbsync/some_new_room.py", True),
    ],
)
def test_decisions_are_held_and_effects_are_not(floors: ModuleType, path: str, held: bool) -> None:
    """A file is judged unless its room is known to touch the world, so a new room is judged from its first day."""
    assert floors.is_held(path) is held


def test_every_room_with_effects_exists(floors: ModuleType, root: Path) -> None:
    """No name is excused for a room that is not there; the service comes later."""
    rooms = {path.stem for path in (root / "lbsync").iterdir()}
    assert floors.EFFECTS - {"service"} <= rooms
