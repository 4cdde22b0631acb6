"""The page for administrators names what is there."""

from __future__ import annotations

import re
from pathlib import Path

from lbsync.kit.host import SshSettings
from lbsync_haproxy import HaproxySettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "haproxy.md"


def test_the_page_names_every_setting_and_no_other() -> None:
    """The table of settings, and those of ssh."""
    table = PAGE.read_text(encoding="utf-8").split("## Settings")[1].split("Over SSH")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row[1])}
    assert named == set(HaproxySettings.model_fields)
    (ssh,) = [row[2] for row in rows if "`ssh`" in row[1]]
    assert set(re.findall(r"`([a-z_]+)`", ssh)) == set(SshSettings.model_fields)
