"""``/metrics``: every farm as Prometheus sees it, read from memory at each scrape.

Rule of this file: a state in, numbers out. Labels are names of the configuration, closed lists, and certificates in use: their
number does not grow with time. What is counted over time stands in ``counting``.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from types import MappingProxyType
from typing import Final, cast

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lbsync.run import RunPhase
from lbsync.service.counting import Counting
from lbsync.service.notices.values import NoticeState
from lbsync.service.values import Lamp, Level, NamespaceState
from lbsync.service.web.asking import hub_of

NS: Final = "namespace"
_LISTENER: Final = (NS, "balancer", "host")
GAUGES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = MappingProxyType(
    {
        "lbsync_build_info": (("version", "python"), "What runs here; always 1."),
        "lbsync_namespace_level": ((NS, "level"), "1 for how a farm stands: ok, warning, critical or unknown; else 0."),
        "lbsync_look_timestamp_seconds": ((NS,), "When the farm was last looked at."),
        "lbsync_next_look_timestamp_seconds": ((NS,), "When it is looked at next."),
        "lbsync_look_failures_in_a_row": ((NS,), "Looks that failed since the last good one."),
        "lbsync_listener_light": (
            (*_LISTENER, "light"),
            "1 for what clients get at a listener: green (ours), yellow (another certificate), red (no TLS), unknown; else 0.",
        ),
        "lbsync_listener_right": (_LISTENER, "1 where a listener serves the wanted certificate, else 0."),
        "lbsync_listener_certificate_days_left": (_LISTENER, "Days until the certificate that is served ends."),
        "lbsync_server_certificate_days_left": (
            (NS, "server"),
            "Days until the certificate of a server's front end ends.",
        ),
        "lbsync_certificate_days_left": (
            (NS, "thumbprint"),
            "Days until a certificate in use ends; negative: it has ended.",
        ),
        "lbsync_certificate_not_after_timestamp_seconds": ((NS, "thumbprint"), "When a certificate in use ends."),
        "lbsync_service_mode": (
            (NS, "balancer", "service", "mode"),
            "1 for the mode of a service at a balancer: offload, bridge or none (not published); else 0.",
        ),
        "lbsync_service_mode_right": ((NS, "balancer", "service"), "1 where a service has the mode wanted, else 0."),
        "lbsync_drift_differences": ((NS,), "Differences from the configuration; absent until they were looked for."),
        "lbsync_proposals_waiting": ((NS,), "Plans that wait for approval."),
        "lbsync_job_running": ((NS,), "1 while a command is at work there, the service's or another's, else 0."),
        "lbsync_job_began_timestamp_seconds": (
            (NS, "kind"),
            "When the command that is at work there began; kind run: a run without the service; absent where none is.",
        ),
        "lbsync_runs_half_way": ((NS,), "Recent runs that stand half-way: lbsync resume or rollback."),
        "lbsync_last_success_timestamp_seconds": ((NS,), "When the newest run that was applied ended."),
        "lbsync_target_read_seconds": (
            (NS, "target"),
            "How long the last look at one server (WinRM) or balancer took.",
        ),
        "lbsync_notices_pending": (("target",), "Notices that wait to be sent."),
        "lbsync_notice_last_sent_timestamp_seconds": (("target",), "When a notice was last sent."),
    }
)
"""Every gauge: its labels, and what it says."""
COUNTERS_OF_NOTICES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "lbsync_notices_sent_total": "Notices sent, since lbsync remembers.",
        "lbsync_notice_failures_total": "Tries to send a notice that failed.",
        "lbsync_notices_dropped_total": "Notices given up because too many waited.",
    }
)
_DAY_S: Final = 86400.0


class Snapshot(Collector):
    """States at one moment as metrics."""

    def __init__(self, states: Iterable[NamespaceState], notices: Iterable[NoticeState], now: datetime) -> None:
        self._states, self._notices, self._now = states, notices, now

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: made anew for each scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family that has something to say."""
        families = {name: GaugeMetricFamily(name, said, labels=labels) for name, (labels, said) in GAUGES.items()}
        families["lbsync_build_info"].add_metric([version("lbsync"), platform.python_version()], 1)
        for state in self._states:
            for name, labels, value in _samples(state, self._now):
                families[name].add_metric([state.name, *labels], value)
        for one in self._notices:
            families["lbsync_notices_pending"].add_metric([one.name], one.pending)
            if one.sent_at is not None:
                families["lbsync_notice_last_sent_timestamp_seconds"].add_metric([one.name], one.sent_at.timestamp())
        yield from (family for family in families.values() if family.samples)
        yield from _counted(tuple(self._notices))


def _counted(notices: tuple[NoticeState, ...]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    if notices:
        for name, said in COUNTERS_OF_NOTICES.items():
            family = CounterMetricFamily(name.removesuffix("_total"), said, labels=("target",))
            key = {"lbsync_notices_sent_total": "sent", "lbsync_notice_failures_total": "failures"}.get(name, "dropped")
            for one in notices:
                family.add_metric([one.name], cast("int", getattr(one, key)))
            yield family


Sample = tuple[str, tuple[str, ...], float]
"""A gauge's name, its labels after the namespace, its value."""


def _samples(state: NamespaceState, now: datetime) -> Iterator[Sample]:
    for level in Level:
        yield "lbsync_namespace_level", (level.value,), state.level is level
    if not state.gone:  # else nobody looks, and what was seen is no news
        yield from _looked_at(state, now)
    began = state.job.began if state.job is not None and state.job.ended is None else None
    beside = [run.at_work_since for run in state.runs if run.at_work_since is not None]
    yield "lbsync_job_running", (), began is not None or bool(beside)
    for since in beside[:1]:
        yield "lbsync_job_began_timestamp_seconds", ("run",), since.timestamp()
    if state.job is not None and began is not None:
        yield "lbsync_job_began_timestamp_seconds", (state.job.kind,), began.timestamp()
    yield "lbsync_runs_half_way", (), sum(run.interrupted and run.phase.unfinished for run in state.runs)
    done = [run.last for run in state.runs if run.phase is RunPhase.APPLIED]
    if done:
        yield "lbsync_last_success_timestamp_seconds", (), max(done).timestamp()


def _looked_at(state: NamespaceState, now: datetime) -> Iterator[Sample]:
    if state.looked_at is not None:
        yield "lbsync_look_timestamp_seconds", (), state.looked_at.timestamp()
    if state.next_look_at is not None:
        yield "lbsync_next_look_timestamp_seconds", (), state.next_look_at.timestamp()
    yield "lbsync_look_failures_in_a_row", (), state.failures
    yield from _seen(state, now)
    if state.drift is not None:
        yield "lbsync_drift_differences", (), state.drift.count
    yield "lbsync_proposals_waiting", (), len(state.proposals)


def _seen(state: NamespaceState, now: datetime) -> Iterator[Sample]:
    """What the last look showed; days are counted to now, however old it is."""
    for one in state.listeners:
        at = (one.balancer, one.host)
        for light in Lamp:
            yield "lbsync_listener_light", (*at, light.value), one.light is light
        yield "lbsync_listener_right", at, one.light is Lamp.GREEN
        if one.not_after is not None:
            yield "lbsync_listener_certificate_days_left", at, _days(one.not_after, now)
    ends = {one.thumbprint: one.not_after for one in state.certificates}
    for server in state.servers:
        if server.thumbprint is not None and server.thumbprint in ends:
            yield "lbsync_server_certificate_days_left", (server.name,), _days(ends[server.thumbprint], now)
    for thumbprint, end in ends.items():
        yield "lbsync_certificate_days_left", (thumbprint,), _days(end, now)
        yield "lbsync_certificate_not_after_timestamp_seconds", (thumbprint,), end.timestamp()
    for mode in state.modes:
        at, has = (mode.balancer, mode.service.value), mode.mode.value if mode.mode is not None else "none"
        for name in ("offload", "bridge", "none"):
            yield "lbsync_service_mode", (*at, name), has == name
        yield "lbsync_service_mode_right", at, mode.mode is mode.wanted
    for target, seconds in state.calls.items():
        yield "lbsync_target_read_seconds", (target,), seconds


def _days(end: datetime, now: datetime) -> float:
    return round((end - now).total_seconds() / _DAY_S, 3)


def exposition(
    states: Iterable[NamespaceState],
    counting: Counting,
    notices: Iterable[NoticeState] = (),
    now: datetime | None = None,
) -> bytes:
    """The page in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(Snapshot(tuple(states), tuple(notices), now or datetime.now(UTC)))
    for one in counting.collectors:
        registry.register(one)
    return generate_latest(registry)


def router() -> APIRouter:
    """``/metrics``; who may ask, the gate decides."""
    web = APIRouter(include_in_schema=False)

    @web.get("/metrics")
    async def metrics(request: Request) -> Response:
        outlets = getattr(request.app.state, "outlets", None)
        counting = outlets.counting if outlets is not None else Counting()
        notices = outlets.post.states() if outlets is not None else ()
        states = tuple(hub_of(request).states().values())
        # Hundreds of farms take a moment to write down: not in the loop.
        page = await asyncio.to_thread(exposition, states, counting, notices)
        return Response(page, media_type=CONTENT_TYPE_LATEST)

    return web
