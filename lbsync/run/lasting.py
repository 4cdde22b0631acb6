"""What a run leaves for good: steps that removed something and have no way back.

Rule of this file: pure. Whoever says that a run was taken back asks here what of it stays nevertheless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbsync.model import Step

if TYPE_CHECKING:
    from lbsync.run.fold import Run


def lasting(step: Step) -> bool:
    """True for a step that removes something for good."""
    return step.sign == "-" and step.do is not None and step.undo is None


def removed_for_good(run: Run) -> tuple[Step, ...]:
    """The steps of a run that removed something for good, or may have (the process died in them), in plan order."""
    return tuple(step for step in run.plan.steps if lasting(step) and run.statuses[step.id].touched)
