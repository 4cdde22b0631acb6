"""The post office with a real receiver: sent, refused and tried again, kept over a restart; and never an address told."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from lbsync.config.notices import NoticeSection
from lbsync.errors import SecretError
from lbsync.service.notices.carrier import UNREADABLE, why
from lbsync.service.notices.post import NAME, Post, send_test
from lbsync.service.notices.sending import send
from lbsync.service.notices.texts import Text, text_of
from lbsync.service.notices.values import Notice
from lbsync.service.port import NotFound
from lbsync.service.values import NamespaceState
from lbsync.watch.items import Level

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TOKEN = "T0KEN-in-the-path"
UNSEEN = NamespaceState(name="exch", farm="contoso", failures=2, error="EX01 did not answer")


class Receiver:
    """A program that is told by HTTP. ``codes`` are what it answers, the last one for ever."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.got: list[dict[str, Any]] = []
        self.answered = threading.Semaphore(0)
        self.port = 0

    @property
    def url(self) -> SecretStr:
        """As apprise writes it, with a token and a password."""
        return SecretStr(f"json://user:hunter2@127.0.0.1:{self.port}/{TOKEN}")

    @contextmanager
    def open(self) -> Generator[Receiver]:
        """Listening."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = outer.codes.pop(0) if len(outer.codes) > 1 else outer.codes[0]
                if code < 300:
                    outer.got.append(json.loads(body))
                self.send_response(code)
                self.end_headers()
                outer.answered.release()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def post(folder: Path, receiver: Receiver, at: list[datetime], **more: Any) -> Post:
    """One with a single target, by the clock ``at[0]``."""
    target = NoticeSection(name="team", url="env:URL")
    return Post((target,), folder, lambda _reference: receiver.url, now=lambda: at[0], **more)


def test_refused_then_tried_again_after_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was refused is kept, shown without its address, and sent by the next process when its time has come."""
    at = [NOW]
    caplog.set_level(logging.DEBUG)
    with Receiver(500, 200).open() as receiver:
        first = post(tmp_path, receiver, at)
        first.tell(UNSEEN)
        back = first.work()
        assert back == NOW + timedelta(minutes=1)
        (shown,) = first.states()
        assert (shown.pending, shown.failures, shown.error, shown.sent) == (1, 1, "it was not taken: HTTP 500", 0)
        first.close()

        second = post(tmp_path, receiver, at)
        assert second.work() == back
        assert second.states()[0].pending == 1
        assert not receiver.got
        at[0] = NOW + timedelta(minutes=1)
        second.start()
        second.tell(UNSEEN)  # known by now: not told twice
        receiver.answered.acquire(timeout=60)
        receiver.answered.acquire(timeout=60)
        second.close(60)
        (shown,) = second.states()
        assert shown.pending == 0
        assert (shown.sent, shown.error, shown.sent_at) == (1, "", at[0])
    (got,) = receiver.got
    assert got["title"] == "contoso: cannot be looked at"
    assert "EX01 did not answer" in got["message"]
    assert "Tried 2 times" in got["message"]
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    kept = (tmp_path / NAME).read_text()
    for told in (caplog.text, kept, repr(shown), repr(second.states())):
        assert TOKEN not in told
        assert "hunter2" not in told


def test_a_letter_that_cannot_be_made_keeps_back_no_other(tmp_path: Path) -> None:
    """Whatever is raised is a try that failed: the thread goes on."""

    def sender(*_: object) -> str:
        raise AttributeError

    office = post(tmp_path, Receiver(200), [NOW], sender=sender)
    office.tell(UNSEEN)
    assert office.work() == NOW + timedelta(minutes=1)
    (shown,) = office.states()
    assert (shown.pending, shown.failures, shown.error) == (1, 1, "it could not be made: AttributeError")


def test_a_test_is_sent_at_once(tmp_path: Path) -> None:
    """And says why not: no connection, no address, no such target."""
    with Receiver(200).open() as receiver:
        office = post(tmp_path, receiver, [NOW])
        assert office.test("team") == ""
        assert receiver.got[0]["title"] == "lbsync: a test"
    assert office.test("team") == "no connection, or no answer in time"
    with pytest.raises(NotFound) as caught:
        office.test("nobody")
    assert caught.value.code == "unknown-notice"
    assert send(SecretStr("this is no address"), Text("a", "b"), Level.OK) == UNREADABLE


def test_where_an_address_lies_is_for_the_log(tmp_path: Path) -> None:
    """A test and a notice tell which target it is; the command line, where the configuration is, all of it."""

    def absent(reference: str) -> SecretStr:
        raise SecretError("the environment variable is not set", where=reference)

    target, why_not = NoticeSection(name="team", url="env:URL"), "env:URL: the environment variable is not set."
    office = Post((target,), tmp_path, absent, now=lambda: NOW)
    unread = "the address of team cannot be read: the log of the service says why"
    with capture_logs() as logged:
        assert office.test("team") == unread
        office.tell(UNSEEN)
        office.work()
    assert [one["error"] for one in logged if one["event"].startswith("the address")] == [why_not] * 2
    assert office.states()[0].error == unread
    assert "env:URL" not in (tmp_path / NAME).read_text()
    assert send_test((target,), "team", absent) == why_not


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("Failed to send JSON POST notification: Unauthorized, error=401.", "it was not taken: HTTP 401"),
        ("A Connection error occurred sending Slack:secret notification.", "no connection, or no answer in time"),
        ("https://hooks.slack.test/T/B/secret is odd", "it was not taken"),
    ],
)
def test_nothing_that_apprise_says_is_repeated(words: str, told: str) -> None:
    """What is told of a failure is chosen from a closed list."""
    assert why(words) == told


def test_a_damaged_memory_is_put_aside_and_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    """The service goes on in both cases."""
    (tmp_path / NAME).write_text("{")
    sent: list[str] = []

    def sender(_url: SecretStr, text: Text, _level: Level) -> str:
        sent.append(text.title)
        return ""

    office = post(tmp_path, Receiver(200), [NOW], sender=sender)
    assert (tmp_path / NAME).with_suffix(".damaged").read_text() == "{"
    (tmp_path / NAME).mkdir()  # nothing can be written there
    office.tell(UNSEEN)
    assert office.work() is None
    assert sent == ["contoso: cannot be looked at"]
    assert office.states()[0].sent == 1


def test_nobody_waits_for_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How it stands is read by the loop that answers everybody."""
    office = post(tmp_path, Receiver(200), [NOW])
    writes, done = threading.Event(), threading.Event()

    def slow(_path: Path, _text: str) -> None:
        writes.set()
        done.wait(60)

    monkeypatch.setattr("lbsync.service.notices.post.write_private", slow)
    with ThreadPoolExecutor(2) as threads:
        try:
            told = threads.submit(office.tell, UNSEEN)
            assert writes.wait(60)
            assert threads.submit(office.states).result(10)[0].pending == 1
            assert not told.done()
        finally:
            done.set()


def test_no_targets_no_work(tmp_path: Path) -> None:
    """Nothing is decided, written or started."""
    office = Post((), tmp_path, lambda _: SecretStr("x"))
    office.tell(UNSEEN)
    office.start()
    office.close()
    assert office.states() == ()
    assert not list(tmp_path.iterdir())
    with pytest.raises(NotFound):
        office.test("team")


BROKEN = ["{{ no_such_fact }}", "{% if %}", "{{ 1 // 0 }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}"]


@pytest.mark.parametrize("template", BROKEN)
def test_a_broken_template_keeps_nothing_back(template: str, tmp_path: Path) -> None:
    """The notice is told by that of lbsync; what a template may not do, it cannot."""
    notice = Notice(
        id="x", kind="unseen", level=Level.WARNING, namespace="n", at=NOW, facts={"farm": "f", "words": "<w>"}
    )
    (tmp_path / "unseen.txt").write_text(template)
    title, body = text_of(notice, tmp_path)
    assert title == "f: cannot be looked at"
    assert "unseen.txt is broken" in body
    (tmp_path / "unseen.txt").write_text("{{ farm }} & co\n{{ words }}")
    assert text_of(notice, tmp_path) == Text("f & co", "<w>")
    (tmp_path / "unseen.txt").unlink()
    assert text_of(notice, tmp_path) == text_of(notice)
