"""The wheel: the packages under their own names, their scripts and templates, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_SHIPPED = ("lbsync/", "certs/lbsync_certs/", "providers/lbsync_")


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The names in a wheel just built from this tree."""
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=root, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = target.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return frozenset(archive.namelist())


def test_top_level_names_are_ours(wheel: frozenset[str]) -> None:
    """Nothing generic (tests, providers, tools) lands in site-packages."""
    tops = {name.split("/")[0] for name in wheel}
    ours = {"lbsync", "lbsync_certs", "lbsync_f5", "lbsync_haproxy", "lbsync_nginx"}
    assert {top for top in tops if not top.endswith(".dist-info")} == ours


def test_everything_shipped_is_inside(wheel: frozenset[str], files: tuple[Path, ...], root: Path) -> None:
    """Every file below the packages, the PowerShell scripts and the report's template included, is in the wheel."""
    names = [path.relative_to(root).as_posix() for path in files]
    wanted = {name.removeprefix("certs/").removeprefix("providers/") for name in names if name.startswith(_SHIPPED)}
    assert any(name.endswith(".ps1") for name in wanted)
    assert not wanted - wheel


def test_licence_is_inside(wheel: frozenset[str]) -> None:
    """The licence travels with the package."""
    assert any(name.endswith("/licenses/LICENSE") for name in wheel)
