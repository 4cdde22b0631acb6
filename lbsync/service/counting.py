"""What is counted over time: runs, commands, looks, repetitions; from what the hub says changed.

Rule of this file: each end is counted once; what ended before the service began is not. Counters begin at nought with it.
"""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import Final

from prometheus_client import Counter, Histogram, disable_created_metrics

from lbsync.run import RunPhase
from lbsync.service.values import JobState, NamespaceState

_LOOK_S: Final = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_RUN_S: Final = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_REMEMBERED: Final = 2000
OUTCOMES: Final = MappingProxyType(
    {0: "done", 2: "done", 3: "refused", 5: "taken_back", 6: "half_way", 7: "not_taken_back", 8: "done", 130: "stopped"}
)
"""Of a command, by its exit code (``cli.exits``; 2 and 8 are looks that found something); everything else failed."""
_ENDS: Final = MappingProxyType(
    {
        RunPhase.APPLIED: "applied",
        RunPhase.UNDONE: "taken_back",
        RunPhase.HELD: "held",
        RunPhase.INCOMPLETE: "incomplete",
    }
)


def outcome(job: JobState) -> str:
    """How a command ended, in a word."""
    return OUTCOMES.get(job.exit_code if job.exit_code is not None else -1, "failed")


class Counting:
    """The counters of one service, in no registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.runs = Counter(
            "lbsync_runs", "Runs that came to rest, by how: applied, taken_back, held or incomplete.",
            ("namespace", "outcome"), registry=None,
        )  # fmt: skip
        self.run_seconds = Histogram(
            "lbsync_run_duration_seconds", "From a run's beginning to its rest.",
            ("namespace",), buckets=_RUN_S, registry=None,
        )  # fmt: skip
        self.jobs = Counter(
            "lbsync_jobs", "Commands that ended, by kind and how (an exit code in a word).",
            ("namespace", "kind", "outcome"), registry=None,
        )  # fmt: skip
        self.look_seconds = Histogram(
            "lbsync_look_duration_seconds", "How long a look took.", ("namespace",), buckets=_LOOK_S, registry=None
        )
        self.look_failures = Counter("lbsync_look_failures", "Looks that told nothing.", ("namespace",), registry=None)
        self.retries = Counter(
            "lbsync_retries", "Commands begun again after the one before of that kind had failed.",
            ("namespace", "kind"), registry=None,
        )  # fmt: skip
        self.collectors = (self.runs, self.run_seconds, self.jobs, self.look_seconds, self.look_failures, self.retries)
        self._phases: dict[str, dict[str, RunPhase]] = {}
        self._jobs: deque[str] = deque(maxlen=_REMEMBERED)
        self._last: dict[tuple[str, str], str] = {}

    def state(self, state: NamespaceState) -> None:
        """A namespace as it is now; the first sight of it counts no run."""
        known = self._phases.get(state.name)
        if known is None:
            # From nought on: Prometheus sees no increase in a series that is there at one when it first appears.
            for ended in _ENDS.values():
                self.runs.labels(state.name, ended)
            self.look_failures.labels(state.name)
        for run in state.runs:
            if known is not None and run.phase in _ENDS and known.get(run.run_id) is not run.phase:
                self.runs.labels(state.name, _ENDS[run.phase]).inc()
                self.run_seconds.labels(state.name).observe((run.last - run.started).total_seconds())
        self._phases[state.name] = {run.run_id: run.phase for run in state.runs}

    def job(self, job: JobState) -> bool:
        """A command as it is now; true where its end was counted just now."""
        if job.ended is None or job.began is None or job.id in self._jobs:
            return False
        self._jobs.append(job.id)
        ended, ns = outcome(job), job.namespace
        self.jobs.labels(ns, job.kind, ended).inc()
        if self._last.get((ns, job.kind)) == "failed":
            self.retries.labels(ns, job.kind).inc()
        self._last[ns, job.kind] = ended
        if job.kind == "look":
            self.look_seconds.labels(ns).observe((job.ended - job.began).total_seconds())
            if ended != "done":
                self.look_failures.labels(ns).inc()
        return True
