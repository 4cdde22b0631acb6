"""The pages for administrators name what is there."""

from __future__ import annotations

import sys
from pathlib import Path

from lbsync_f5 import F5Settings
from tests.balancers.pages import DOCS, settings_named

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_names_every_setting_and_no_other() -> None:
    """The table of settings; there is no host to reach over SSH."""
    assert settings_named("bigip.md") == (set(F5Settings.model_fields), set())


def test_the_assumptions_page_is_the_list() -> None:
    """What the simulation assumes is shown whole, and nothing else."""
    sys.path.insert(0, str(ROOT))
    try:
        from tools.assumptions import page
    finally:
        sys.path.remove(str(ROOT))
    assert (DOCS / "bigip-assumptions.md").read_text(encoding="utf-8") == page()
