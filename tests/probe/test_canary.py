"""The canary against a small real TLS server that keeps its word, or does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from lbsync.canary import Canary, CanaryReport, Listener
from lbsync.canary.tally import MOST_EXAMPLES, Tally
from lbsync.testing.ca import TestCA
from lbsync.testing.front import DROP, Asked, Front, Reply, Respond
from lbsync_certs import Bundle, CertificateProblem

HOST = "mail.contoso.test"
PATH = "/owa/healthcheck.htm"
PATIENCE_S = 20.0


def always(reply: Reply) -> Respond:
    """One answer to everything."""
    return lambda _asked: reply


def canary(front: Front, ca: TestCA, *paths: str, **options: object) -> Canary:
    """One client that keeps its connection, in a hurry, unless told otherwise."""
    listener = Listener(balancer="lb1", address=str(front.server_address[0]), https_port=front.port)
    settings: dict[str, object] = {"keep": 1, "fresh": 0, "interval_s": 0.005, **options}
    return Canary([listener], HOST, ca.root_pem.decode(), paths or (PATH,), **settings)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def asked(front: Front, times: int) -> None:
    """Wait until so many requests came in."""
    for _ in range(times):
        assert front.seen.request.acquire(timeout=PATIENCE_S)


class Once:
    """Another answer once, at the given request (0 is the first)."""

    def __init__(self, at: int, special: Reply, usual: Reply | None = None) -> None:
        self._left = at
        self._special = special
        self._usual = usual or Reply()
        self._lock = threading.Lock()

    def __call__(self, _asked: Asked) -> Reply:
        """Count down."""
        with self._lock:
            self._left -= 1
            return self._special if self._left == -1 else self._usual


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_steady_server_loses_nothing(ours: Bundle, ca: TestCA, address: str) -> None:
    """Kept connections stay, fresh ones come and go, every path is asked, nothing is an error."""
    paths = (PATH, "/ews/healthcheck.htm", "/mapi/healthcheck.htm")
    with Front(always(Reply()), ours, address=address) as front:
        subject = canary(front, ca, *paths, keep=2, fresh=1)
        subject.start()
        asked(front, 30)
        report = subject.stop()
    assert report.clean
    assert report.errors == 0
    assert 24 <= report.requests <= front.seen.paths.total()
    assert sum(report.per_path.values()) == report.requests
    assert set(report.per_path) == set(paths) == set(front.seen.paths)
    assert report.connections > 3, "two kept ones and many fresh ones"
    assert front.seen.hosts.keys() == {HOST}
    assert (report.announced_closes, report.idle_closes, report.retried) == (0, 0, 0)
    assert 0 < report.p50_ms <= report.p99_ms
    assert 0 < report.longest_gap_s < PATIENCE_S
    assert report.started <= report.stopped
    assert CanaryReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(503), "answered 503"),
        (Reply(403), "answered 403"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"), "BrokenAnswer: the answer broke off"),
        (Reply(raw=b"HTTP/1.1 200"), "BrokenAnswer: the answer broke off"),
        (Reply(raw=b"SSH-2.0-OpenSSH_9\r\n\r\n"), "BrokenAnswer: the answer is not HTTP"),
    ],
)
def test_every_wrong_answer_is_an_error(ours: Bundle, ca: TestCA, reply: Reply, words: str) -> None:
    """Refused, broken off or no HTTP: one error with time, place and text, and it goes on asking."""
    with Front(Once(3, reply), ours) as front:
        subject = canary(front, ca)
        subject.start()
        asked(front, 10)
        report = subject.stop()
    assert not report.clean
    assert report.errors == 1
    assert report.requests > 6
    (example,) = report.examples
    assert (example.balancer, example.path) == ("lb1", PATH)
    assert example.text.startswith(words)
    assert report.started <= example.at <= report.stopped
    assert report.retried == 0


def test_dropped_connections_are_errors(ours: Bundle, ca: TestCA) -> None:
    """A server that drops every request after the first two: errors are counted and the first are shown."""
    requests = Once(0, Reply(), DROP)
    with Front(lambda each: requests(each) if each.path == PATH else Reply(), ours) as front:
        subject = canary(front, ca, keep=0, fresh=2)
        subject.start()
        asked(front, 40)
        report = subject.stop()
    assert report.armed
    assert report.errors >= 30
    assert len(report.examples) == MOST_EXAMPLES
    assert report.examples[0].text == "NoAnswer: closed without an answer"
    assert report.longest_gap_s > 0


def test_a_kept_connection_dropped_twice_is_one_error(ours: Bundle, ca: TestCA) -> None:
    """The request may be sent again once; dropped again it is lost."""
    count = iter(range(10**9))
    with Front(lambda _asked: DROP if next(count) in {3, 4} else Reply(), ours) as front:
        subject = canary(front, ca)
        subject.start()
        asked(front, 9)
        report = subject.stop()
    assert (report.errors, report.retried) == (1, 1)


def test_a_retry_that_is_answered_is_no_error(ours: Bundle, ca: TestCA) -> None:
    """Dropped once before any byte on a kept connection: repaired, and counted apart."""
    with Front(Once(3, DROP), ours) as front:
        subject = canary(front, ca)
        subject.start()
        asked(front, 8)
        report = subject.stop()
    assert report.clean
    assert (report.retried, report.connections) == (1, 2)


def test_announced_closes_are_polite(ours: Bundle, ca: TestCA) -> None:
    """``Connection: close`` is honoured: a new connection, no error, no retry."""
    with Front(Once(3, Reply(close=True)), ours) as front:
        subject = canary(front, ca)
        subject.start()
        asked(front, 8)
        report = subject.stop()
    assert report.clean
    assert (report.announced_closes, report.retried, report.connections) == (1, 0, 2)


def test_idle_closes_are_polite(ours: Bundle, ca: TestCA) -> None:
    """A connection closed between two requests costs nothing but a handshake."""
    with Front(Once(3, Reply(vanish=True)), ours) as front:
        subject = canary(front, ca, interval_s=0.2)
        subject.start()
        asked(front, 6)
        report = subject.stop()
    assert report.clean
    assert report.idle_closes + report.retried == 1
    assert report.connections == 2


def test_it_counts_from_the_first_success(ours: Bundle, ca: TestCA) -> None:
    """Started before the path exists: 404 until it is published costs nothing; then it arms."""
    published = threading.Event()
    with Front(lambda _asked: Reply() if published.is_set() else Reply(404), ours) as front:
        subject = canary(front, ca)
        subject.start()
        asked(front, 5)
        assert not subject.wait_armed(0)
        published.set()
        assert subject.wait_armed(PATIENCE_S)
        report = subject.stop()
    assert report.clean


def test_it_waits_for_a_listener_that_does_not_exist_yet(ours: Bundle, ca: TestCA) -> None:
    """No listener at all, then one: armed, without errors."""
    with Front(always(Reply()), ours) as first:
        port = first.port
    listener = Listener(balancer="lb1", address="127.0.0.1", https_port=port)
    subject = Canary([listener], HOST, ca.root_pem.decode(), (PATH,), interval_s=0.01)
    with subject:
        assert not subject.wait_armed(0.05)
        with Front(always(Reply()), ours, port=port):
            assert subject.wait_armed(PATIENCE_S)
            report = subject.stop()
    assert report.clean
    assert subject.stop() == report, "asked again, the same report"


def test_nothing_measured_is_not_clean(ours: Bundle, ca: TestCA) -> None:
    """A canary that never had an answer proves nothing."""
    with Front(always(Reply(503)), ours) as front, canary(front, ca) as subject:
        asked(front, 3)
    report = subject.stop()
    assert (report.armed, report.clean, report.requests, report.errors) == (False, False, 0, 0)
    assert (report.p50_ms, report.p99_ms, report.longest_gap_s) == (0, 0, 0)


def test_an_untrusted_certificate_is_an_error(ours: Bundle, ca: TestCA) -> None:
    """A switch to a stranger's certificate is noticed by the next handshake."""
    with Front(always(Reply()), ours) as front:
        subject = canary(front, ca, keep=0, fresh=1)
        subject.start()
        assert subject.wait_armed(PATIENCE_S)
        front.serve(TestCA.self_signed([HOST], key="ec256"))
        for _ in range(3):
            assert front.seen.refused.acquire(timeout=PATIENCE_S)
        report = subject.stop()
    assert report.errors > 0
    assert "CERTIFICATE_VERIFY_FAILED" in report.examples[0].text


def test_silence_is_an_error_in_time(ours: Bundle, ca: TestCA) -> None:
    """A server that holds a request too long: an error that says how long it waited, and a gap as long."""
    gate = threading.Event()
    with Front(Once(2, Reply(gate=gate)), ours) as front:
        subject = canary(front, ca, timeout_s=0.2)
        subject.start()
        asked(front, 6)
        report = subject.stop()
        gate.set()
    assert report.errors == 1
    assert report.examples[0].text == "no answer within 0.2 s"
    assert report.longest_gap_s >= 0.2


def test_long_polls_are_held_and_counted(ours: Bundle, ca: TestCA) -> None:
    """A late answer counts when it comes, and one that is still awaited at the end is no error; neither slows p99."""
    gate, polls = threading.Event(), threading.Semaphore(0)

    def respond(each: Asked) -> Reply:
        if each.path != "/poll":
            return Reply()
        polls.release()
        return Reply(gate=gate)

    with Front(respond, ours) as front:
        subject = canary(front, ca, long_poll="/poll")
        subject.start()
        assert polls.acquire(timeout=PATIENCE_S)
        asked(front, 3)
        gate.set()
        assert polls.acquire(timeout=PATIENCE_S)
        gate.clear()
        assert polls.acquire(timeout=PATIENCE_S)
        report = subject.stop()
        gate.set()
    assert report.clean
    assert report.long_polls >= 1
    assert report.held == 1
    assert report.per_path["/poll"] == report.long_polls


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["chunked", "continue", "no content", "until the end", "1.0"],
)
def test_every_form_of_body_is_read(ours: Bundle, ca: TestCA, head: bytes) -> None:
    """Chunks with trailers, an interim answer, no body, a body that the end ends, and HTTP/1.0."""
    with Front(always(Reply(raw=head)), ours) as front:
        subject = canary(front, ca, accepted=frozenset({200, 204}))
        subject.start()
        asked(front, 4)
        report = subject.stop()
    assert report.clean
    assert report.requests >= 2


def test_misuse_is_told_at_once(ca: TestCA) -> None:
    """No path, no host, not started, started twice."""
    with pytest.raises(ValueError, match="path"):
        Canary([], HOST, None, ())
    with pytest.raises(CertificateProblem):
        Canary([], "no host", None, (PATH,))
    idle = Canary([], HOST, None, (PATH,))
    with pytest.raises(RuntimeError, match="never started"):
        idle.stop()
    idle.start()
    with pytest.raises(RuntimeError, match="runs once"):
        idle.start()
    assert not idle.stop().clean


def test_a_defect_of_its_own_is_not_hidden(ours: Bundle, ca: TestCA) -> None:
    """A path that cannot be sent at all ends the canary, and stop says so."""
    with Front(always(Reply()), ours) as front:
        subject = canary(front, ca, "/ümlaut")
        subject.start()
        for thread in threading.enumerate():
            if thread.name == "canary":
                thread.join(PATIENCE_S)
        with pytest.raises(RuntimeError, match="itself failed") as caught:
            subject.stop()
    assert isinstance(caught.value.__cause__, UnicodeEncodeError)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def tally(act: Callable[[Tally], None], end_s: float = 0) -> CanaryReport:
    """The report after some events."""
    subject = Tally()
    act(subject)
    return subject.report(started=NOW, stopped=NOW, now_s=end_s)


def test_gaps_are_counted_per_balancer_and_to_the_end() -> None:
    """One balancer's silence is not covered by another's answers, and the last silence counts."""

    def act(subject: Tally) -> None:
        for second in range(10):
            subject.success("lb1", PATH, now_s=second, took_ms=1)
        subject.success("lb2", PATH, now_s=0, took_ms=1)
        subject.success("lb2", PATH, now_s=7, took_ms=1)

    assert tally(act, 9).longest_gap_s == 7
    assert tally(act, 30).longest_gap_s == 23


def test_percentiles() -> None:
    """The middle and the slowest hundredth."""

    def act(subject: Tally) -> None:
        for number in range(100):
            subject.success("lb1", PATH, now_s=0, took_ms=number)

    report = tally(act)
    assert (report.p50_ms, report.p99_ms) == (50, 99)
