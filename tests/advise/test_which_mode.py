"""The page "Which mode?" is the catalogue."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_made_from_the_rules() -> None:
    """Whatever a rule says stands there, and nothing else; every rule is in one of its tables."""
    sys.path.insert(0, str(ROOT))
    try:
        from tools.which_mode import page
    finally:
        sys.path.remove(str(ROOT))
    from lbsync.advise.catalogue import CATALOGUE

    made = page()
    assert (ROOT / "docs" / "which-mode.md").read_text(encoding="utf-8") == made
    assert all(made.count(f"| `{rule}` |") == 1 for rule in CATALOGUE)
