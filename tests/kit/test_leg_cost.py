"""TCP connections and handshakes timed: here, and by the same text in a python3 elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import cast

import pytest

from lbsync.costs import CONNECT_HTTP, CONNECT_HTTPS, HANDSHAKE, RESUMED, Number, Unknown
from lbsync.errors import Unreachable
from lbsync.kit.host import Completed, Host
from lbsync.kit.host_local import LocalHost
from lbsync.kit.leg_cost import Legs, measure_legs
from lbsync.target import Member
from lbsync.testing.ca import TestCA
from lbsync.testing.front import Front, Reply
from lbsync.testing.ports import free_port

NAME = "ex01.contoso.test"
STAGES = [CONNECT_HTTP, CONNECT_HTTPS, HANDSHAKE, RESUMED]


class Elsewhere:
    """Another host as far as running goes: a python3 of its own, or what ``answer`` says."""

    name = "root@lb1"

    def __init__(self, answer: Completed | Exception | None = None) -> None:
        self.answer = answer

    def run(self, argv: Sequence[str], *, input: bytes | None = None, timeout_s: float = 60.0) -> Completed:  # noqa: A002
        """For real, with this interpreter."""
        assert argv[:4] == ["python3", "-I", "-S", "-c"]
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return self.answer
        done = subprocess.run(
            [sys.executable, *argv[1:]], input=input, capture_output=True, timeout=timeout_s, check=False
        )
        return Completed(done.returncode, done.stdout, done.stderr)


@cache
def authority() -> TestCA:
    """The farm's CA."""
    return TestCA.new()


def measured(
    host: Host, front: Front, *, name: str = NAME, http_port: int | None = None, ca: TestCA | None = None
) -> Legs:
    """Of one server whose two ports are the same, by two tries."""
    member = Member(
        name="EX01", address="127.0.0.1", http_port=http_port or front.port, https_port=front.port, tls_name=name
    )
    return measure_legs(host, [member], (ca or authority()).root_pem.decode(), 5.0, tries=2)


@pytest.mark.parametrize("host", [LocalHost(), cast("Host", Elsewhere())], ids=["here", "elsewhere"])
def test_every_stage_is_timed(host: Host) -> None:
    """Connections, full handshakes and resumed ones, each as often as asked; and the kind of the server's key."""
    with Front(lambda _: Reply(), authority().issue([NAME], key="ec256")) as front:
        legs = measured(host, front)
    assert [(one.id, one.subject) for one in legs.entries] == [(stage, "EX01") for stage in STAGES]
    for one in legs.entries:
        assert isinstance(one, Number), one
        assert (one.unit, one.n) == ("ms", 2)
        assert 0 < one.least <= one.median <= one.most
    assert legs.keys == ("ecdsap256",)
    assert not front.seen.paths


def test_what_a_server_refuses_is_said() -> None:
    """A port that is closed, a name that is not the certificate's, a CA that is another's: the rest is timed all the same."""
    with Front(lambda _: Reply(), authority().issue([NAME], key="ec256")) as front:
        closed = measured(LocalHost(), front, http_port=free_port("127.0.0.1")).entries
        other_name = measured(LocalHost(), front, name="other.contoso.test")
        other_ca = measured(LocalHost(), front, ca=TestCA.new()).entries
    assert isinstance(closed[0], Unknown)
    assert closed[0].why == "Connection refused"
    assert all(isinstance(one, Number) for one in closed[1:])
    for entries in (other_name.entries, other_ca):
        assert [one.kind for one in entries] == ["number", "number", "unknown", "unknown"]
        assert isinstance(entries[2], Unknown)
        assert entries[2].why.startswith("the certificate is not accepted: ")
        assert isinstance(entries[3], Unknown)
        assert entries[3].why == "no full handshake succeeded"
    assert other_name.keys == ()


def test_no_tls_is_said() -> None:
    """The connection is timed once; what answers is no TLS."""
    with Front(lambda _: Reply()) as front:
        entries = measured(LocalHost(), front).entries
    assert [one.kind for one in entries] == ["number", "number", "unknown", "unknown"]
    assert isinstance(entries[2], Unknown)
    assert entries[2].why.startswith("no TLS: ")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Completed(1, b"", b"SyntaxError"), "python3 (3.7 or later, with ssl) did not run on root@lb1"),
        (Completed(0, b"{}", b""), "python3 (3.7 or later, with ssl) did not run on root@lb1"),
        (Unreachable("the connection was closed", where="root@lb1"), "the connection was closed"),
    ],
)
def test_a_host_that_cannot_measure_says_why(answer: Completed | Exception, why: str) -> None:
    """Each stage is unknown; the times are not taken through the tunnel instead."""
    with Front(lambda _: Reply()) as front:
        entries = measured(cast("Host", Elsewhere(answer)), front).entries
        assert front.seen.connections == 0
    assert [(one.id, one.why) for one in entries if isinstance(one, Unknown)] == [(stage, why) for stage in STAGES]
