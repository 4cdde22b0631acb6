"""What `openssl speed -mr` says, of each version that says it differently; and hosts that cannot say it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lbsync.costs import AGREE, BULK, SIGN, VERIFY, Entry, Number, Unknown
from lbsync.errors import Rejected, Unreachable
from lbsync.kit import crypto_speed
from lbsync.kit.crypto_speed import measure_speed, rates
from lbsync.kit.host import Completed
from lbsync.kit.host_local import LocalHost

# Captured of OpenSSL 3.0; 1.1.1 writes the same lines (apps/speed.c), from 3.2 on RSA has four rates.
OUTPUTS = {
    "rsa2048": "+F2:2:2048:1236.734694:43318.750000\n",
    "ecdsap256": "+F4:3:256:35852.222222:12660.824742\n",
    "ecdhp256": "+F5:3:256:17233.333333:0.000058\n",
    "aes-256-gcm": "+H:16384\n+F:25:AES-256-GCM:3310547661.86\n",
}


@pytest.mark.parametrize(
    ("name", "output", "told"),
    [
        ("rsa2048", OUTPUTS["rsa2048"], (1236.734694, 43318.75)),
        ("rsa2048", "+F2:4:2048:1500.0:50000.0:49000.0:1490.0\n", (1500.0, 50000.0)),
        ("ecdsap256", OUTPUTS["ecdsap256"], (35852.222222, 12660.824742)),
        ("ecdhp256", OUTPUTS["ecdhp256"], (17233.333333,)),
        ("aes-256-gcm", OUTPUTS["aes-256-gcm"], (3310547661.86,)),
        ("aes-256-gcm", "+H:16384\n+F:22:aes-256-gcm:2000000.00\n", (2000000.0,)),
        ("rsa2048", "Forked child 0\n" + OUTPUTS["ecdsap256"], None),
        ("rsa3072", OUTPUTS["rsa2048"], None),
        ("rsa2048", "+F2:2:2048:0.000000:43318.750000\n", None),
        ("rsa2048", "+F2:2:2048\n", None),
        ("aes-256-gcm", "+F:25:AES-256-GCM:0.00\n", None),
        ("aes-256-gcm", "", None),
    ],
)
def test_the_machine_readable_output_is_read(name: str, output: str, told: tuple[float, ...] | None) -> None:
    """Rates as they stand; a test that is not there, or counted nothing, is none."""
    assert rates(name, output) == told


class Spoken(LocalHost):
    """A host whose programs answer as a table says."""

    name = "root@lb1"

    def __init__(self, answer: Completed | Exception | None = None) -> None:
        self.answer = answer
        self.asked: list[Sequence[str]] = []

    def run(self, argv: Sequence[str], *, input: bytes | None = None, timeout_s: float = 60.0) -> Completed:  # noqa: A002
        """Remember and answer."""
        assert input is None
        assert timeout_s < 60
        self.asked.append(argv)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or Completed(0, OUTPUTS[argv[-1]].encode(), b"")


def reasons(entries: Sequence[Entry]) -> set[str]:
    """Why each is unknown; all of them are."""
    return {entry.why for entry in entries if isinstance(entry, Unknown)}


def test_each_kind_of_key_is_measured_for_what_it_is_used_for() -> None:
    """The published kind signs, the servers' kinds are checked; niced, a second each, one after the other."""
    host = Spoken()
    found = measure_speed(host, "rsa2048", ("ecdsap256",))
    assert [(one.id, one.subject) for one in found] == [
        (SIGN, "rsa2048"), (VERIFY, "ecdsap256"), (AGREE, "ecdhp256"), (BULK, "aes-256-gcm"),
    ]  # fmt: skip
    assert [(one.median, one.unit, one.n) for one in found if isinstance(one, Number)][1::2] == [
        (12660.824742, "op/s", crypto_speed.ROUNDS), (3310.54766186, "MB/s", crypto_speed.ROUNDS),
    ]  # fmt: skip
    assert {tuple(argv[:8]) for argv in host.asked} == {
        ("nice", "-n", "19", "openssl", "speed", "-mr", "-seconds", "1")
    }


@pytest.mark.parametrize(
    ("answer", "told", "runs"),
    [
        (Completed(127, b"", b"nice: 'openssl': No such file or directory"), "is not on root@lb1", 1),
        (Rejected("cannot run nice: no such command", where="root@lb1", code="ENOENT"), "is not on root@lb1", 1),
        (Completed(1, b"", b"+DT:x\nspeed: Option unknown option -seconds\n"), "unknown option -seconds; it takes", 3),
        (Completed(0, b"nonsense", b""), "nothing that can be read", 3),
        (Rejected("cannot run nice: it is broken", where="root@lb1", code="EIO"), "it is broken", 3),
        (Unreachable("nice did not end within 30 s", where="root@lb1"), "did not end", 3),
    ],
)
def test_what_cannot_be_measured_says_why(answer: Completed | Exception, told: str, runs: int) -> None:
    """No program is asked for once; anything else is told for the test it happened in."""
    host = Spoken(answer)
    found = measure_speed(host, "rsa2048", ("rsa2048",))
    assert len(host.asked) == runs
    assert len(found) == 4
    assert all(told in why for why in reasons(found))
    assert len([one for one in found if isinstance(one, Unknown)]) == 4


def test_kinds_that_openssl_has_no_test_for_are_unknown() -> None:
    """The rest is measured."""
    found = measure_speed(Spoken(), None, ())
    assert [one.id for one in found if isinstance(one, Unknown)] == [SIGN, VERIFY]
    assert [one.id for one in found if isinstance(one, Number)] == [AGREE, BULK]
