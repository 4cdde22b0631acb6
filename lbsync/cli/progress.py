"""A run as it happens: redrawn lines on a terminal, plain lines anywhere else.

Rule of this file: it is told by threads at work and only shows; it never asks a target, and a fault here must not tear a step
(the engine sees to that). Times are this host's clock.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lbsync.cli.runview import step_line
from lbsync.engine import Asked, Notice, Recorded, Retrying, WaitingForConfirmation
from lbsync.model import Step, StepId
from lbsync.run import (
    Awaiting,
    Direction,
    Failed,
    Finished,
    Held,
    Intended,
    Interrupted,
    Run,
    Shown,
    TurnedBack,
)

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live
    from rich.progress import Progress as Bar
    from rich.text import Text

    from lbsync.cli.screen import Screen

_TO_UNDO: tuple[Shown, ...] = ("done", "undoing", "failed")
_SAY_EVERY_S = 10.0
"""How often a line in a file or a pipe says that something is under way still; quick steps are told once they are done."""


class Progress:
    """An observer of the engine, and a context manager."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._begun: dict[StepId, float] = {}
        self._waiting: dict[StepId, str] = {}
        self._said: dict[StepId, float] = {}
        self._run: Run | None = None
        self._left_s: float | None = None
        self._live: Live | None = None
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if self._screen.live:
            from rich.live import Live

            self._live = Live(
                get_renderable=self.picture, console=self._screen.out, refresh_per_second=8, transient=True
            )
            self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, at)
            self._live = None

    def __call__(self, notice: Notice) -> None:
        """Show one thing that happened."""
        match notice:
            case Recorded(run=run):
                self._run = run
                self._recorded(notice)
            case Asked(step=step, result=result, waited_s=waited_s):
                self._still(step, f"{result.detail} ({waited_s:.0f} s)")
            case Retrying(step=step, target=target, reason=reason, in_s=in_s):
                self._still(step, f"{target}: {reason}; again in {in_s:.0f} s")
            case WaitingForConfirmation(run=run, left_s=left_s):
                self._run, self._left_s = run, left_s

    def _recorded(self, notice: Recorded) -> None:
        run, event = notice.run, notice.event
        match event:
            case Intended(step=step):
                self._begun[step] = self._said[step] = time.monotonic()
            case Finished(step=step, direction=direction):
                took = time.monotonic() - self._begun.pop(step, time.monotonic())
                self._waiting.pop(step, None)
                self._line(run.step(step), "done" if direction is Direction.DO else "undone", f" ({took:.1f} s)")
            case Failed(step=step):
                self._begun.pop(step, None)
                self._line(run.step(step), "failed", f": {event.reason}")
            case Held(step=step):
                self._begun.pop(step, None)
                self._line(run.step(step), "failed", ": somebody else changed it since")
            case TurnedBack(reason=reason):
                self._say(f"Going back: {reason}")
            case Awaiting(deadline=deadline):
                self._say(
                    f"Applied. It goes back by itself at {deadline.astimezone():%H:%M:%S} unless you say, in another "
                    f"terminal: lbsync confirm {run.run_id}"
                )
            case Interrupted():
                self._say("Stopped between two steps.")
            case _:
                pass

    def _still(self, step: StepId, words: str) -> None:
        self._waiting[step] = words
        now = time.monotonic()
        if self._live is None and self._run is not None and now - self._said.get(step, 0.0) > _SAY_EVERY_S:
            self._said[step] = now
            self._line(self._run.step(step), "checking", f": {words}")

    def _line(self, step: Step, look: Shown, more: str) -> None:
        if self._screen.as_json or self._screen.quiet:
            return
        from rich.text import Text

        line = step_line(look, step.target, step.summary)
        self._screen.out.print(Text.assemble(line, (more, "dim")), soft_wrap=not self._screen.out.is_terminal)

    def _say(self, words: str) -> None:
        self._screen.result(words)

    def picture(self) -> Group:
        """What is under way, and how far all of it is."""
        from rich.console import Group
        from rich.spinner import Spinner

        run = self._run
        if run is None:
            return Group()
        bar = self._bar = self._bar or _new_bar()
        looks = run.progress().counts
        back = bool(run.turned_back)
        undone = looks.get("undone", 0)
        bar.update(
            bar.task_ids[0],
            completed=undone if back else looks.get("done", 0),
            total=undone + sum(looks.get(look, 0) for look in _TO_UNDO) if back else len(run.plan.steps),
            aside=f"{self._left_s:.0f} s left to confirm" if self._left_s is not None else "",
            description="Going back" if back else "Applying",
        )
        lines = [self._under_way(run.step(step)) for step in list(self._begun)]
        return Group(*(Spinner("dots", text=line, style="cyan") for line in lines), bar)

    def _under_way(self, step: Step) -> Text:
        from rich.text import Text

        took = time.monotonic() - self._begun.get(step.id, time.monotonic())
        words = self._waiting.get(step.id, "")
        back = self._run is not None and bool(self._run.turned_back)
        parts = (
            (f"{step.target:<10}", "dim"),
            " ",
            "undo: " if back else "",
            step.summary,
            (f"  {took:.0f} s  {words}", "dim"),
        )
        return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _new_bar() -> Bar:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    words, aside = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[aside]}", markup=False)
    bar = Progress(words, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), aside)
    bar.add_task("", total=None, aside="")
    return bar
