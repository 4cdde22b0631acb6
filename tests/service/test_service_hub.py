"""The hub with children that play the command line: looks, proposals, approvals, resuming, and whatever may go wrong."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lbsync.errors import LbsyncError, LedgerError
from lbsync.ledger import RunLock
from lbsync.run import RunPhase
from lbsync.service import ledgers
from lbsync.service.hub import ServiceHub
from lbsync.service.keeping import verify
from lbsync.service.port import Busy, Gone, NotFound, NotYours
from lbsync.service.values import JobState, Level, Options, Proposal, RunState
from tests.service.rig import ANNA, BASIS, BEA, NEW, NOW, Stage, error, look, plan, play, refused, until


def test_looks_come_in_turn_are_kept_and_outlive_a_restart(tmp_path: Path) -> None:
    """One after the other at first, then once a period; what was seen last is shown with its age until it is seen anew."""
    stage = Stage(tmp_path, ("a", "b"))
    stage.say("watch", look(), 0)

    async def scene() -> None:
        hub = stage.hub()
        assert list(hub.states()) == ["a", "b"]
        await stage.turns(hub)
        assert (hub.state("a").looked_at, hub.state("b").looked_at) == (NOW, None)
        assert hub.state("a").next_look_at is not None
        stage.clock.pass_s(4)
        await stage.turns(hub, 3)
        assert stage.names == ["watch", "watch"]
        assert stage.calls[0] == (
            [
                "watch",
                "--once",
                "--look-only",
                "--config",
                f"{tmp_path}/a.toml",
                "--state",
                f"{stage.state}/a",
                "--json",
            ],
            "schedule",
        )
        stage.clock.pass_s(601)
        await stage.turns(hub, 2)
        assert stage.names.count("watch") == 3  # b has another place in the period
        stage.clock.pass_s(300)
        again = stage.hub()
        assert (again.state("a").farm, again.state("a").looked_at, again.state("a").level) == ("contoso", NOW, Level.OK)
        await stage.turns(again)
        assert stage.names.count("watch") == 4

    play(scene)


def test_it_is_ready_once_everybody_was_seen_or_tells_why_not(tmp_path: Path) -> None:
    """And alive as long as its rounds come round."""
    stage = Stage(tmp_path)
    stage.say("watch", error(), 1)

    async def scene() -> None:
        hub = stage.hub()
        assert (hub.alive(), hub.ready()[0]) == (False, False)
        hub.start()
        assert hub.alive()
        assert hub.ready() == (False, "1 of 1 namespaces were not looked at yet: contoso")
        await until(hub, lambda: bool(hub.state("contoso").error))
        assert hub.ready() == (True, "1 namespaces")
        stage.clock.pass_s(61)
        assert not hub.alive()
        assert await hub.close() == ()
        assert (await refused(hub.look("contoso", ANNA))).code == "busy"
        async with hub.events() as events:
            assert [event async for event in events] == []

    play(scene)


def test_a_failing_namespace_tells_why_and_disturbs_nobody(tmp_path: Path) -> None:
    """A command that fails, one that cannot be understood, one that says nothing; and a person may look at any time."""
    stage = Stage(tmp_path, ("a", "b"))
    stage.say("watch", error(remedy="wait"), 1)

    async def scene() -> None:
        hub = stage.hub()
        await stage.turns(hub)
        assert hub.state("a").error == "EX01: no answer. What to do: wait"
        assert (hub.state("a").level, hub.state("a").failures) == (Level.UNKNOWN, 1)
        stage.say("watch", {"at": 1})
        job = await hub.look("a", ANNA)
        await hub.jobs.idle()
        assert hub.job(job.id).error is not None
        assert "cannot be read" in hub.state("a").error
        (stage.said / "watch.json").unlink()
        await hub.look("a", ANNA)
        await hub.jobs.idle()
        assert "said nothing" in hub.state("a").error
        stage.say("watch", look())
        stage.clock.pass_s(3)
        await stage.turns(hub)
        assert (hub.state("b").error, hub.state("b").looked_at is not None) == ("", True)
        await hub.look("a", ANNA)
        await hub.jobs.idle()
        assert (hub.state("a").error, hub.state("a").failures) == ("", 0)
        assert stage.calls[-1][1] == "anna (approver, web)"

    play(scene)


def test_a_refused_log_on_is_not_tried_again_by_itself(tmp_path: Path) -> None:
    """Until the configuration changes: accounts lock out."""
    stage = Stage(tmp_path)
    stage.say("watch", error("Denied"), 1)

    async def scene() -> None:
        hub = stage.hub()
        await stage.turns(hub)
        stage.clock.pass_s(100_000)
        await stage.turns(hub, 6)
        assert stage.names == ["watch"]
        assert "not asked again by itself" in hub.state("contoso").error
        assert hub.state("contoso").next_look_at is None
        stage.namespaces[0].config.write_text("x = 1\n", encoding="utf-8")
        stage.say("watch", look())
        await stage.turns(hub, 6)
        assert stage.names == ["watch", "watch"]
        assert not hub.state("contoso").error

    play(scene)


def proposed(hub: ServiceHub) -> Proposal:
    """The only proposal there is."""
    (found,) = hub.state("contoso").proposals
    return found


def test_what_is_due_is_proposed_approved_and_carried_out(tmp_path: Path) -> None:
    """With the basis that was shown, in the name of who asked and who approved; a restart loses neither."""
    stage = Stage(tmp_path, four_eyes=True)
    stage.say("watch", look(leaf=True))
    stage.say("rotate", plan("a", "b").model_dump(mode="json"), 2)

    async def scene() -> None:
        hub = stage.hub()
        await stage.turns(hub)
        assert stage.calls[1][0][:3] == ["rotate", "--dry-run", f"--thumbprint={NEW.thumbprint}"]
        found = proposed(hub)
        assert (found.asked_by, found.needs, found.steps, found.basis) == ("schedule", 2, 2, BASIS)
        half = await hub.approve("contoso", found.id, ANNA)
        assert isinstance(half, Proposal)
        assert half.approvals == ("anna",)
        assert isinstance(await refused(hub.approve("contoso", found.id, ANNA)), NotYours)
        again = stage.hub()
        assert proposed(again).approvals == ("anna",)
        stage.say("rotate", {"run": "r1", "problem": None})
        job = await again.approve("contoso", found.id, BEA)
        assert isinstance(job, JobState)
        await again.jobs.idle()
        words, actor = stage.calls[-1]
        assert words[:4] == ["rotate", "--yes", f"--basis={BASIS}", f"--thumbprint={NEW.thumbprint}"]
        assert actor == "approved by anna and bea, asked by schedule"
        assert again.state("contoso").proposals == ()
        assert (again.job(job.id).run_id, again.job(job.id).exit_code) == ("r1", 0)
        stage.say("watch", look())
        await stage.turns(again)
        assert stage.names[-1] == "watch"  # what came of it is looked at
        assert verify(stage.state / "serve" / "decisions.jsonl") == 3

    play(scene)


@pytest.mark.parametrize(
    ("answer", "code", "left", "approvals"),
    [
        (error("StalePlan"), 3, 0, ()),
        (error("UnsafeChange"), 3, 0, ()),
        (error(), 1, 1, ()),  # nothing was begun: it may be approved again
        ({"run": "r1", "problem": {"kind": "VerifyFailed", "message": "taken back"}}, 5, 0, ()),
        ({"steps": []}, 0, 0, ()),
    ],
)
def test_a_proposal_is_over_with_its_run_or_its_basis(
    answer: dict[str, object], code: int, left: int, approvals: tuple[str, ...], tmp_path: Path
) -> None:
    """What was not begun stays."""
    stage = Stage(tmp_path)
    stage.say("plan", plan("a").model_dump(mode="json"), 2)
    stage.say("apply", answer, code)

    async def scene() -> None:
        hub = stage.hub()
        asked = await hub.propose("contoso", "apply", Options(), ANNA)
        await hub.jobs.idle()
        assert hub.job(asked.id).proposal == proposed(hub).id
        job = await hub.approve("contoso", proposed(hub).id, ANNA)
        assert isinstance(job, JobState)
        await hub.jobs.idle()
        assert [one.approvals for one in hub.state("contoso").proposals] == [approvals] * left
        assert (hub.job(job.id).error is None) is (code == 0)

    play(scene)


def test_what_was_declined_or_is_over_is_not_carried_out(tmp_path: Path) -> None:
    """Nor proposed again by itself; a day later it is over."""
    stage = Stage(tmp_path, look_every_s=3600)
    stage.say("watch", look(leaf=True))
    stage.say("rotate", plan("a").model_dump(mode="json"), 2)

    async def scene() -> None:
        hub = stage.hub()
        await stage.turns(hub)
        first = proposed(hub)
        await hub.decline("contoso", first.id, ANNA, "not today")
        assert isinstance(await refused(hub.approve("contoso", first.id, ANNA)), NotFound)
        stage.clock.pass_s(3601)
        await stage.turns(hub, 2)
        assert hub.state("contoso").proposals == ()
        await hub.propose("contoso", "rotate", Options(), BEA)
        await hub.jobs.idle()
        second = proposed(hub)
        stage.clock.pass_s(86400)
        assert isinstance(await refused(hub.approve("contoso", second.id, ANNA)), Gone)
        await stage.turns(hub, 5)
        assert hub.state("contoso").proposals == ()
        lines = (stage.state / "serve" / "decisions.jsonl").read_text(encoding="utf-8")
        assert ['"declined"' in lines, '"expired"' in lines, "not today" in lines] == [True, True, True]

    play(scene)


def test_without_approvals_the_watch_rotates_where_it_may(tmp_path: Path) -> None:
    """By its own command, which remembers what failed; and not again at once."""
    stage = Stage(tmp_path, approve=False)
    stage.say("watch", look(leaf=True, rotate=True))

    async def scene() -> None:
        hub = stage.hub()
        await stage.turns(hub, 4)
        assert [("--look-only" in words) for words, _ in stage.calls] == [True, False, True]
        assert hub.state("contoso").proposals == ()

    play(scene)


def test_one_at_a_time_and_each_can_be_stopped(tmp_path: Path) -> None:
    """What waits never begins, what is at work stops between two steps; a confirmation does not wait."""
    stage = Stage(tmp_path, ("contoso", "other"), looks_at_once=1)
    for name in ("watch", "rollback"):
        stage.waits(name)

    async def scene() -> None:
        hub = stage.hub()
        run_id = stage.run(RunPhase.UNDONE)
        first = await hub.look("contoso", ANNA)
        second = await hub.look("other", ANNA)
        await until(hub, lambda: bool(hub.job(first.id).lines))
        assert hub.state("contoso").job is not None
        assert hub.job(second.id).began is None  # so many looks at once
        back = await hub.act("contoso", run_id, "rollback", ANNA)
        assert [isinstance(await refused(one), Busy) for one in (
            hub.act("contoso", run_id, "resume", ANNA), hub.propose("contoso", "prune", Options(), ANNA),
            hub.advice("contoso", ANNA),
        )] == [True, True, True]  # fmt: skip
        waits = await hub.look("contoso", ANNA)
        assert isinstance(await refused(hub.look("contoso", BEA)), Busy)
        stopped = await hub.stop(waits.id, ANNA)
        assert (stopped.began, stopped.error is None) == (None, False)
        stage.say("confirm", {"confirmed": True})
        await hub.act("contoso", run_id, "confirm", ANNA)
        await hub.stop(first.id, ANNA)
        await until(hub, lambda: bool(hub.job(back.id).lines))
        assert await hub.close() == ()
        assert hub.job(back.id).lines[-1] == "stopped between two steps"
        assert hub.job(second.id).ended is not None
        assert stage.names.count("confirm") == 1
        assert isinstance(await refused(hub.act("contoso", "r9", "rollback", ANNA)), NotFound)
        with pytest.raises(NotFound):
            hub.job("x")
        with pytest.raises(NotFound):
            hub.state("nowhere")

    play(scene)


def test_what_it_began_and_what_was_cut_off_it_carries_on(tmp_path: Path) -> None:
    """Once nobody is at work on it, and nobody stopped it; what a person began is left alone."""
    stage = Stage(tmp_path)
    stage.say("watch", look())
    stage.say("resume", error(), 1)
    ledger = stage.namespaces[0].ledger

    async def scene() -> None:
        hub = stage.hub()
        run_id = stage.run(RunPhase.APPLYING)
        with RunLock(ledger, run_id):
            await stage.turns(hub, 15)
            assert "resume" not in stage.names
        await stage.turns(hub, 15)
        assert [(words[-1], actor) for words, actor in stage.calls if words[0] == "resume"] == [(run_id, "schedule")]
        stage.clock.pass_s(61)  # it failed, so it is tried again after a while
        stage.waits("resume")
        while stage.names.count("resume") < 2:
            await hub.rounds.tick()
            await asyncio.sleep(0)  # children begin between two ticks
        (job,) = hub.jobs.queued("contoso")
        await hub.stop(job.id, ANNA)
        await hub.jobs.idle()
        stage.clock.pass_s(10_000)
        stage.waits("resume", wanted=False)
        await stage.turns(hub, 15)
        assert stage.names.count("resume") == 2  # somebody stopped it
        await hub.act("contoso", run_id, "resume", ANNA)
        await hub.jobs.idle()
        assert stage.calls[-1][1] == "anna (approver, web)"
        stage.run(RunPhase.APPLYING, "root")
        stage.clock.pass_s(10_000)
        await stage.turns(hub, 15)
        assert stage.names.count("resume") == 3

    play(scene)


@pytest.mark.parametrize("begun", [True, False])
def test_an_approval_outlives_a_kill(begun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was approved is begun after the restart, unless it was begun before; a locked ledger tells neither."""
    stage, read, locked = Stage(tmp_path), ledgers.runs, ["by a backup", "still"]

    def runs(path: Path, limit: int) -> tuple[RunState, ...]:
        if locked:
            raise LedgerError("the ledger is locked", where=locked.pop())
        return read(path, limit)

    stage.say("watch", look())
    stage.say("plan", plan("a").model_dump(mode="json"), 2)
    stage.say("apply", {"run": "r1"})

    async def scene() -> None:
        hub = stage.hub()
        await hub.propose("contoso", "apply", Options(), ANNA)
        await hub.jobs.idle()
        approved = proposed(hub).model_copy(update={"approvals": ("bea" * 200,)})
        await hub._farms["contoso"].put(approved)  # pyright: ignore[reportPrivateUsage] -- and here it is killed
        stage.run(RunPhase.UNDONE, f"approved by {'bea' * 90}", order=approved.id if begun else None)
        monkeypatch.setattr(ledgers, "runs", runs)
        again = stage.hub()
        await stage.turns(again, 6)
        stage.clock.pass_s(30)
        await stage.turns(again, 5)
        assert (again.state("contoso").proposals, again.state("contoso").error, locked) == ((), "", [])
        assert stage.names.count("apply") == (0 if begun else 1)

    play(scene)


@pytest.mark.parametrize("ours", [True, False])
def test_a_run_is_the_job_s_only_where_it_was_begun_for_it(ours: bool, tmp_path: Path) -> None:
    """A command that ends without a word: a run that somebody began at the command line meanwhile is none of its own."""
    stage = Stage(tmp_path)
    stage.say("plan", plan("a").model_dump(mode="json"), 2)
    stage.waits("apply")

    async def scene() -> None:
        hub = stage.hub()
        await hub.propose("contoso", "apply", Options(), ANNA)
        await hub.jobs.idle()
        found = proposed(hub)
        job = await hub.approve("contoso", found.id, ANNA)
        assert isinstance(job, JobState)
        await until(hub, lambda: bool(hub.job(job.id).lines))
        run_id = stage.run(RunPhase.APPLYING, order=found.id if ours else None)
        await hub.rounds.tick()
        assert hub.job(job.id).run_id == (run_id if ours else None)
        hub.jobs.stop(job.id)
        await hub.jobs.idle()
        assert hub.job(job.id).run_id == (run_id if ours else None)
        assert bool(hub.state("contoso").proposals) is not ours

    play(scene)


def test_a_ledger_that_cannot_be_read_is_told_and_nothing_else_suffers(tmp_path: Path) -> None:
    """From a newer version; and once it can be read again its runs are there."""
    stage = Stage(tmp_path, ("contoso", "other"))
    stage.say("watch", look())
    stage.run(RunPhase.UNDONE)
    ledger = stage.namespaces[0].ledger

    async def scene() -> None:
        hub = stage.hub()
        with closing(sqlite3.connect(ledger)) as db:
            db.execute("PRAGMA user_version = 99")
        await stage.turns(hub)
        assert "version" in hub.state("contoso").error
        assert (await hub.chain("contoso")).ok is False
        assert isinstance(await refused(hub.runs("contoso")), LbsyncError)
        stage.clock.pass_s(3)
        await stage.turns(hub)
        assert not hub.state("other").error
        with closing(sqlite3.connect(ledger)) as db:
            db.execute("PRAGMA user_version = 1")
        await stage.turns(hub, 6)
        assert not hub.state("contoso").error
        (found,) = await hub.runs("contoso")
        assert (found.run_id, found.words) == ("r1", "taken back, as before")
        detail = await hub.run("contoso", "r1")
        assert (detail.problem, [step.look for step in detail.steps], detail.report) == ("it failed", ["skipped"], None)
        reports = stage.state / "contoso" / "reports"
        reports.mkdir()
        (reports / "r1.html").touch()
        (reports / "r1.json").write_text(
            '{"evidence": [{"canary": null}, {"canary": {"requests": 7}}]}', encoding="utf-8"
        )
        detail = await hub.run("contoso", "r1")
        assert (detail.canary, detail.report) == ({"requests": 7}, str(reports / "r1.html"))
        chain = await hub.chain("contoso")
        assert (chain.ok, chain.count, len(chain.head)) == (True, 3, 64)
        assert await hub.chain("other") == chain.model_copy(update={"count": 0, "head": ""})
        assert isinstance(await refused(hub.run("other", "r1")), NotFound)

    play(scene)


def test_a_disk_that_says_no_costs_what_a_restart_would_know(tmp_path: Path) -> None:
    """It is told, looks go on; but nothing is approved that cannot be written down."""
    stage = Stage(tmp_path)
    stage.say("watch", look())
    stage.say("plan", plan("a").model_dump(mode="json"), 2)
    (stage.state / "serve" / "contoso" / "state.json").mkdir(parents=True)
    (stage.state / "serve" / "decisions.jsonl").mkdir()

    async def scene() -> None:
        hub = stage.hub()
        await stage.turns(hub)
        assert "after a restart less would be known" in hub.state("contoso").error
        assert hub.state("contoso").looked_at == NOW
        await hub.propose("contoso", "apply", Options(), ANNA)
        await hub.jobs.idle()
        found = await refused(hub.approve("contoso", proposed(hub).id, ANNA))
        assert found.message.startswith("the decision cannot be written down")
        assert proposed(hub).approvals == ()
        assert "apply" not in stage.names

    play(scene)


def test_advice_is_asked_for_once_between_two_looks(tmp_path: Path) -> None:
    """And drift now and then; an error is the one that the command told."""
    stage = Stage(tmp_path, drift_every_s=86400)
    stage.say("watch", look())
    stage.say("advise", error(remedy="wait"), 1)
    stage.say("drift", {"differences": [{"target": "EX01", "subject": "owa", "text": "SSL is on"}]}, 2)

    async def scene() -> None:
        hub = stage.hub()
        await stage.turns(hub, 3)
        drift = hub.state("contoso").drift
        assert drift is not None
        assert drift.lines == ("EX01 owa SSL is on",)
        found = await refused(hub.advice("contoso", ANNA))
        assert (found.message, found.where, found.remedy) == ("no answer", "EX01", "wait")
        stage.say("advise", {"services": []}, 2)
        both = await asyncio.gather(hub.advice("contoso", ANNA), hub.advice("contoso", BEA))
        assert list(both) == [{"services": list[object]()}] * 2
        await hub.advice("contoso", ANNA)
        assert stage.names.count("advise") == 2

    play(scene)


def test_readers_hear_what_changes_and_slow_ones_lose_the_oldest(tmp_path: Path) -> None:
    """The same news twice is one, and the feed ends with the service."""
    stage = Stage(tmp_path)
    stage.say("watch", look())

    async def scene() -> None:
        hub = stage.hub()
        async with hub.events() as events:
            await stage.turns(hub)
            await hub.close()
            heard = [(event.ns, event.what) async for event in events]
        assert set(heard) == {("contoso", "state"), ("contoso", "job")}
        assert len(heard) == 2

    play(scene)
