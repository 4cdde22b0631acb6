"""Renewal: when, and to which certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lbsync.testing.ca import TestCA
from lbsync_certs import CertificateInfo, CertificateProblem
from lbsync_certs.renewal import is_due, remaining, select, successor

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
