"""What a look found: each thing with how bad it is, and what to do."""

from __future__ import annotations

import pytest

from lbsync.drift.difference import Difference, Kind
from lbsync.rotation.candidates import Candidate, Judged
from lbsync.testing.farm_facts import NOW, balancer_facts, leaf_info
from lbsync.verdict import Greeting
from lbsync.watch.items import Hindrance, Item, Level, Sight, Thresholds, items, worst
from lbsync.watch.memory import BackOff, Memory
from tests.watch.sights import HOST, NEW, OLD, balancer, farm, fitting, greeting, sight

HALF_WAY = Hindrance(level=Level.CRITICAL, text="run x is half-way", remedy="lbsync resume")
THRESHOLDS = Thresholds(warn_days=30, critical_days=7)


def found(seen: Sight, memory: Memory | None = None) -> list[Item]:
    """Everything but what is well."""
    return [one for one in items(seen, memory or Memory(), THRESHOLDS, NOW) if one.level is not Level.OK]


def test_all_is_well() -> None:
    """Each listener and each certificate is told once, with its days."""
    told = items(sight(), Memory(), THRESHOLDS, NOW)
    assert worst(told) is Level.OK
    assert [one.subject for one in told] == [f"lb1 {HOST}", f"{OLD.thumbprint} at lb1, EX01, EX02"]
    assert told[1].days == 200
    assert "ends in 200 days" in told[1].text


@pytest.mark.parametrize(
    ("days", "level", "words"),
    [
        (31, Level.OK, "in 31 days"),
        (30, Level.WARNING, "in 30 days"),
        (8, Level.WARNING, "in 8 days"),
        (7, Level.CRITICAL, "in 7 days"),
        (-1, Level.CRITICAL, "has ended"),
    ],
)
def test_the_end_comes_near(days: int, level: Level, words: str) -> None:
    """A word in time, a call when it is late."""
    leaf = leaf_info(3, days_left=days)
    told = items(
        sight(facts=farm(balancer(leaf), server_leaf=leaf), greetings=(greeting(leaf),)), Memory(), THRESHOLDS, NOW
    )
    assert worst(told) is level
    (end,) = [one for one in told if one.days is not None]
    assert (end.level, end.days) == (level, days)
    assert words in end.text
    assert bool(end.remedy) is (level is not Level.OK)


def test_a_servers_own_certificate_is_watched_too() -> None:
    """Balancers that bridge meet it."""
    (one,) = found(sight(facts=farm(server_leaf=leaf_info(3, days_left=3))))
    assert one.level is Level.CRITICAL
    assert "at EX01, EX02" in one.subject
    bare = farm().model_copy(update={"servers": tuple(s.model_copy(update={"bindings": ()}) for s in farm().servers)})
    assert items(sight(facts=bare), Memory(), THRESHOLDS, NOW)[-1].subject.endswith(" at lb1")


@pytest.mark.parametrize(
    ("greeted", "words"),
    [
        (greeting(NEW), "served another certificate"),
        (greeting(trusted=False), "chain is not trusted"),
        (Greeting(balancer="lb1", host=HOST, failures=("connection refused",)), "1 of 1 handshakes failed"),
    ],
    ids=["another", "untrusted", "nobody"],
)
def test_clients_get_something_else_than_what_is_stored(greeted: Greeting, words: str) -> None:
    """That is for now, not for tomorrow."""
    (one,) = [one for one in found(sight(greetings=(greeted,))) if one.subject.startswith("lb1 ")]
    assert one.level is Level.CRITICAL
    assert words in one.text
    assert "lbsync verify" in one.remedy


def test_balancers_that_differ_and_one_that_has_nothing() -> None:
    """Half a rotation, and a balancer before its first rollout."""
    facts = farm(balancer(), balancer(NEW, "lb2"), balancer_facts("lb3"))
    seen = sight(facts=facts, greetings=(greeting(), greeting(NEW, name="lb2")))
    assert [(one.level, one.subject) for one in found(seen)] == [
        (Level.WARNING, "lb3"),
        (Level.WARNING, "lb1, lb2"),
    ]


def test_what_did_not_answer_and_what_stands_half_way() -> None:
    """Nobody knows is no good news; a run that stands half-way is bad news."""
    seen = sight(unseen=(("lb1", "cannot be reached"),), hindrance=HALF_WAY, unreadable=(("/a.pfx", "locked"),))
    assert [(one.level, one.subject) for one in found(seen)] == [
        (Level.UNKNOWN, "lb1"),
        (Level.CRITICAL, "a run"),
        (Level.WARNING, "/a.pfx"),
    ]
    assert worst(tuple(found(seen))) is Level.CRITICAL
    assert worst(tuple(found(sight(unseen=(("lb1", "cannot be reached"),))))) is Level.UNKNOWN
    assert worst(()) is Level.UNKNOWN


def test_renewals_are_told_with_the_command() -> None:
    """One that fits, several, and why none does when it is time."""
    (one,) = found(sight(fitting()))
    assert (one.level, one.subject, one.remedy) == (Level.WARNING, "renewed", "lbsync rotate")
    other = leaf_info(4, days_left=390)
    assert [one.remedy.rsplit(" ", 1)[1] for one in found(sight(fitting(), fitting(other)))] == [
        NEW.thumbprint,
        other.thumbprint,
    ]
    refused = Judged(candidate=Candidate(info=NEW, origin="file", places=("/new.pfx",)), refused=("It has no key.",))
    assert found(sight(refused)) == []  # it is not time yet
    due = leaf_info(3, days_left=20)
    late = sight(refused, facts=farm(balancer(due)), greetings=(greeting(due),), current=due)
    assert "It has no key." in next(one.text for one in found(late) if one.subject == "no renewal")
    better = late.model_copy(update={"renewals": (refused, fitting(other))})
    assert [one.subject for one in found(better) if one.days is None] == ["renewed"]
    assert [one.subject for one in found(late.model_copy(update={"current": None})) if one.days is None] == []


def test_a_failure_is_told_until_it_is_over() -> None:
    """How often, why, what to look at and when it is tried again."""
    back_off = BackOff(first_s=900, most_s=7200)
    memory = Memory().failed(NEW, "lb1 said no", NOW, back_off, run="20261127-1")
    (one,) = found(sight(), memory)
    assert one.level is Level.WARNING
    assert one.subject == "failed once"
    assert "lb1 said no" in one.text
    assert "lbsync show 20261127-1" in one.remedy
    (one,) = found(sight(), memory.failed(NEW, "again", NOW, back_off, run=None))
    assert one.subject == "failed 2 times"
    (one,) = found(sight(), Memory().failed(NEW, "refused", NOW, back_off, run=None))
    assert "lbsync show" not in one.remedy


def test_a_drift_is_one_line() -> None:
    """The first few with their likely causes; what is told elsewhere, or a person configured, is left out."""
    kinds = (Kind.VERSION, Kind.REQUIRE_SSL, Kind.REQUIRE_SSL, Kind.LOGON)
    apart = [
        Difference(target="EX01", kind=kind, subject="s", text="t")
        for kind in (Kind.STORE, Kind.MEMBER, Kind.INSTALLED)
    ]
    many = [
        Difference(target="EX01", kind=kind, subject=f"s{number}", text="t", before="15.2.1.1", now="15.2.2.1")
        for number, kind in enumerate(kinds)
    ]
    assert found(sight(drift=tuple(apart))) == []
    (one,) = found(sight(drift=(*apart, *many), since="then"))
    assert (one.level, one.subject) == (Level.WARNING, "drift")
    assert one.text.startswith("since then: EX01: s0: t, likely a cumulative update (15.2.1.1 -> 15.2.2.1); EX01: s1")
    assert one.text.endswith("; and 1 more")
    (one,) = found(sight(drift=tuple(many[1:2]), since="then"))
    assert one.text == "since then: EX01: s1: t, likely a person, since Exchange's version is the same"
