"""Outlets and the log: one reader of the hub for notices, metrics and traces; a line for each request, without secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from pydantic import SecretStr

from lbsync.config import ServiceSection
from lbsync.redact import HIDDEN, Redactor
from lbsync.service.logs import json_lines
from lbsync.service.metrics import exposition
from lbsync.service.notices.sending import Sender, send
from lbsync.service.notices.texts import Text
from lbsync.service.outlets import Outlets
from lbsync.service.traces import NoTraces, OtelTraces, traces
from lbsync.service.values import Changed, JobState, NamespaceState
from tests.service.client import ORIGIN, PEER, TOKEN, app_for
from tests.service.fakes import NOW, FakeHub, namespace

SECRET = "json://127.0.0.1:9/T0KEN"


def outlets(hub: FakeHub, tmp_path: Path, sender: Sender = send) -> Outlets:
    """With one target, told of everything."""
    section = ServiceSection.model_validate({"notices": [{"name": "team", "url": "env:URL"}]})
    return Outlets(
        hub, section, folder=tmp_path / "serve", base=tmp_path, secret=lambda _: SecretStr(SECRET), sender=sender
    )


def ended(hub: FakeHub, key: str, code: int) -> JobState:
    """A look of a farm that ended, as the hub has it."""
    job = JobState(
        id=key, namespace="mail", kind="look", asked_by="service", asked_at=NOW, began=NOW, exit_code=code,
        ended=NOW + timedelta(seconds=3),
    )  # fmt: skip
    hub.jobs[key] = job
    return job


def test_what_changes_is_told_counted_and_traced(tmp_path: Path) -> None:
    """A farm that cannot be seen: a notice, a failed look, a span with its own times."""
    hub, spans, sent = FakeHub(namespace()), InMemorySpanExporter(), asyncio.Event()
    titles: list[str] = []

    async def story() -> Outlets:
        loop = asyncio.get_running_loop()

        def sender(_url: SecretStr, text: Text, _level: object) -> str:
            titles.append(text.title)
            if "cannot be looked at" in text.title:
                loop.call_soon_threadsafe(sent.set)
            return ""

        own = outlets(hub, tmp_path, sender)
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(spans))
        own.traces = OtelTraces(provider.get_tracer("test"), provider.shutdown)
        own.start()
        await own.listening.wait()
        job = ended(hub, "j1", 1)
        hub.kept["mail"] = hub.kept["mail"].model_copy(update={"failures": 2, "error": "no answer", "job": job})
        hub.tell(Changed("mail", "job", "j1"))
        hub.tell(Changed("gone", "state"))
        await asyncio.wait_for(sent.wait(), 30)
        await own.close()
        return own

    own = asyncio.run(story())
    assert "farm mail: cannot be looked at" in titles
    assert "farm mail: rotation waits for approval" in titles
    page = exposition((), own.counting, own.post.states()).decode()
    assert 'lbsync_look_failures_total{namespace="mail"} 1.0' in page
    assert 'lbsync_notices_pending{target="team"} 0.0' in page
    (span,) = spans.get_finished_spans()
    assert span.name == "look"
    assert span.start_time == int(NOW.timestamp()) * 10**9
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["lbsync.outcome"] == "failed"


def test_a_change_that_was_refused_is_told_though_no_state_shows_it(tmp_path: Path) -> None:
    """As the hub has it: a state holds what is at work, and what ended is a job of its own."""
    hub = FakeHub(namespace())
    own = outlets(hub, tmp_path)

    async def story() -> list[int]:
        seen: list[int] = []
        hub.jobs["j1"] = ended(hub, "j1", 3).model_copy(
            update={"kind": "rotate", "error": {"message": "the plan is stale"}}
        )
        for change in (Changed("mail", "state"), Changed("mail", "job", "j1"), Changed("mail", "job", "j1")):
            await own.changed(change)
            seen.append(own.post.states()[0].pending)
        return seen

    before, once, twice = asyncio.run(story())
    assert (once - before, twice - once) == (1, 0)


def test_a_fault_in_one_outlet_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged; the next change is told as ever."""

    class Broken(NoTraces):
        def span(self, *_: object, **__: object) -> None:
            raise ZeroDivisionError

    hub = FakeHub(namespace())
    own = outlets(hub, tmp_path)
    own.traces = Broken()

    def broken(_state: NamespaceState) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(own.post, "tell", broken)

    async def story() -> None:
        for number in range(2):
            ended(hub, f"j{number}", 0)
            await own.changed(Changed("mail", "job", f"j{number}"))

    stream = StringIO()
    with json_lines(Redactor(), stream):
        asyncio.run(story())
    assert [json.loads(line)["exception"][0]["exc_type"] for line in stream.getvalue().splitlines()] == [
        "ZeroDivisionError"
    ] * 4
    assert 'lbsync_jobs_total{kind="look",namespace="mail",outcome="done"} 2.0' in exposition((), own.counting).decode()


def test_what_time_alone_brings_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that hangs changes nothing: its farm is seen again by itself."""
    monkeypatch.setattr("lbsync.service.outlets._AGAIN_S", 0.01)
    hub = FakeHub(namespace())

    async def story() -> None:
        loop, told = asyncio.get_running_loop(), asyncio.Event()

        def sender(_url: SecretStr, text: Text, _level: object) -> str:
            if "has been at work for" in text.title:
                loop.call_soon_threadsafe(told.set)
            return ""

        own = outlets(hub, tmp_path, sender)
        own.start()
        await own.listening.wait()
        began = datetime(2020, 1, 1, tzinfo=UTC)
        job = ended(hub, "j1", 0).model_copy(
            update={"kind": "rotate", "began": began, "ended": None, "exit_code": None}
        )
        hub.kept["mail"] = namespace().model_copy(update={"job": job})
        await asyncio.wait_for(told.wait(), 30)
        await own.close()

    asyncio.run(story())


def test_what_was_is_not_told_after_what_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A farm changes while all are gone through on a slow disk: else its newest run would be counted and told twice."""
    monkeypatch.setattr("lbsync.service.outlets._AGAIN_S", 0.0)
    hub, seen = FakeHub(namespace("a"), namespace("b")), list[str]()
    slow, entered, newer, more = threading.Event(), threading.Event(), threading.Event(), threading.Event()

    def tell(state: NamespaceState) -> None:
        if state.name == "a" and slow.is_set():
            slow.clear()
            entered.set()
            newer.wait(0.05)
        elif state.name == "b":
            seen.append(state.next_text)
            if newer.is_set():
                more.set()
            elif state.next_text == "newer":
                newer.set()

    async def story() -> None:
        own = outlets(hub, tmp_path)
        monkeypatch.setattr(own.post, "tell", tell)
        own.start()
        await own.listening.wait()
        slow.set()
        await asyncio.to_thread(entered.wait, 20)
        hub.kept["b"] = hub.kept["b"].model_copy(update={"next_text": "newer"})
        hub.tell(Changed("b", "state"))
        await asyncio.to_thread(newer.wait, 20)
        await asyncio.to_thread(more.wait, 20)
        await own.close()

    asyncio.run(story())
    assert set(seen[seen.index("newer") :]) == {"newer"}


def test_a_notice_is_told_though_nothing_could_be_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the reader of the hub end there, after which nothing would be told any more."""
    hub = FakeHub(namespace())
    own = outlets(hub, tmp_path)

    def broken(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(own.counting, "job", broken)
    monkeypatch.setattr(own.counting, "state", broken)
    ended(hub, "j1", 1)
    with json_lines(Redactor(), StringIO()):
        asyncio.run(own.changed(Changed("mail", "job", "j1")))
    assert own.post.states()[0].pending > 0


def test_a_request_is_a_line_without_secrets(tmp_path: Path) -> None:
    """Method, path, status, time, who, number; no query, no token, and nothing of health."""
    hub, stream, spans = FakeHub(namespace()), StringIO(), InMemorySpanExporter()
    own = outlets(hub, tmp_path)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    own.traces = OtelTraces(provider.get_tracer("test"))
    app = own.around(app_for(tmp_path, hub))
    bearer = {"Authorization": f"Bearer {TOKEN}", "X-Request-ID": "mine"}

    async def story() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app, client=(PEER, 50000), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
            return [
                await http.get("/api/v1/namespaces/mail", params={"q": "query-secret"}, headers=bearer),
                await http.get("/api/v1/notices", headers=bearer),
                await http.post("/api/v1/notices/nobody/test", headers=bearer),
                await http.get("/healthz"),
                await http.get("/nowhere%0Aforged"),
            ]

    redactor = Redactor()
    redactor.remember("env:URL", SecretStr(SECRET))
    with json_lines(redactor, stream):
        answers = asyncio.run(story())
        logging.getLogger("lbsync.x").warning("sent to %s", SECRET)
    assert [one.status_code for one in answers] == [200, 200, 404, 200, 404]
    assert answers[1].json()[0]["name"] == "team"
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    asked = [line for line in lines if line["event"] == "request"]
    assert [line["path"] for line in asked] == [
        "/api/v1/namespaces/mail", "/api/v1/notices", "/api/v1/notices/nobody/test", "/nowhere\nforged",
    ]  # fmt: skip
    first = asked[0]
    assert (first["method"], first["status"], first["address"], first["level"]) == ("GET", 200, PEER, "info")
    assert first["actor"]
    assert first["request"] == answers[0].headers["X-Request-ID"] != "mine"
    assert asked[-1]["actor"] is None
    assert lines[-1]["event"] == f"sent to {HIDDEN}"
    for secret in ("query-secret", TOKEN, SECRET):
        assert secret not in stream.getvalue()
    names = [span.name for span in spans.get_finished_spans()]
    assert names[0] == "GET /api/v1/namespaces/{ns}"
    assert names[-1] == "GET none"


@pytest.mark.parametrize(
    ("asked", "environ", "on"),
    [
        (False, {}, False),
        (False, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
        (False, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}, False),
        (True, {}, True),
    ],
)
def test_traces_are_off_unless_asked_for(asked: bool, environ: dict[str, str], on: bool) -> None:
    """By the configuration, or by OpenTelemetry's own variables."""
    found = traces(asked=asked, environ=environ)
    assert isinstance(found, OtelTraces) is on
    found.close()
