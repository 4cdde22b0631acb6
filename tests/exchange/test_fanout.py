"""Many at once: bounded, in order, ended by one rejected login, failures told together."""

from __future__ import annotations

import threading

import pytest

from lbsync.errors import Denied, Rejected, TargetError, Unreachable
from lbsync.exchange.fanout import Outcome, answers, fan_out


def test_answers_come_in_order_whatever_the_speed() -> None:
    """The last may be done first; the order is that of the items."""
    gates = {number: threading.Event() for number in range(4)}

    def work(number: int) -> int:
        if number + 1 in gates:
            assert gates[number + 1].wait(timeout=10)
        gates[number].set()
        return number * 10

    assert answers(fan_out(range(4), work, parallel=4)) == [0, 10, 20, 30]


def test_no_more_threads_than_asked_for() -> None:
    """Three threads for nine items: never four at once, and three when all wait for one another."""
    barrier = threading.Barrier(3, timeout=10)
    lock = threading.Lock()
    inside, most = 0, 0

    def work(_: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        barrier.wait()
        with lock:
            inside -= 1

    fan_out(range(9), work, parallel=3)
    assert most == 3


def test_nothing_is_asked_of_nobody() -> None:
    """No item, no thread, no answer."""
    assert fan_out([], lambda item: item, parallel=4) == ()
    assert answers(()) == []


def test_one_denied_ends_it() -> None:
    """After a rejected login nothing further is begun, and that rejection is what is raised."""
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise Denied("rejected", where="EX01")
        if number == 0:
            raise Unreachable("gone", where="EX00")
        return number

    outcomes = fan_out(range(50), work, parallel=1)
    assert begun == [0, 1]
    assert outcomes[49] == Outcome(49)
    with pytest.raises(Denied, match="EX01"):
        answers(outcomes)


def test_a_single_failure_is_itself() -> None:
    """One failure among many is raised as it was."""
    error = Rejected("no", where="EX02", code="x")
    with pytest.raises(Rejected) as caught:
        answers((Outcome("EX01", answer=1), Outcome("EX02", error=error)))
    assert caught.value is error


def failed(count: int, kind: type[TargetError]) -> tuple[Outcome[int, int], ...]:
    """``count`` failures of one kind."""
    return tuple(Outcome(n, error=kind(f"gone {n}", where=f"EX{n:02}", remedy="wait", code="c")) for n in range(count))


def test_failures_are_told_together() -> None:
    """Many unreachable servers are one Unreachable that names the first eight and counts the rest."""
    with pytest.raises(Unreachable, match=r"10 of 11 could not be asked: EX00: gone 0; .*; and 2 more") as caught:
        answers((*failed(10, Unreachable), Outcome(10, answer=1)))
    assert "EX08" not in str(caught.value)
    assert (caught.value.remedy, caught.value.code) == ("wait", "c")


def test_mixed_failures_are_no_question_of_time() -> None:
    """Where one of several failures is not about reaching, the whole is Rejected."""
    with pytest.raises(Rejected, match="3 of 3"):
        answers((*failed(2, Unreachable), Outcome(2, error=Rejected("no"))))


def test_a_mistake_of_ours_is_not_collected() -> None:
    """What is no TargetError comes out as it is."""
    with pytest.raises(ZeroDivisionError):
        fan_out([1], lambda item: item // 0, parallel=1)
