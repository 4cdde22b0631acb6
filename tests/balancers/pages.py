"""A provider's page for administrators, as far as a test can hold it to the code.

Rule of this file: it reads the table of settings, which every such page has.
"""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def settings_named(page: str) -> tuple[set[str], set[str]]:
    """The keys that the table of settings names, and those it names of ``ssh``."""
    table = (DOCS / page).read_text(encoding="utf-8").split("## Settings")[1].split("Over SSH")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row[1])}
    ssh = [row[2] for row in rows if "`ssh`" in row[1]]
    return named, {name for text in ssh for name in re.findall(r"`([a-z_]+)`", text)}
