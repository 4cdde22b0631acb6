"""What the stories of the command line share: the command as a process of its own, and what the servers hold.

Rule of this file: it looks and waits; what a story does stands in its test, but for what happens alike before every balancer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.lab.daemon import Lab

Lbsync = Callable[..., Any]


def own_values(lab: Lab) -> dict[str, tuple[dict[str, str | None], bool]]:
    """What the servers hold: Require SSL by location, Outlook Anywhere."""
    directory = lab.farm.state.directory
    return {
        name: (dict(server.state.iis.own_values()), directory.outlook_anywhere[name].ssl_offloading)
        for name, server in lab.farm.servers.items()
    }


def spawn(lab: Lab, state: Path, *words: str) -> subprocess.Popen[str]:
    """The real command in a process of its own."""
    environ = dict(os.environ) | {"LBSYNC_CONFIG": str(lab.config), "LBSYNC_STATE": str(state), "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "lbsync", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ,
    )  # fmt: skip


def read_until(process: subprocess.Popen[str], words: str) -> list[str]:
    """Its lines up to the first one with these words; fails when it ends without."""
    seen: list[str] = []
    stream = process.stdout
    assert stream is not None
    for line in stream:
        seen.append(line)
        if words in line:
            return seen
    pytest.fail(f"{words!r} never came: {''.join(seen)}")


def rewrite(lab: Lab, old: str, new: str) -> None:
    """Change the configuration of lbsync."""
    text = lab.config.read_text(encoding="utf-8")
    assert old in text
    lab.config.write_text(text.replace(old, new), encoding="utf-8")


def apply_twice_at_once(lab: Lab, lbsync: Lbsync, folder: Path) -> None:
    """The second is refused, by the lock on this host and by the marker from any other; the first is applied, and taken back."""
    first = spawn(lab, folder / "state", "apply", "--yes", "--no-canary", "--confirm-within", "5m")
    try:
        read_until(first, "leave the run marker")
        told = lbsync("apply", "--yes", "--no-canary")
        assert told.code == ExitCode.ERROR
        assert "another run is under way" in told.err
        told = lbsync("apply", "--yes", "--no-canary", "--state", folder / "elsewhere")
        assert told.code == ExitCode.REFUSED
        assert "A run is at work here or was left unfinished" in told.err
        read_until(first, "lbsync confirm")
        assert lbsync("confirm").code == ExitCode.OK
        rest = first.communicate(timeout=60)[0]
        assert first.returncode == ExitCode.OK, rest
    finally:
        first.kill()
        first.communicate()
    assert lbsync("plan").code == ExitCode.OK
    assert lbsync("rollback", "--no-canary").code == ExitCode.OK


def kill_and_carry_on(lab: Lab, lbsync: Lbsync, folder: Path, words: str) -> None:
    """An apply dies as it says these words: nothing else may begin, resume does the rest, and it is taken back."""
    process = spawn(lab, folder / "state", "apply", "--yes", "--no-canary")
    try:
        read_until(process, words)
    finally:
        process.kill()
        process.communicate()
    assert lbsync("apply", "--yes").code == ExitCode.REFUSED
    resumed = lbsync("resume")
    assert resumed.code == ExitCode.OK, resumed.err
    assert lbsync("plan").code == ExitCode.OK
    assert lbsync("verify").code == ExitCode.OK
    assert lbsync("rollback", "--no-canary").code == ExitCode.OK
