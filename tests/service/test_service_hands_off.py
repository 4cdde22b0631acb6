"""What a person stopped, took back or let pass does not go on by itself; nor what would lock an account out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from lbsync.ledger import Ledger, RunLock
from lbsync.run import Interrupted, Resumed, RunPhase, RunStarted
from lbsync.service import ledgers
from lbsync.service.children import Child, Ended
from lbsync.service.hub import ServiceHub
from lbsync.service.keeping import Store
from lbsync.service.values import JobState, Options, Proposal, Role, Who
from tests.service.rig import ANNA, BEA, NOW, Stage, error, look, plan, play, refused, until


class Endless:
    """A child that goes on until the test ends it, whatever it is asked."""

    def __init__(self) -> None:
        self.asked, self.ended = False, asyncio.Event()

    def stop(self) -> None:
        """Noted."""
        self.asked = True

    async def wait(self, heard: Callable[[str], None]) -> Ended:
        """Until the test says so."""
        heard("at work")
        await self.ended.wait()
        return Ended(130)


def proposed(hub: ServiceHub) -> Proposal:
    """The only proposal there is."""
    (found,) = hub.state("contoso").proposals
    return found


def test_what_was_stopped_while_it_waited_does_not_begin_by_itself(tmp_path: Path) -> None:
    """An approved plan behind a look, stopped: it may be approved again, and until then nothing happens."""
    stage = Stage(tmp_path)
    stage.say("watch", look())
    stage.say("plan", plan("a").model_dump(mode="json"), 2)
    stage.say("apply", {"run": "r1"})

    async def scene() -> None:
        hub = stage.hub()
        await hub.propose("contoso", "apply", Options(), ANNA)
        await hub.jobs.idle()
        stage.waits("watch")
        seen = await hub.look("contoso", ANNA)
        await until(hub, lambda: bool(hub.job(seen.id).lines))
        job = await hub.approve("contoso", proposed(hub).id, BEA)
        assert isinstance(job, JobState)
        assert (await hub.stop(job.id, ANNA)).began is None
        stage.waits("watch", wanted=False)
        await hub.stop(seen.id, ANNA)
        await hub.jobs.idle()
        await stage.turns(hub, 12)
        assert "apply" not in stage.names
        assert proposed(hub).approvals == ()

    play(scene)


def test_a_stop_is_heard_and_known_at_once(tmp_path: Path) -> None:
    """Though nothing can be written down of it; and a service that ends before its child knows it after the restart."""
    stage = Stage(tmp_path)
    (stage.state / "serve" / "decisions.jsonl").mkdir(parents=True)
    children: list[Endless] = []

    async def start(words: Sequence[str], actor: str, deadline_s: float | None, order: str) -> Child:
        children.append(Endless())
        return children[-1]

    async def scene() -> None:
        run_id = stage.run(RunPhase.APPLYING)
        hub = ServiceHub(stage.namespaces, stage.section, stage.state / "serve", start, clock=stage.clock)
        farm = hub._farms["contoso"]  # pyright: ignore[reportPrivateUsage]
        hub._begin.by_itself(farm, "resume", None, run_id)  # pyright: ignore[reportPrivateUsage]
        (job,) = hub.jobs.queued("contoso")
        await until(hub, lambda: bool(job.lines))
        await hub.stop(job.id, ANNA)
        assert children[0].asked
        assert Store(stage.state / "serve").desk("contoso").stopped == (run_id,)
        children[0].ended.set()
        await hub.jobs.idle()

    play(scene)


@pytest.mark.parametrize("stopped", [True, False])
def test_a_way_back_that_does_not_begin_does_not_end_in_going_on(stopped: bool, tmp_path: Path) -> None:
    """A person wanted the run taken back, and the farm did not answer: it stands until a person says what becomes of it."""
    stage = Stage(tmp_path)
    stage.say("watch", look())
    stage.say("rollback", error(), 1)

    async def scene() -> None:
        hub = stage.hub()
        run_id = stage.run(RunPhase.APPLYING)
        if stopped:
            await hub._farms["contoso"].stopped(run_id, by_person=True)  # pyright: ignore[reportPrivateUsage]
        await hub.act("contoso", run_id, "rollback", ANNA)
        await hub.jobs.idle()
        stage.clock.pass_s(10_000)
        await stage.turns(hub, 15)
        assert "resume" not in stage.names

    play(scene)


def test_where_a_log_on_was_refused_nothing_is_tried_by_itself(tmp_path: Path) -> None:
    """Not the drift, a run that stands half-way, or what a viewer may ask for: each would log on with the same password."""
    stage = Stage(tmp_path, drift_every_s=60)
    stage.say("watch", look())
    stage.say("drift", {"differences": []})

    async def scene() -> None:
        hub = stage.hub()
        await stage.turns(hub, 2)
        stage.say("watch", error("Denied"), 1)
        stage.clock.pass_s(601)
        await stage.turns(hub)
        before = stage.names
        stage.run(RunPhase.APPLYING)
        stage.clock.pass_s(100_000)
        await stage.turns(hub, 15)
        assert stage.names == before == ["watch", "drift", "watch"]
        assert (await refused(hub.advice("contoso", Who("otto", Role.VIEWER, "web")))).code == "halted"
        assert stage.names == before
        await refused(hub.advice("contoso", ANNA))  # who may look may ask
        assert stage.names == [*before, "advise"]

    play(scene)


def test_an_approval_does_not_outlive_its_proposal(tmp_path: Path) -> None:
    """The service was away for a day after it: what was approved then is not begun now."""
    stage = Stage(tmp_path)
    stage.say("watch", look())
    stage.say("plan", plan("a").model_dump(mode="json"), 2)

    async def scene() -> None:
        hub = stage.hub()
        await hub.propose("contoso", "apply", Options(), ANNA)
        await hub.jobs.idle()
        approved = proposed(hub).model_copy(update={"approvals": ("bea",)})
        await hub._farms["contoso"].put(approved)  # pyright: ignore[reportPrivateUsage]
        stage.clock.pass_s(86_401)
        again = stage.hub()
        await stage.turns(again, 6)
        assert "apply" not in stage.names
        assert again.state("contoso").proposals == ()
        assert "not begin it in time" in (stage.state / "serve" / "decisions.jsonl").read_text(encoding="utf-8")

    play(scene)


def test_what_is_being_approved_is_begun_by_who_approves_it(tmp_path: Path) -> None:
    """Not by the rounds, between the approval's way to the disk and its job: the approver would be told that it is busy."""
    stage = Stage(tmp_path)
    stage.say("watch", look())
    stage.say("plan", plan("a").model_dump(mode="json"), 2)
    stage.say("apply", {"run": "r1"})

    async def scene() -> None:
        hub = stage.hub()
        await hub.propose("contoso", "apply", Options(), ANNA)
        await hub.jobs.idle()
        farm = hub._farms["contoso"]  # pyright: ignore[reportPrivateUsage]
        async with farm.deciding:
            await farm.put(proposed(hub).model_copy(update={"approvals": ("bea",)}))
            await stage.turns(hub, 6)
            assert "apply" not in stage.names
        await stage.turns(hub, 6)
        assert "apply" in stage.names

    play(scene)


def test_a_run_has_been_at_work_since_it_was_taken_up(tmp_path: Path) -> None:
    """Not since it was begun: between the two nobody was."""
    hours = iter(NOW + timedelta(hours=hour) for hour in range(3))
    path = tmp_path / "ledger.db"
    with Ledger(path, now=lambda: next(hours)) as ledger:
        made = RunStarted(run_id="r1", plan=plan("a"), actor="root", host="h", started=NOW)
        for event in (made, Interrupted(), Resumed(actor="root")):
            ledger.append("r1", event)
    assert ledgers.under_way_since(path, "r1") == NOW + timedelta(hours=2)


def test_a_run_that_was_killed_and_is_nobody_s_is_shown_as_cut_off(tmp_path: Path) -> None:
    """No process could write it down; alerts and notices wait for it. Not while somebody is at work, who is shown instead."""
    stage = Stage(tmp_path)
    stage.say("watch", look())

    async def scene() -> None:
        hub = stage.hub()
        run_id, ledger = stage.run(RunPhase.APPLYING, "root"), stage.namespaces[0].ledger
        with RunLock(ledger, run_id):
            await stage.turns(hub, 15)
            (run,) = hub.state("contoso").runs
            assert (run.interrupted, run.at_work_since) == (False, ledgers.under_way_since(ledger, run_id))
        await stage.turns(hub, 15)
        await hub.look("contoso", ANNA)
        await hub.jobs.idle()
        assert [(run.interrupted, run.at_work_since) for run in hub.state("contoso").runs] == [(True, None)]
        stage.run(RunPhase.UNDONE, "root")
        await stage.turns(hub, 6)
        assert [run.interrupted for run in hub.state("contoso").runs] == [False, True]

    play(scene)
