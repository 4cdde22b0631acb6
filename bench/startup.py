"""What starting costs: CPU of the commands that do next to nothing."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.measure import median, run

_GOALS = {"--help": 200, "--version": 200, "runs": 300}


def report(*, quick: bool) -> None:
    """Print the CPU milliseconds of each command against a bare interpreter and against the goal."""
    times = 3 if quick else 9
    program = str(Path(sys.executable).with_name("lbsync"))
    bare = median(partial(run, [sys.executable, "-c", "pass"]), times).cpu_s
    print(f"\nStart-up, CPU (a bare interpreter: {bare * 1000:.0f} ms)")
    with tempfile.TemporaryDirectory() as home:
        env = {"HOME": home, "LBSYNC_STATE": home}
        for command, goal_ms in _GOALS.items():
            cost = median(partial(run, [program, command], env), times)
            verdict = "within" if cost.cpu_s * 1000 <= goal_ms else "OVER"
            print(
                f"  lbsync {command:<10} {cost.cpu_s * 1000:5.0f} ms, {cost.cpu_s / bare:4.1f} x bare"
                f"  ({verdict} the goal of {goal_ms} ms)"
            )
