"""Which notices are due, from a namespace's state and what was told of it before.

Rule of this file: pure. Each expiry threshold once per certificate; drift once until it changes; each failure; that something
is well again once. What was told decides, not what was seen before: a restart neither repeats nor loses anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from lbsync.config.notices import NoticeKind
from lbsync.run import RunPhase
from lbsync.service.notices.values import Notice, Told
from lbsync.service.values import CertificateState, JobState, NamespaceState, RunState
from lbsync.watch.items import Level

ENDED: Final = -1
"""The last threshold of all: the certificate has ended."""
LOOKS: Final = 2
"""One look that fails is weather; so many in a row are told."""
_URGENT_DAYS: Final = 7
_LINES: Final = 20
_JOBS: Final = 50
_DAY_S: Final = 86400
_LONG: Final = 4
"""A change at work for so many hours may hang."""
_CHANGING: Final = frozenset({"rotate", "apply", "prune", "rollback", "resume", "confirm"})
_NOT_FAILED: Final = frozenset({None, 0, 2, 8, 130})
"""Exit codes: still at work, done, "there are changes", a watch's "critical", and stopped before anything was changed."""
_WORDS: Final = MappingProxyType({"rotate": "rotation", "prune": "prune", "apply": "apply", "plan": "plan"})
_BAD: Final = MappingProxyType(
    {RunPhase.UNDONE: Level.WARNING, RunPhase.HELD: Level.CRITICAL, RunPhase.INCOMPLETE: Level.CRITICAL}
)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be told, and what was told once that is done."""

    notices: tuple[Notice, ...]
    told: Told


@dataclass(slots=True)
class _Telling:
    """One namespace while its notices are gathered."""

    state: NamespaceState
    told: Told
    now: datetime
    trouble: dict[NoticeKind, Level] = field(default_factory=dict[NoticeKind, Level])

    def notice(self, kind: NoticeKind, level: Level, key: str, **facts: str | int) -> Notice:
        """One that is remembered as trouble where its kind is one that can be over."""
        if kind in {"failed", "drift", "unseen"}:
            self.trouble[kind] = level
        name = self.state.name
        return Notice(
            id=f"{kind}/{name}/{key}", kind=kind, level=level, namespace=name, at=self.now,
            facts={"farm": self.state.farm or name, **facts},
        )  # fmt: skip

    def well(self, kind: NoticeKind, key: str) -> Iterator[Notice]:
        """That it is over, once, as bad as what it ends was: whoever was called is called off."""
        level = self.trouble.pop(kind, None)
        if level is not None:
            yield self.notice("recovered", level, f"{kind}/{key}", what=kind)


def due(state: NamespaceState, told: Told, days_ahead: Sequence[int], now: datetime) -> Due:
    """What is to be told at ``now`` (aware); ``days_ahead`` are the thresholds for certificates, in days."""
    telling = _Telling(state, told, now, dict(told.trouble))
    expiry, runs, jobs = dict(told.expiry), dict(told.runs), told.jobs
    notices: list[Notice] = [] if state.gone else [*_expiry(telling, expiry, days_ahead)]
    notices += _runs(telling, runs)
    job = state.job
    if job is not None and _failed(job) and job.id not in jobs:
        jobs = (*jobs, job.id)[-_JOBS:]
        notices.append(_job(telling, job))
    jobs, stuck = _stuck(telling, jobs)
    notices += stuck
    digest = told.drift
    if not state.gone:  # else nobody looks: only what is under way there, or stands half-way, is news
        notices += _waiting(telling)
        digest, drifted = _drift(telling)
        notices += [*drifted, *_looks(telling)]
    return Due(
        tuple(notices),
        Told(
            known=True,
            expiry=expiry,
            runs=runs,
            jobs=jobs,
            proposals=tuple(one.id for one in state.proposals),
            drift=digest,
            trouble=telling.trouble,
        ),
    )


def _expiry(telling: _Telling, expiry: dict[str, int], days_ahead: Sequence[int]) -> Iterator[Notice]:
    state = telling.state
    if state.certificates:
        used = {one.thumbprint for one in state.certificates}
        for gone in set(expiry) - used:
            del expiry[gone]
    for one in state.certificates:
        days = days_left(one, telling.now)
        crossed = min((ahead for ahead in (*days_ahead, ENDED) if days <= ahead), default=None)
        if crossed is None:
            # Far from its end: a clock that was wrong, or thresholds that changed, are forgotten.
            expiry.pop(one.thumbprint, None)
            continue
        before = expiry.get(one.thumbprint)
        if before is None or crossed < before:
            expiry[one.thumbprint] = crossed
            yield telling.notice(
                "expiry", Level.CRITICAL if days <= _URGENT_DAYS else Level.WARNING, f"{one.thumbprint}/{crossed}",
                thumbprint=one.thumbprint, subject=one.subject, days=days, ends=f"{one.not_after:%Y-%m-%d}",
                users=", ".join(one.users),
            )  # fmt: skip


def days_left(one: CertificateState, now: datetime) -> int:
    """Whole days until a certificate ends; negative once it has."""
    return int((one.not_after - now).total_seconds() // _DAY_S)


def _runs(telling: _Telling, runs: dict[str, RunPhase]) -> Iterator[Notice]:
    """Those that came to rest, oldest first; at the first sight of a namespace only what stands half-way is news."""
    state = telling.state
    for run in reversed(state.runs):
        before = runs.get(run.run_id)
        # Without a process an unfinished run is told once as half-way, under the phase that it stopped in.
        half_way = run.interrupted and run.phase.unfinished and run.phase is not RunPhase.AWAITING
        at_rest = not run.phase.unfinished or run.phase is RunPhase.AWAITING or half_way
        if not at_rest or before is run.phase:
            continue
        runs[run.run_id] = run.phase
        if telling.told.known or half_way or run.phase is RunPhase.AWAITING:
            yield from _run(telling, run, before, half_way=half_way)
    if state.runs:
        for gone in set(runs) - {run.run_id for run in state.runs}:
            del runs[gone]


def _run(telling: _Telling, run: RunState, before: RunPhase | None, *, half_way: bool) -> Iterator[Notice]:
    key = f"{run.run_id}/{run.phase.value}"
    facts = {"run": run.run_id, "what": _what(telling.state, run), "words": run.words, "actor": run.actor}
    facts |= {"proposal": "", "remedy": ""}
    if half_way:
        yield telling.notice("failed", Level.CRITICAL, key, **facts)
    elif run.phase is RunPhase.AWAITING:
        yield telling.notice("waiting", Level.WARNING, key, **facts)
    elif run.phase is RunPhase.APPLIED:
        yield telling.notice("done", Level.OK, key, **facts)
        yield from telling.well("failed", run.run_id)
    elif run.phase is RunPhase.UNDONE and before is RunPhase.APPLIED:
        yield telling.notice("done", Level.WARNING, key, **facts)  # a person took back what was well
    else:
        yield telling.notice("failed", _BAD[run.phase], key, **facts)


def _what(state: NamespaceState, run: RunState) -> str:
    job = state.job
    return _WORDS.get(job.kind, "run") if job is not None and job.run_id == run.run_id else "run"


def _failed(job: JobState) -> bool:
    """A change that failed before there was a run: refused, or its farm could not be read."""
    return job.kind in _CHANGING and job.ended is not None and job.exit_code not in _NOT_FAILED and job.run_id is None


def _job(telling: _Telling, job: JobState) -> Notice:
    error = job.error or {}
    reason, remedy = (str(error.get(key) or "") for key in ("message", "remedy"))
    return telling.notice(
        "failed", Level.WARNING, f"job-{job.id}",
        run="", what=_WORDS.get(job.kind, job.kind), words=reason or f"exit code {job.exit_code}", remedy=remedy,
        actor=job.asked_by,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Work:
    """A change at work: a job of the service, or a run without one. ``keys`` say that it was told: its own, then its run's."""

    keys: tuple[str, ...]
    began: datetime
    run: str
    what: str
    actor: str


def _at_work(state: NamespaceState) -> Iterator[_Work]:
    job = state.job
    if job is not None and job.kind in _CHANGING and job.began is not None and job.ended is None:
        keys = (f"stuck-{job.id}", *((f"stuck-{job.run_id}",) if job.run_id else ()))
        yield _Work(keys, job.began, job.run_id or "", _WORDS.get(job.kind, job.kind), job.asked_by)
    for run in state.runs:
        if run.at_work_since is not None:
            yield _Work((f"stuck-{run.run_id}",), run.at_work_since, run.run_id, "run", run.actor)


def _stuck(telling: _Telling, jobs: tuple[str, ...]) -> tuple[tuple[str, ...], list[Notice]]:
    """What has been at work for hours, once; a run that outlives the service which told of its job is not told again."""
    notices: list[Notice] = []
    over = {f"stuck-{run.run_id}" for run in telling.state.runs if run.interrupted or not run.phase.unfinished}
    for one in _at_work(telling.state):
        hours = int((telling.now - one.began).total_seconds() // 3600)
        if hours < _LONG:
            over.update(one.keys)
        elif one.keys[0] not in jobs:
            jobs = (*jobs, *one.keys)[-_JOBS:]
            notices.append(
                telling.notice(
                    "stuck", Level.CRITICAL, one.keys[0],
                    run=one.run, what=one.what, actor=one.actor, hours=hours, began=f"{one.began:%Y-%m-%d %H:%M} UTC",
                )
            )  # fmt: skip
    return tuple(key for key in jobs if key not in over), notices


def _waiting(telling: _Telling) -> Iterator[Notice]:
    for one in telling.state.proposals:
        if one.id not in telling.told.proposals:
            yield telling.notice(
                "waiting", Level.WARNING, one.id,
                proposal=one.id, run="", what=_WORDS[one.kind], words=one.summary, actor=one.asked_by,
                until=f"{one.expires_at:%Y-%m-%d %H:%M} UTC",
            )  # fmt: skip


def _drift(telling: _Telling) -> tuple[str, tuple[Notice, ...]]:
    drift = telling.state.drift
    if drift is None:
        return telling.told.drift, ()
    if not drift.count:
        return "", tuple(telling.well("drift", "0"))
    digest = hashlib.sha256("\n".join(sorted(drift.lines)).encode()).hexdigest()[:16] + f"-{drift.count}"
    if digest == telling.told.drift:
        return digest, ()
    lines = "\n".join(drift.lines[:_LINES])
    return digest, (telling.notice("drift", Level.WARNING, digest, count=drift.count, lines=lines),)


def _looks(telling: _Telling) -> Iterator[Notice]:
    state = telling.state
    # A log-on that was refused is not tried again by itself: there will be no second failure.
    halted = state.failures > 0 and state.next_look_at is None
    if (state.failures >= LOOKS or halted) and "unseen" not in telling.trouble:
        yield telling.notice("unseen", Level.WARNING, f"{telling.now:%Y%m%dT%H%M%S}", words=state.error)
    elif not state.failures and state.looked_at is not None:
        yield from telling.well("unseen", f"{state.looked_at:%Y%m%dT%H%M%S}")
