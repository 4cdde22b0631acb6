"""What a program cost: wall clock, CPU of it and its children, peak memory of its largest process."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


class ProgramFailed(Exception):
    """A measured program ended with an error: its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds and mebibytes."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    output: str = ""


def run(command: Sequence[str], env: Mapping[str, str] | None = None, expect: Sequence[int] = (0,)) -> Cost:
    """Run a program to its end. Raises ProgramFailed, with what it said, when it ends with another code than expected."""
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode(errors="replace")
    if process.returncode not in expect:
        raise ProgramFailed(f"{command[0]} ended with {process.returncode}:\n{text[-2000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text)


def median(measure: Callable[[], Cost], times: int) -> Cost:
    """The median of each figure over several runs."""
    costs = [measure() for _ in range(times)]
    return Cost(
        statistics.median(cost.wall_s for cost in costs),
        statistics.median(cost.cpu_s for cost in costs),
        statistics.median(cost.peak_mib for cost in costs),
        costs[-1].output,
    )
