"""A foreign change as it is told: what differs, and nothing else."""

from __future__ import annotations

from lbsync.engine import changed
from lbsync.model import StepId
from lbsync.run import Held


def test_only_what_somebody_changed_is_told() -> None:
    """One value of many, in a table of a table too; a name that came or went counts."""
    held = Held(
        step=StepId("a"),
        before={"files": {"a.cfg": None, "b.map": None}, "loaded": None},
        left={"files": {"a.cfg": "1", "b.map": "2"}, "loaded": "x"},
        now={"files": {"a.cfg": "9", "b.map": "2"}, "loaded": "x", "more": [1]},
    )
    assert changed(held) == (
        'files/a.cfg: before null, lbsync left "1", now "9"',
        "more: before none, lbsync left none, now [1]",
    )
