"""What is assumed is listed, once."""

from __future__ import annotations

import re
from pathlib import Path

import lbsync.lab.bigip
from lbsync.lab.bigip.assumptions import ASSUMPTIONS, CONTROL

_ROOM = Path(lbsync.lab.bigip.__file__).parent


def test_listed_once() -> None:
    """Every assumption has a name of its own and a sentence."""
    names = [one.id for one in ASSUMPTIONS]
    assert len(names) == len(set(names))
    assert all(one.text.endswith(".") for one in ASSUMPTIONS)


def test_code_names_what_is_listed() -> None:
    """What the code of the control plane calls an assumption stands in the list."""
    listed = {one.id for one in CONTROL}
    for file in _ROOM.glob("*.py"):
        found = set(re.findall(r"[Aa]ssumption ``([a-z0-9-]+)``", file.read_text(encoding="utf-8")))
        assert found <= listed, file.name
