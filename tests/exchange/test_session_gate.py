"""The gate of an account: one login proves it, one rejection shuts it."""

from __future__ import annotations

import threading

import pytest

from lbsync.errors import Denied
from lbsync.exchange.session import LoginGate, SessionSettings, open_pools


def rejection() -> Denied:
    """A rejected login of EX01."""
    return Denied("the login was rejected", where="EX01", remedy="check the password", code="login_rejected")


def test_logins_go_one_at_a_time_until_one_succeeds() -> None:
    """While the first login is under way nobody else begins one; afterwards all go side by side."""
    gate = LoginGate()
    inside, most = 0, 0
    lock = threading.Lock()
    together = threading.Barrier(4, timeout=10)
    first = threading.Event()

    def one() -> None:
        nonlocal inside, most
        with gate.login():
            with lock:
                inside += 1
                most = max(most, inside) if not first.is_set() else most
            if first.is_set():
                together.wait()  # breaks unless four are inside at once
            else:
                first.set()
                gate.prove()
            with lock:
                inside -= 1

    threads = [threading.Thread(target=one) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert most == 1
    assert gate.proven
    assert not together.broken


def test_who_waits_for_a_login_that_is_rejected_does_not_try() -> None:
    """A thread that waited behind a rejected login raises that rejection without a login of its own."""
    gate = LoginGate()
    tried: list[str] = []
    entered, waited = threading.Event(), threading.Event()
    errors: list[Denied] = []

    def first() -> None:
        with gate.login():
            entered.set()
            waited.wait(timeout=10)
            tried.append("first")
            gate.shut(rejection())

    def second() -> None:
        entered.wait(timeout=10)
        waited.set()
        try:
            with gate.login():
                tried.append("second")
        except Denied as error:
            errors.append(error)

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert tried == ["first"]
    assert [error.where for error in errors] == ["EX01"]


def test_a_shut_gate_says_why_and_that_nothing_was_tried() -> None:
    """The error names the server that rejected, the remedy, and that the account was spared."""
    gate = LoginGate()
    gate.check()
    gate.shut(rejection())
    with pytest.raises(Denied, match="EX01") as caught:
        gate.check()
    assert "not locked out" in caught.value.state
    assert caught.value.remedy == "check the password"


def test_a_login_that_breaks_lets_the_next_one_try() -> None:
    """A login that ends without a verdict (no connection) neither proves nor shuts."""
    gate = LoginGate()
    with pytest.raises(OSError, match="gone"), gate.login():
        raise OSError("gone")
    with gate.login():
        gate.prove()
    with gate.login():
        assert gate.proven


def test_pools_of_one_account_share_a_gate() -> None:
    """The account is what locks: its pools share a gate, whatever case it is written in; another account has its own."""
    common = {"address": "127.0.0.1", "transport": "ntlm"}
    pools = open_pools(
        [
            SessionSettings(name="EX01", user="LAB\\one", **common),  # type: ignore[arg-type]
            SessionSettings(name="EX02", user="lab\\ONE", **common),  # type: ignore[arg-type]
            SessionSettings(name="EX03", user="LAB\\two", **common),  # type: ignore[arg-type]
        ]
    )
    assert list(pools) == ["EX01", "EX02", "EX03"]
    assert pools["EX01"].gate is pools["EX02"].gate
    assert pools["EX01"].gate is not pools["EX03"].gate
