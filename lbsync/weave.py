"""Lay steps into a graph in the order they must happen.

Rule of this room: it links steps and knows nothing of what they do.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.model import Step, StepId


class Weave:
    """A graph under construction; ``steps`` is in topological order, since a step may only follow earlier ones."""

    def __init__(self) -> None:
        self._steps: dict[StepId, Step] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps so far."""
        return tuple(self._steps.values())

    def add(self, steps: Iterable[Step], *, after: tuple[StepId, ...]) -> tuple[StepId, ...]:
        """Add what one target lowered; its first steps follow ``after``.

        Returns the ids that the next phase must follow: the steps of this group that no other of it follows, or ``after``
        itself where the group is empty. Raises ValueError for an id that stands already, or a link to an unknown step:
        both are a target's bug.
        """
        group = tuple(steps)
        for step in group:
            if step.id in self._steps:
                raise ValueError(f"step {step.id} stands twice in the plan")
            unknown = [before for before in step.after if before not in self._steps]
            if unknown:
                raise ValueError(f"step {step.id} follows unknown steps {unknown}")
            placed = step if step.after else step.model_copy(update={"after": after})
            self._steps[step.id] = placed
        followed = {before for step in group for before in step.after}
        return tuple(step.id for step in group if step.id not in followed) or after
