"""One run at a time, on targets that are all at hand, and never under a later run's feet."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lbsync.engine import Pacing, SystemClock, confirm, left_over, new_run_id, problem, unfinished
from lbsync.errors import ForeignChange, LedgerError, PlanRefused
from lbsync.ledger import Ledger, RunLock
from lbsync.model import Plan
from lbsync.run import IllegalEvent, RunPhase
from lbsync.testing.memory import Fuse, Killed
from lbsync.testing.rollout import RUN, World, change, rollout

LATER = "20260102-000000-late"


def other_plan(target: str, key: str) -> Plan:
    """One step on a target."""
    return Plan(farm="t", basis="b", steps=(change(f"set {key}", target, {key: None}, {key: 1}),))


def test_an_unfinished_run_comes_first() -> None:
    """A new run is refused, touching nothing, while an earlier one was killed half-way; the remedy names it."""
    world = World()
    world.wire(Fuse(60))
    with pytest.raises(Killed):
        world.engine().apply(world.plan, actor="test", run_id=RUN)
    world.wire(Fuse())
    before = world.states()
    with pytest.raises(PlanRefused, match="unfinished") as refused:
        world.engine().apply(world.plan, actor="test", run_id=LATER)
    assert f"lbsync rollback {RUN}" in refused.value.remedy
    assert world.states() == before


def test_a_run_that_waits_for_its_confirmation_comes_first_too() -> None:
    """What keeps it is named, since to carry it on means to wait."""
    assert f"lbsync confirm {RUN}" in unfinished(RUN, RunPhase.AWAITING).remedy


def test_what_was_begun_for_an_order_is_not_begun_again() -> None:
    """Two processes for one order, the second having read the farm before the first changed it; one may try again itself."""
    world = World()
    world.engine().apply(world.plan, actor="test", run_id=RUN, order="o1")
    with pytest.raises(PlanRefused, match="by another process") as refused:
        world.engine().apply(world.plan, actor="test", run_id=LATER, order="o1")
    assert (refused.value.where, refused.value.code) == (RUN, "begun-before")
    assert refused.value.state.endswith(f"run {RUN} is applied")
    assert len(world.journal.runs()) == 1
    for run_id, order, again in (("again", "o1", True), ("other", "o2", False), ("nobodys", None, False)):
        world.engine().apply(other_plan("lb1", run_id), actor="test", run_id=run_id, order=order, again=again)


def test_a_missing_target_refuses_the_plan() -> None:
    """A plan that names what is not configured is refused before anything is written, applied or taken back."""
    world = World()
    engine = world.engine()
    del world.targets["EX02"]
    with pytest.raises(PlanRefused, match="EX02"):
        world.engine().apply(world.plan, actor="test", run_id=RUN)
    assert world.journal.runs() == ()
    engine.apply(world.plan, actor="test", run_id=RUN)
    with pytest.raises(PlanRefused, match="EX02"):
        world.engine().rollback(RUN, actor="test")
    assert world.journal.phase(RUN) is RunPhase.APPLIED


def test_a_run_at_rest_is_not_resumed() -> None:
    """Resume of an applied run says so, and what else there is to do."""
    world = World()
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    with pytest.raises(LedgerError, match="nothing to resume") as refused:
        world.engine().resume(RUN, actor="test")
    assert "lbsync rollback" in refused.value.remedy
    world.engine().rollback(RUN, actor="test")
    with pytest.raises(LedgerError, match="nothing to resume") as refused:
        world.engine().resume(RUN, actor="test")
    assert "lbsync show" in refused.value.remedy


def test_an_undone_run_stays_undone() -> None:
    """A second rollback changes nothing and writes nothing."""
    world = World()
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    world.engine().rollback(RUN, actor="test")
    told = len(world.notices)
    assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE
    assert len(world.notices) == told


def test_a_later_run_on_the_same_target_comes_first() -> None:
    """The older run is taken back only after the later one, or by force; runs elsewhere do not matter."""
    world = World()
    before = world.states()
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    world.engine().apply(other_plan("EX01", "pop"), actor="test", run_id=LATER)
    with pytest.raises(ForeignChange, match=LATER) as refused:
        world.engine().rollback(RUN, actor="test")
    assert "EX01" in refused.value.message
    assert world.engine().rollback(LATER, actor="test").phase is RunPhase.UNDONE
    assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE
    assert world.states() == before


def test_force_passes_a_later_run() -> None:
    """By force the older run goes first; what the later one changed elsewhere stays."""
    world = World()
    world.engine().apply(world.plan, actor="test", run_id=RUN)
    world.engine().apply(other_plan("EX01", "pop"), actor="test", run_id=LATER)
    assert world.engine().rollback(RUN, actor="test", force=True).phase is RunPhase.UNDONE
    assert world.targets["EX01"].state == {"oab": "Ssl, Ssl128", "rpc": "Ssl", "pop": 1}


def test_a_later_run_elsewhere_does_not_matter() -> None:
    """Runs on different targets are taken back in any order."""
    world = World()
    first, second = other_plan("EX01", "pop"), other_plan("EX02", "pop")
    world.engine().apply(first, actor="test", run_id=RUN)
    world.engine().apply(second, actor="test", run_id=LATER)
    assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE


def test_an_empty_plan_is_applied_at_once() -> None:
    """Nothing to do is a run like any other, and can be taken back."""
    world = World(plan=Plan(farm="t", basis="b", steps=()))
    run = world.engine().apply(world.plan, actor="test", run_id=RUN)
    assert run.phase is RunPhase.APPLIED
    assert problem(run) is None
    assert world.engine().rollback(RUN, actor="test").phase is RunPhase.UNDONE


def test_a_plan_out_of_order_is_our_bug() -> None:
    """A step before the one it comes after is refused before anything is written."""
    world = World()
    backwards = Plan(farm="t", basis="b", steps=tuple(reversed(world.plan.steps)))
    with pytest.raises(IllegalEvent, match="bug"):
        world.engine().apply(backwards, actor="test", run_id=RUN)
    assert world.journal.runs() == ()


def test_what_is_left_is_listed_last_done_first() -> None:
    """The list for finishing by hand follows the order in which to do it."""
    world = World()
    run = world.engine().apply(world.plan, actor="test", run_id=RUN)
    lines = left_over(run)
    assert lines[0] == 'lb1: flip oab; before it was {"oab": "bridge"}'
    assert lines[-1] == 'lb1: install; before it was {"file": null}'
    assert len(lines) == sum(step.undo is not None for step in rollout().steps)
    found = problem(run, wanted=RunPhase.UNDONE)
    assert found is not None
    assert "stays applied" in found.message


def test_run_ids_sort_by_time() -> None:
    """An id starts with the time, in UTC."""
    assert new_run_id(datetime(2026, 11, 23, 14, 35, 48, tzinfo=UTC)).startswith("20261123-143548-")


def test_another_run_is_locked_out(tmp_path: Path) -> None:
    """While a run holds the ledger's lock, a second one is refused with the first one's name."""
    with Ledger(tmp_path / "ledger.db") as ledger, RunLock(tmp_path / "ledger.db", RUN):
        world = World(journal=ledger)
        with pytest.raises(LedgerError, match=RUN):
            world.engine().apply(world.plan, actor="test", run_id=LATER)
        assert ledger.runs() == ()


CONFIRMING = """
import sys
from pathlib import Path
from lbsync.engine import confirm
from lbsync.ledger import Ledger
with Ledger(Path(sys.argv[1])) as ledger:
    confirm(ledger, ledger.resolve(), actor="other")
"""


def test_a_confirmation_from_another_process_is_seen(tmp_path: Path) -> None:
    """``lbsync confirm``, run while the applying process waits, ends its wait."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        world = World(journal=ledger, clock=SystemClock())
        others: list[subprocess.Popen[bytes]] = []

        def once_waiting(notice: object) -> None:
            if ledger.runs() and ledger.phase(RUN) is RunPhase.AWAITING and not others:
                others.append(subprocess.Popen([sys.executable, "-c", CONFIRMING, str(path)]))

        engine = world.engine(observer=once_waiting, pacing=Pacing(confirm_poll_s=0.02))
        run = engine.apply(world.plan, actor="test", run_id=RUN, confirm_within_s=60)
        assert run.phase is RunPhase.APPLIED
        assert others[0].wait() == 0
        with pytest.raises(LedgerError, match="it does not wait"):
            confirm(ledger, RUN, actor="late")


def test_a_ledger_that_was_changed_is_not_trusted(tmp_path: Path) -> None:
    """No rollback from before-images that somebody rewrote."""
    import sqlite3

    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        world = World(journal=ledger)
        world.engine().apply(world.plan, actor="test", run_id=RUN)
        applied = world.states()
        db = sqlite3.connect(path)
        db.execute("DROP TRIGGER no_update")
        db.execute('UPDATE events SET payload = replace(payload, \'"owa":null\', \'"owa":"Ssl"\')')
        db.commit()
        db.close()
        with pytest.raises(LedgerError, match="not what was written"):
            world.engine().rollback(RUN, actor="test")
        assert world.states() == applied
