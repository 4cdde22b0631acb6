"""Which certificates may be retired: candidates, the grace period, and the one that is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from lbsync.errors import UnsafeChange
from lbsync.rotation.retiring import Retiring, candidates, choose, told
from lbsync.testing.farm_facts import NOW, leaf_info
from lbsync_certs import Fingerprint
from tests.rotation.ground import NEW, OLD, balancer, bind, ground, server, uses

STRANGER = Fingerprint("c" * 64)
OTHERS = leaf_info(8, names=("vpn.contoso.test",), days_left=5)
NEXT = leaf_info(9, days_left=400)


def only(found: tuple[Retiring, ...]) -> Retiring:
    """The one."""
    (one,) = found
    return one


def test_the_one_of_before_may_go_everywhere() -> None:
    """In both stores and on the balancer; nothing else is a candidate, the one served least of all."""
    one = only(candidates(ground()))
    assert (one.found.info, one.found.servers, one.found.balancers) == (OLD, ("EX01", "EX02"), ("lb1",))
    assert one.fits
    assert one.due == NOW - timedelta(days=10)
    assert one.since == "not before 2026-05-22: it was served until 2026-04-22 ([certificate] keep_days = 30)"


def test_what_has_nothing_to_do_with_the_names_is_left_alone() -> None:
    """Another name's certificate and the next renewal are nobody's candidates; one of ours on a balancer is, whoever has it."""
    where = ground(
        server("EX01", OTHERS, NEXT),
        server("EX02"),
        balancers=(balancer().model_copy(update={"installed": (NEW.fingerprint, STRANGER)}),),
    )
    one = only(candidates(where))
    assert (one.found.name, one.found.info, one.found.thumbprint) == (STRANGER, None, None)
    assert told(one.found) == STRANGER


def test_the_one_that_ends_first_comes_first() -> None:
    """Older ones before younger ones, each once though many hold it."""
    older = leaf_info(3, days_left=-30)
    where = ground(server("EX01", OLD, older), server("EX02", older, OLD))
    assert [one.found.info for one in candidates(where)] == [older, OLD]


def test_one_that_is_used_is_listed_with_the_reason() -> None:
    """A binding keeps it, and says so."""
    one = only(candidates(ground(bind(server("EX01", OLD), OLD), server("EX02", OLD))))
    assert not one.fits
    assert [reason for reason in one.refused if "binds it" in reason]


def test_the_grace_period_is_counted_from_the_ledger() -> None:
    """Thirty days after it ceased to be served, and not a second before."""
    ends = NOW - timedelta(days=30)
    at_its_end = only(candidates(ground(until={OLD.fingerprint: ends})))
    before = only(candidates(ground(until={OLD.fingerprint: ends + timedelta(seconds=1)})))
    assert (at_its_end.fits, before.fits) == (True, False)
    assert before.waits == before.since
    assert "not before 2026-06-01" in before.waits


def test_where_the_ledger_does_not_know_its_own_end_counts() -> None:
    """And that is said, whether it is over or not."""
    waiting = only(candidates(ground(until={})))
    assert "the ledger does not know until when it was served, so its own end 2026-06-21 counts" in waiting.waits
    assert waiting.due == OLD.not_after + timedelta(days=30)
    over = only(candidates(ground(until={}, now=OLD.not_after + timedelta(days=30))))
    assert over.fits
    assert "its own end" in over.since


def test_one_that_only_a_balancer_holds_has_no_end_to_count_from() -> None:
    """It is named to be removed, by its SHA-256; a renewals file that holds it tells its end."""
    bare = balancer().model_copy(update={"installed": (NEW.fingerprint, STRANGER)})
    where = ground(server("EX01"), server("EX02"), balancers=(bare,))
    one = only(candidates(where))
    assert (one.due, one.fits) == (None, False)
    assert "--thumbprint and --force" in one.waits
    assert choose(where, named=None) == ()
    assert only(choose(where, named=STRANGER.upper(), force=True)).found == one.found
    known = leaf_info(3, days_left=-60).model_copy(update={"fingerprint": STRANGER})
    filed = only(candidates(replace(where, files={STRANGER: (known, ("/drop/mail.pfx",))})))
    assert (filed.found.info, filed.found.files, filed.fits) == (known, ("/drop/mail.pfx",), True)


def test_unnamed_everything_goes_that_nothing_speaks_against() -> None:
    """One that waits or is used stays, and the others go."""
    older = leaf_info(3, days_left=-60)
    where = ground(server("EX01", OLD, older), server("EX02", OLD), until={}, told=uses(rows=()))
    assert choose(where, named=None) == ()
    spared = ground(server("EX01", OLD), server("EX02", OLD))
    assert [one.found.info for one in choose(spared, named=None)] == [OLD]


def test_force_overrules_the_grace_period_and_nothing_else() -> None:
    """The one named goes early; never while it is used, and never the one that may be next."""
    early = ground(until={OLD.fingerprint: NOW})
    with pytest.raises(UnsafeChange, match="must not be removed now") as caught:
        choose(early, named=OLD.thumbprint.lower())
    assert "not before 2026-07-01" in caught.value.reasons[0]
    assert "--force" in caught.value.remedy
    spelt = f"\u200e{OLD.thumbprint[:20]} {OLD.thumbprint[20:]}"
    assert only(choose(early, named=spelt, force=True)).found.info == OLD
    used = ground(bind(server("EX01", OLD), OLD), server("EX02", OLD), until={})
    with pytest.raises(UnsafeChange) as caught:
        choose(used, named=OLD.thumbprint, force=True)
    assert [reason for reason in caught.value.reasons if "binds it" in reason]
    assert "--force" not in caught.value.remedy
    later = ground(server("EX01", NEXT), server("EX02"))
    with pytest.raises(UnsafeChange) as caught:
        choose(later, named=NEXT.thumbprint, force=True)
    assert [reason for reason in caught.value.reasons if "it may be the next one" in reason]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("mail.contoso.test", "is not a thumbprint"),
        ("AB" * 25, "is not a thumbprint"),
        ("AB" * 20, "no server and no balancer has the certificate"),
        (NEW.thumbprint, "is the one that clients are served"),
        (NEW.fingerprint, "is the one that clients are served"),
        (OTHERS.thumbprint, "covers none of the published names"),
    ],
)
def test_what_cannot_be_named(named: str, words: str) -> None:
    """No thumbprint, nobody's, the one served, another name's: refused, and nothing is changed."""
    where = ground(server("EX01", OLD, OTHERS), server("EX02", OLD))
    with pytest.raises(UnsafeChange, match=words) as caught:
        choose(where, named=named, force=True)
    assert caught.value.where == "--thumbprint"
    assert caught.value.state == "nothing was changed"
    assert caught.value.remedy
