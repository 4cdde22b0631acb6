"""What the canary counts, and the report it ends in.

Rule of this room: counting only, on the clock it is given. A question (listener and path) counts from its first success on,
so that the canary can be started before a listener exists; before that, failures are nobody's loss.
"""

from __future__ import annotations

from array import array
from collections import Counter
from datetime import datetime

from pydantic import Field

from lbsync.model import Value

MOST_EXAMPLES = 20


class CanaryExample(Value):
    """One error: when (aware, UTC), where, and what in one line."""

    at: datetime
    balancer: str
    path: str
    text: str


class CanaryReport(Value):
    """What came of it. Times of day are aware, UTC; ``longest_gap_s`` is the longest time in which a balancer answered nothing.

    Polite reconnects are no errors: ``announced_closes`` were announced by ``Connection: close``, ``idle_closes`` happened
    between two requests, ``retried`` closed a kept connection before any byte of an answer and answered the same GET on a new
    one. ``held`` long polls were still waiting at the end.
    """

    started: datetime
    stopped: datetime
    armed: bool = False
    """False: nothing ever answered, so nothing was measured."""
    requests: int = 0
    errors: int = 0
    examples: tuple[CanaryExample, ...] = ()
    longest_gap_s: float = 0.0
    per_path: dict[str, int] = Field(default_factory=dict)
    connections: int = 0
    announced_closes: int = 0
    idle_closes: int = 0
    retried: int = 0
    long_polls: int = 0
    held: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0

    @property
    def clean(self) -> bool:
        """True when something was measured and nothing was lost."""
        return self.armed and self.errors == 0


class Tally:
    """Running counts of one canary; used from its loop only."""

    def __init__(self) -> None:
        self.connections = 0
        self.announced_closes = 0
        self.idle_closes = 0
        self.retried = 0
        self.long_polls = 0
        self.held = 0
        self._armed = set[tuple[str, str]]()
        self._errors = 0
        self._examples = list[CanaryExample]()
        self._per_path = Counter[str]()
        self._latencies_ms = array("f")
        self._last = dict[str, float]()
        self._gap_s = 0.0

    def counts(self, balancer: str, path: str) -> bool:
        """Whether this question has been answered well before."""
        return (balancer, path) in self._armed

    def success(self, balancer: str, path: str, *, now_s: float, took_ms: float | None) -> None:
        """An answer as expected; ``now_s`` on a clock that never goes back, no ``took_ms`` where lateness was asked for."""
        self._armed.add((balancer, path))
        self._per_path[path] += 1
        if took_ms is not None:
            self._latencies_ms.append(took_ms)
        self._mind_the_gap(balancer, now_s)
        self._last[balancer] = now_s

    def error(self, balancer: str, path: str, text: str, *, at: datetime) -> None:
        """A request that was not answered as expected."""
        if not self.counts(balancer, path):
            return
        self._per_path[path] += 1
        self._errors += 1
        if len(self._examples) < MOST_EXAMPLES:
            self._examples.append(CanaryExample(at=at, balancer=balancer, path=path, text=text))

    def report(self, *, started: datetime, stopped: datetime, now_s: float) -> CanaryReport:
        """Everything so far; silence up to ``now_s`` is a gap like any other."""
        for balancer in self._last:
            self._mind_the_gap(balancer, now_s)
        ranked = sorted(self._latencies_ms)
        return CanaryReport(
            started=started,
            stopped=stopped,
            armed=bool(self._armed),
            requests=self._per_path.total(),
            errors=self._errors,
            examples=tuple(self._examples),
            longest_gap_s=round(self._gap_s, 3),
            per_path=dict(sorted(self._per_path.items())),
            connections=self.connections,
            announced_closes=self.announced_closes,
            idle_closes=self.idle_closes,
            retried=self.retried,
            long_polls=self.long_polls,
            held=self.held,
            p50_ms=_percentile(ranked, 50),
            p99_ms=_percentile(ranked, 99),
        )

    def _mind_the_gap(self, balancer: str, now_s: float) -> None:
        self._gap_s = max(self._gap_s, now_s - self._last.get(balancer, now_s))


def _percentile(ranked: list[float], percent: int) -> float:
    return round(ranked[min(len(ranked) - 1, len(ranked) * percent // 100)], 1) if ranked else 0.0
