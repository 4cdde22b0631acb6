"""Traces for OpenTelemetry: a span for each request, look and command. Off unless asked for; the extra ``otel``.

Rule of this file: spans are made when what they tell of is over, from its own times; nothing waits for a collector, and no span
carries a path's query, a header, or a line that a command printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from lbsync.errors import ConfigError
from lbsync.service.counting import outcome
from lbsync.service.values import JobState

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NANO: Final = 1_000_000_000


class Traces(Protocol):
    """Whoever takes spans."""

    def span(
        self, name: str, began_s: float, ended_s: float, attributes: Mapping[str, str | int], *, failed: bool
    ) -> None:
        """Something that is over; times are seconds since 1970."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


class NoTraces:
    """Nobody asked for them."""

    def span(
        self, name: str, began_s: float, ended_s: float, attributes: Mapping[str, str | int], *, failed: bool
    ) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class OtelTraces:
    """Spans of one tracer; ``shutdown`` of its provider sends what is left."""

    def __init__(self, tracer: Tracer, shutdown: object = None) -> None:
        self._tracer, self._shutdown = tracer, shutdown

    def span(
        self, name: str, began_s: float, ended_s: float, attributes: Mapping[str, str | int], *, failed: bool
    ) -> None:
        """One that is over."""
        from opentelemetry.trace import Status, StatusCode

        span = self._tracer.start_span(name, attributes=dict(attributes), start_time=int(began_s * _NANO))
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=int(ended_s * _NANO))

    def close(self) -> None:
        """Send what is left."""
        if callable(self._shutdown):
            self._shutdown()


def traces(*, asked: bool, environ: Mapping[str, str] | None = None) -> Traces:
    """Those of OpenTelemetry where ``[service] otel`` or its own environment variable asks for them, else none.

    Raises ConfigError where they are asked for in the configuration and the extra is not installed.
    """
    variables = os.environ if environ is None else environ
    named = any(variables.get(name) for name in ENDPOINTS) and variables.get("OTEL_SDK_DISABLED", "").lower() != "true"
    if not asked and not named:
        return NoTraces()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        if not asked:
            return NoTraces()
        raise ConfigError(
            "traces need packages that are not installed",
            where="[service] otel",
            state="nothing was started",
            remedy="pip install 'lbsync[otel]', or take the line out",
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "lbsync"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OtelTraces(provider.get_tracer("lbsync.service"), provider.shutdown)


def job_span(traces: Traces, job: JobState) -> None:
    """A command that ended."""
    if job.began is not None and job.ended is not None:
        traces.span(
            "look" if job.kind == "look" else f"command {job.kind}",
            _s(job.began),
            _s(job.ended),
            {
                "lbsync.namespace": job.namespace,
                "lbsync.kind": job.kind,
                "lbsync.job": job.id,
                "lbsync.outcome": outcome(job),
            },
            failed=outcome(job) != "done",
        )


def _s(at: datetime) -> float:
    return at.timestamp()
