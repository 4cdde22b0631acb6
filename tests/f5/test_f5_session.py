"""The session to a BIG-IP, over real HTTPS to a simulated one: its tokens, what it waits for, when it gives up."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from lbsync.errors import Denied, Rejected, Unreachable
from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.faults import Fault
from lbsync.testing.ca import TestCA
from lbsync_f5 import things
from lbsync_f5.session import Session
from lbsync_f5.session.session import again
from tests.f5.sessions import BRIEF, LOGIN, address_of, make_pool, requests_to
from tests.lab.bigip.conftest import StandIn

# --- tokens -------------------------------------------------------------------------------------------------------------


def test_a_token_is_given_back(device: BigIp) -> None:
    """One login, one token, none left; closing twice is once."""
    session = Session(address_of(device))
    assert device.tokens_of[device.user] == 1
    assert session.version == "14.1.2.1"
    session.close()
    session.close()
    assert device.tokens_of[device.user] == 0
    assert requests_to(device, LOGIN) == 1


def test_a_token_is_given_back_where_the_sdk_cannot_start(device: BigIp) -> None:
    """The login was good, and then the connection breaks."""
    device.fault(*[Fault.DROP_BEFORE] * 3)
    with pytest.raises(Unreachable) as caught:
        Session(address_of(device))
    assert caught.value.code == "broken"
    assert device.tokens_of[device.user] == 0


def test_a_device_that_is_gone_keeps_the_token_and_nobody_waits(ca: TestCA, tmp_path: Path) -> None:
    """It expires there by itself; closing is no error."""
    with BigIp(tmp_path, ca=ca, plane=StandIn()) as device:
        session = Session(address_of(device))
    session.close()


def test_an_old_token_is_renewed_once(device: BigIp, session: Session) -> None:
    """The request is sent again with the new one, and so are those after it."""
    device.expire_tokens()
    assert session.get(things.POOL, "/Common/p") is None
    make_pool(session)
    assert session.get(things.POOL, "/Common/p") is not None
    assert requests_to(device, LOGIN) == 2
    assert [one.status for one in device.log].count(401) == 1


def test_a_token_may_grow_old_again_and_again(device: BigIp, session: Session) -> None:
    """By way of the SDK and of its bare session; in a transaction, too."""

    def change() -> None:
        device.expire_tokens()
        session.modify(things.POOL, "/Common/p", {"description": "new"})
        device.expire_tokens()

    device.expire_tokens()
    make_pool(session)
    session.atomically(change)
    device.expire_tokens()
    assert [one["description"] for one in session.collection(things.POOL)] == ["new"]


def test_a_renewal_that_is_refused_is_not_tried_again(device: BigIp, session: Session) -> None:
    """The password was changed under us: accounts lock out."""
    device.expire_tokens()
    device.passwords[device.user] = "something else now"
    with pytest.raises(Denied) as caught:
        session.get(things.POOL, "/Common/p")
    assert caught.value.code == "unauthorized"
    assert requests_to(device, LOGIN) == 2


def test_a_wrong_password_is_tried_once(device: BigIp) -> None:
    """And told with the settings it stands in."""
    with pytest.raises(Denied) as caught:
        Session(address_of(device, password=SecretStr("not the password")))
    assert "correct user, password or login_provider" in caught.value.remedy
    assert requests_to(device, LOGIN) == 1
    assert "not the password" not in str(caught.value)


def test_an_account_with_too_many_tokens_is_told_so(device: BigIp) -> None:
    """With what to do about them; no token of others is touched."""
    device.token_limit = 1
    first = Session(address_of(device))
    with pytest.raises(Rejected) as caught:
        Session(address_of(device))
    assert caught.value.code == "token_limit"
    assert "give lbsync an account of its own" in caught.value.remedy
    first.close()
    Session(address_of(device)).close()


# --- patience -----------------------------------------------------------------------------------------------------------


def test_a_busy_device_is_waited_for(device: BigIp, session: Session) -> None:
    """503 means that nothing was done: the request is sent again, whatever it is."""
    device.busy(2)
    make_pool(session)
    device.restarting(1)
    assert len(session.collection(things.POOL)) == 1
    assert requests_to(device, "/mgmt/tm/ltm/pool") == 3


def test_a_restarting_device_is_waited_for_at_the_login(device: BigIp) -> None:
    """Its page is no answer to a login."""
    device.restarting(2)
    Session(address_of(device)).close()
    assert requests_to(device, LOGIN) == 3


def test_patience_ends(device: BigIp) -> None:
    """Then it is unreachable, in its own words."""
    session = Session(address_of(device, BRIEF))
    device.busy(1)
    with pytest.raises(Unreachable, match="There is an active asynchronous task executing") as caught:
        make_pool(session)
    assert caught.value.code == "busy"
    device.restarting(1)
    with pytest.raises(Unreachable, match="an HTML page"):
        session.save()
    session.close()


def test_a_connection_that_breaks_is_tried_again_where_twice_is_once(device: BigIp, session: Session) -> None:
    """Reading, setting, removing; whether or not the first one was heard."""
    make_pool(session)
    for fault in (Fault.DROP_BEFORE, Fault.DROP_AFTER):
        device.fault(fault)
        session.modify(things.POOL, "/Common/p", {"description": fault.value})
        device.fault(fault)
        assert (session.get(things.POOL, "/Common/p") or {})["description"] == fault.value
        device.fault(fault)
        session.save()
    device.fault(Fault.DROP_AFTER)
    session.delete(things.POOL, "/Common/p")
    assert device.paths(things.POOL) == ()


def test_what_was_perhaps_made_is_not_made_again(device: BigIp, session: Session) -> None:
    """It is told that nobody knows, and the next look tells."""
    device.fault(Fault.DROP_AFTER)
    with pytest.raises(Unreachable) as caught:
        make_pool(session)
    assert caught.value.state == "it is not known whether the device did what was asked; looking again tells"
    assert requests_to(device, "/mgmt/tm/ltm/pool") == 1
    assert device.paths(things.POOL) == ("/Common/p",)


def test_what_may_be_repeated_whole_is_given_three_tries() -> None:
    """Not more, and only while the connection breaks."""
    tried = list[int]()

    def act(fails: int, error: Exception) -> None:
        tried.append(fails)
        if len(tried) <= fails:
            raise error

    again(lambda: act(2, Unreachable("x")))
    assert len(tried) == 3
    for fails, error, tries in ((3, Unreachable("x"), 3), (1, Rejected("x"), 1)):
        tried.clear()
        with pytest.raises(type(error)):
            again(lambda one=fails, other=error: act(one, other))  # type: ignore[misc]  # bound at once
        assert len(tried) == tries


def test_one_connection_carries_a_session(device: BigIp, session: Session) -> None:
    """Login, reading, changing, uploading: no handshake after the first."""
    make_pool(session)
    session.collection(things.POOL)
    session.atomically(lambda: session.modify(things.POOL, "/Common/p", {"description": "x"}))
    with session.uploads({"a": b"x"}):
        session.save()
    assert device.accepted == 1
