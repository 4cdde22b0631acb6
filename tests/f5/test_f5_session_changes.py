"""What a session reads and changes on a simulated BIG-IP: whole transactions, and uploads of which none is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from lbsync.errors import Rejected, Unreachable
from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.faults import Fault
from lbsync_f5 import things
from lbsync_f5.session import Session
from tests.f5.sessions import make_pool, make_pools, requests_to

# --- transactions -------------------------------------------------------------------------------------------------------


def test_a_transaction_happens_whole(device: BigIp, session: Session) -> None:
    """And what comes after it is outside of it."""

    def change() -> None:
        make_pool(session, "a")
        make_pool(session, "b")
        assert device.paths(things.POOL) == ()

    session.atomically(change)
    assert device.paths(things.POOL) == ("/Common/a", "/Common/b")
    make_pool(session, "c")
    assert len(device.paths(things.POOL)) == 3


@pytest.mark.parametrize("error", [RuntimeError("ours"), KeyboardInterrupt(), Rejected("theirs")], ids=repr)
def test_a_transaction_that_fails_inside_is_forgotten(device: BigIp, session: Session, error: BaseException) -> None:
    """Whatever it was; nothing of it happens, and nothing after it is taken for a part of it."""

    def change() -> None:
        make_pool(session, "a")
        raise error

    with pytest.raises(type(error)):
        session.atomically(change)
    assert (device.open_transactions, device.paths(things.POOL)) == (0, ())
    make_pool(session, "b")
    assert device.paths(things.POOL) == ("/Common/b",)


def test_a_commit_that_is_refused_leaves_nothing(device: BigIp, session: Session) -> None:
    """The device's id behind its prefix is the code; the transaction is deleted, the SDK would leave it open."""
    make_pool(session, "a")

    def change() -> None:
        make_pool(session, "b")
        session.modify(things.POOL, "/Common/b", {"monitor": "/Common/no-such"})

    with pytest.raises(Rejected) as caught:
        session.atomically(change)
    assert "transaction failed:" in caught.value.message
    assert (device.open_transactions, device.paths(things.POOL)) == (0, ("/Common/a",))


def test_a_transaction_is_built_anew_where_its_connection_breaks(device: BigIp, session: Session) -> None:
    """Nothing has happened until the commit; no command is queued twice."""
    device.fault(None, None, Fault.DROP_AFTER)
    session.atomically(lambda: make_pools(session, "abc"))
    assert device.paths(things.POOL) == ("/Common/a", "/Common/b", "/Common/c")
    assert requests_to(device, "/mgmt/tm/transaction") == 2


def test_a_transaction_is_given_up_in_the_end(device: BigIp, session: Session) -> None:
    """After three tries, each deleted again."""
    device.fault(*[None, Fault.DROP_BEFORE, None] * 3)
    with pytest.raises(Unreachable):
        session.atomically(lambda: make_pool(session))
    assert (device.open_transactions, device.paths(things.POOL)) == (0, ())


def test_a_commit_is_never_sent_twice(device: BigIp, session: Session) -> None:
    """Its answer was lost: perhaps it was carried out, as here."""
    device.fault(None, None, Fault.DROP_AFTER)
    with pytest.raises(Unreachable) as caught:
        session.atomically(lambda: make_pool(session))
    assert "not known" in caught.value.state
    assert len([one for one in device.log if one.method == "PATCH"]) == 1
    assert device.paths(things.POOL) == ("/Common/p",)


def test_a_transaction_whose_time_is_over_is_an_error(device: BigIp, session: Session) -> None:
    """Nothing of it happens; the next one is its own."""
    device.transaction_timeout_s = -1.0
    with pytest.raises(Rejected, match="there is no transaction"):
        session.atomically(lambda: make_pool(session))
    # An object that is gone is no error; a transaction that is gone is, though both are answered 404.
    with pytest.raises(Rejected, match="there is no transaction"):
        session.atomically(lambda: session.delete(things.POOL, "/Common/p"))
    device.transaction_timeout_s = 120.0
    session.atomically(lambda: make_pool(session))
    assert device.paths(things.POOL) == ("/Common/p",)


# --- uploads ------------------------------------------------------------------------------------------------------------


def test_uploads_are_there_in_their_block_only(device: BigIp, session: Session) -> None:
    """By name, as ``sourcePath`` wants them; large ones in pieces."""
    with session.uploads({"a": b"x" * 1_200_000, "b": b"y"}) as sources:
        assert list(device.downloads) == ["a", "b"]
        assert sources == {name: f"file:/var/config/rest/downloads/{name}" for name in "ab"}
    assert device.downloads == ()
    assert requests_to(device, "/mgmt/shared/file-transfer/uploads/a") == 3


@pytest.mark.parametrize("error", [RuntimeError("ours"), KeyboardInterrupt(), Rejected("theirs")], ids=repr)
def test_uploads_go_where_their_block_fails(device: BigIp, session: Session, error: BaseException) -> None:
    """And what went wrong is told, not the tidying."""

    def use() -> None:
        with session.uploads({"a": b"x"}):
            assert device.downloads == ("a",)
            raise error

    with pytest.raises(type(error)):
        use()
    assert device.downloads == ()


def test_uploads_go_where_one_of_them_fails(device: BigIp, session: Session) -> None:
    """Those before it, too."""
    device.fault(None, *[Fault.DROP_AFTER] * 3)
    with pytest.raises(Unreachable), session.uploads({"a": b"x", "b": b"y"}):
        pytest.fail("nothing was uploaded whole")
    assert device.downloads == ()


def test_what_went_wrong_first_is_told(device: BigIp, session: Session) -> None:
    """Also where the tidying fails, which the next try makes good."""

    def use() -> None:
        with session.uploads({"a": b"x"}):
            device.fault(*[Fault.DROP_BEFORE] * 3)
            raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        use()
    assert device.downloads == ("a",)
    session.remove_uploads(["a"])
    session.remove_uploads([])


# --- reading and changing -----------------------------------------------------------------------------------------------


def test_what_is_not_there_is_none_and_needs_no_removal(device: BigIp, session: Session) -> None:
    """404 is an answer where it is asked for."""
    assert session.get(things.POOL, "/Common/p") is None
    assert session.singleton("cm/no-such") is None
    assert session.members_stats("/Common/p") == {}
    session.delete(things.POOL, "/Common/p")
    session.cut("10.0.0.1", 80)
    with pytest.raises(Rejected) as caught:
        session.modify(things.POOL, "/Common/p", {"description": "x"})
    assert caught.value.code == "not_found"
    device.busy(0)


def test_what_is_there_already_has_a_code(session: Session) -> None:
    """So that whoever can live with it does."""
    make_pool(session)
    with pytest.raises(Rejected) as caught:
        make_pool(session)
    assert caught.value.code == "exists"


def test_a_policy_is_made_by_way_of_a_draft(device: BigIp, session: Session) -> None:
    """One that a killed run left gives way."""
    body: dict[str, Any] = {"strategy": "/Common/first-match", "rules": []}
    session.create(things.POLICY, "/Common/Drafts/p", body)
    session.publish_policy("/Common/p", body)
    assert device.paths(things.POLICY) == ("/Common/p",)


def test_a_transaction_is_open_no_longer_than_needed(device: BigIp, session: Session) -> None:
    """The device has room for few of them."""
    session.atomically(lambda: _count(session, device))
    assert device.open_transactions == 0


def _count(session: Session, device: BigIp) -> None:
    make_pool(session)
    assert device.open_transactions == 1
