"""What every test may ask for: the shared data, and a word on what this machine lacks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lbsync.testing.nginx import nginx_ready

pytest.register_assert_rewrite("lbsync.testing.contract")

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LBSYNC_SHARED", ROOT.parent / "shared"))

_PRESENT: dict[str, Callable[[], bool]] = {
    "data": (SHARED / "data" / "exchange").is_dir,
    "chromium": lambda: shutil.which("chromium") is not None,
    "haproxy": lambda: shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin") is not None,
    "nginx": nginx_ready,
    "sshd": lambda: Path("/usr/sbin/sshd").exists(),
    "pwsh": lambda: shutil.which("pwsh") is not None,
}


_LONG = ("tests/rollout/", "tests/cli/test_cli_rehearsal", "tests/cli/test_cli_story")
"""Whole rehearsals, a minute and more."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every worker begin with its share of what takes long, so that none is left alone with it at the end.

    xdist gives each worker an equal part of the list, and those that are done take over from the others.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.nodeid.startswith(_LONG)]
    short = [item for item in items if not item.nodeid.startswith(_LONG)]
    items[:] = [item for worker in range(workers) for part in (long, short) for item in _share(part, worker, workers)]


def _share(items: list[pytest.Item], worker: int, workers: int) -> list[pytest.Item]:
    """Neighbours stay together: what a module made is used again."""
    return items[len(items) * worker // workers : len(items) * (worker + 1) // workers]


@pytest.fixture
def require() -> Callable[[str], None]:
    """Skip, saying what is missing; fail instead where LBSYNC_REQUIRE lists it, as CI does."""

    def ask(what: str) -> None:
        if _PRESENT[what]():
            return
        if what in os.environ.get("LBSYNC_REQUIRE", "").split(","):
            pytest.fail(f"{what} is required here (LBSYNC_REQUIRE) and missing")
        pytest.skip(f"{what} is not on this machine")

    return ask


@pytest.fixture
def exchange_data(require: Callable[[str], None]) -> Path:
    """The folder of output captured from real Exchange servers."""
    require("data")
    return SHARED / "data" / "exchange" / "css-exchange"
