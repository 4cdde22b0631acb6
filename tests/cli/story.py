"""What the stories of the command line share: the command as a process of its own, and what the servers hold.

Rule of this file: it looks and waits; what a story does stands in its test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbsync.lab.daemon import Lab


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
