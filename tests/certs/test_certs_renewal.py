"""Renewal: when, and to which certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lbsync.testing.ca import TestCA
from lbsync_certs import CertificateInfo, CertificateProblem
from lbsync_certs.problem import ProblemCode
from lbsync_certs.renewal import hindrances, is_due, remaining, select, strength, successor

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BASE = TestCA.new(intermediate=False).issue(["mail.test", "autodiscover.test"], key="ec256").info


def info(number: int, **changes: object) -> CertificateInfo:
    """A certificate of the same names, valid from NOW - 10 days to NOW + 10 days unless told otherwise."""
    mark = {"fingerprint": f"{number:064x}", "thumbprint": f"{number:040X}"}
    return BASE.model_copy(update={"not_before": NOW - 10 * DAY, "not_after": NOW + 10 * DAY, **mark, **changes})


CURRENT = info(1)
NEXT = info(2, not_after=NOW + 365 * DAY)


def test_due_within_the_window_and_after() -> None:
    """The edge of the window counts as due."""
    assert remaining(CURRENT, NOW) == 10 * DAY
    assert not is_due(CURRENT, now=NOW, window_days=9.9)
    assert is_due(CURRENT, now=NOW, window_days=10)
    assert is_due(CURRENT, now=NOW)
    assert is_due(CURRENT, now=NOW + 11 * DAY, window_days=0)


@pytest.mark.parametrize(
    "unfit",
    [
        info(1, not_after=NOW + 365 * DAY),
        info(3, not_after=NOW + 10 * DAY),
        info(3, not_before=NOW + DAY, not_after=NOW + 365 * DAY),
        info(3, not_after=NOW + 365 * DAY, server_auth=False),
        info(3, not_after=NOW + 365 * DAY, self_signed=True),
        info(3, not_after=NOW + 365 * DAY, names=("mail.test",)),
    ],
    ids=["itself", "no longer", "not yet valid", "not for servers", "self-signed", "a name less"],
)
def test_what_does_not_follow(unfit: CertificateInfo) -> None:
    """A worse certificate is never the successor, not even as the only candidate."""
    assert successor(CURRENT, [unfit], now=NOW) is None
    assert successor(CURRENT, [unfit, NEXT], now=NOW) == NEXT


def test_the_one_that_ends_last_follows() -> None:
    """Several of one subject: the longest, then the youngest; in any order."""
    younger = info(3, not_before=NOW - DAY, not_after=NOW + 365 * DAY)
    for pool in ([CURRENT, NEXT, younger], [younger, NEXT, CURRENT]):
        assert successor(CURRENT, pool, now=NOW) == younger
    assert successor(CURRENT, [], now=NOW) is None


def test_wildcards_and_more_names_follow_too() -> None:
    """Covering every old name is enough."""
    wide = info(3, not_after=NOW + 365 * DAY, names=("mail.test", "autodiscover.test", "extra.test"))
    assert successor(CURRENT, [wide], now=NOW) == wide


def test_self_signed_follows_self_signed() -> None:
    """Where the farm lives with self-signed certificates, a new one of that kind will do."""
    following = NEXT.model_copy(update={"self_signed": True})
    assert successor(CURRENT.model_copy(update={"self_signed": True}), [following], now=NOW) == following


def test_selection_is_by_thumbprint() -> None:
    """However it was typed; and a thumbprint nobody has is a problem that repeats it."""
    assert select([CURRENT, NEXT], f" {NEXT.thumbprint.lower()} ") == NEXT
    with pytest.raises(CertificateProblem, match="F" * 40) as caught:
        select([CURRENT, NEXT], "f" * 40)
    assert caught.value.code == "no_certificate"


@pytest.mark.parametrize(
    ("candidate", "found"),
    [
        (info(1), {ProblemCode.SAME: "error"}),
        (info(3, not_after=NOW + 10 * DAY), {ProblemCode.NOT_LATER: "warning"}),
        (info(3, not_after=NOW - DAY), {ProblemCode.EXPIRED: "error"}),
        (info(3, not_before=NOW + DAY, not_after=NOW + 365 * DAY), {ProblemCode.NOT_YET_VALID: "error"}),
        (info(3, not_after=NOW + 365 * DAY, key_algorithm="rsa", key_bits=2048), {ProblemCode.WEAKER_KEY: "warning"}),
        (
            info(3, not_after=NOW + 365 * DAY, key_algorithm="rsa", key_bits=1024),
            {ProblemCode.WEAK_KEY: "error", ProblemCode.WEAKER_KEY: "warning"},
        ),
        (info(3, not_after=NOW + 365 * DAY, names=("mail.test",)), {ProblemCode.NAME_MISSING: "error"}),
        (NEXT, {}),
    ],
    ids=["itself", "no later", "ended", "tomorrow", "weaker", "too weak", "a name less", "the next"],
)
def test_everything_that_hinders_is_told_with_its_weight(candidate: CertificateInfo, found: dict[str, str]) -> None:
    """What clients would refuse is an error, what a person may have reasons for a warning."""
    assert {one.code: one.severity for one in hindrances(CURRENT, candidate, now=NOW)} == found


def test_a_certificate_of_the_next_minutes_is_a_matter_of_clocks() -> None:
    """Told so, and refused all the same."""
    (soon,) = hindrances(CURRENT, info(3, not_before=NOW + DAY / 48, not_after=NOW + 365 * DAY), now=NOW)
    (later,) = hindrances(CURRENT, info(3, not_before=NOW + DAY, not_after=NOW + 365 * DAY), now=NOW)
    assert "clock" in soon.message
    assert "clock" not in later.message


@pytest.mark.parametrize(
    ("algorithm", "bits", "wanted"),
    [
        ("rsa", 1023, 0), ("rsa", 2048, 112), ("rsa", 4096, 128), ("rsa", 8192, 192), ("ec", 256, 128), ("ec", 384, 192),
        ("ed25519", 256, 128), ("ed448", 456, 224), ("1.2.3", 0, 0),
    ],
)  # fmt: skip
def test_keys_of_different_kinds_compare_by_their_strength(algorithm: str, bits: int, wanted: int) -> None:
    """An EC 256 key is no weaker than RSA 3072."""
    assert strength(info(1, key_algorithm=algorithm, key_bits=bits)) == wanted
