"""What every test may ask for: the shared data, and a word on what this machine lacks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lbsync.testing.nginx import nginx_ready

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LBSYNC_SHARED", ROOT.parent / "shared"))

_PRESENT: dict[str, Callable[[], bool]] = {
    "data": (SHARED / "data" / "exchange").is_dir,
    "haproxy": lambda: shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin") is not None,
    "nginx": nginx_ready,
    "sshd": lambda: Path("/usr/sbin/sshd").exists(),
    "pwsh": lambda: shutil.which("pwsh") is not None,
}


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
