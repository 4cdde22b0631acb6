"""The files of the repository, as a clone would have them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _names() -> list[str]:
    """What git tracks, and what it would track if it were added; paths below the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    return sorted(set(listing.stdout.decode().split("\0")) - {""})


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def files() -> tuple[Path, ...]:
    """Every file that belongs to the project; skips where this is no clone (an unpacked archive)."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git clone: what belongs to the project is not known")
    return tuple(path for path in (ROOT / name for name in _names()) if path.is_file())


@pytest.fixture(scope="session")
def sources(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Every Python file."""
    return tuple(path for path in files if path.suffix == ".py")
