"""Jobs: what is left of one that ended, one that nobody thought of, and those that hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lbsync.run import RunPhase
from lbsync.service import places
from lbsync.service.children import Child, Ended
from lbsync.service.hub import ServiceHub
from tests.service.rig import ANNA, Stage, look, play, until


class Hangs:
    """A child that hangs until it is told to end."""

    def __init__(self, *, late: bool = True) -> None:
        self.over, self._late = asyncio.Event(), late

    def stop(self) -> None:
        """As the deadline would."""
        self.over.set()

    async def wait(self, heard: Callable[[str], None]) -> Ended:
        """Until then."""
        await self.over.wait()
        return Ended(-15, error={"message": "it did not end in time"}, late=self._late)


class Dead:
    """Starts children that hang: ``at_work`` by the folders of their farms; ``deadlines`` says what each was given."""

    def __init__(self) -> None:
        self.at_work: dict[str, Hangs] = {}
        self.deadlines: list[tuple[str, float | None]] = []
        self.late = True

    async def __call__(self, words: Sequence[str], actor: str, deadline_s: float | None, order: str) -> Child:
        """One more."""
        name = Path(words[words.index("--state") + 1]).name
        self.deadlines.append((words[0], deadline_s))
        self.at_work[name] = Hangs(late=self.late)
        return self.at_work[name]

    def end(self) -> None:
        """All those at work are late."""
        for child in self.at_work.values():
            child.over.set()
        self.at_work.clear()


def dead(stage: Stage) -> tuple[ServiceHub, Dead]:
    """A hub of farms that never answer."""
    start = Dead()
    return ServiceHub(stage.namespaces, stage.section, stage.state / "serve", start, clock=stage.clock), start


@pytest.mark.parametrize(("late", "hung_s"), [(True, 60.0), (False, 0.0)])
def test_dead_farms_leave_places_to_those_that_answer(
    late: bool, hung_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that hung the last time, ended in time (``look_within_s`` may be short) or by itself, share half of the places."""
    monkeypatch.setattr(places, "_HUNG_S", hung_s)
    stage = Stage(tmp_path, ("a", "b", "c", "d"), looks_at_once=2)

    async def scene() -> None:
        hub, start = dead(stage)
        start.late = late
        for name in ("a", "b"):
            await hub.look(name, ANNA)
        await until(hub, lambda: set(start.at_work) == {"a", "b"})
        start.end()
        await hub.jobs.idle()
        asked = [await hub.look(name, ANNA) for name in ("a", "b", "c", "d")]
        await until(hub, lambda: set(start.at_work) == {"a", "c"})
        start.at_work.pop("c").over.set()
        await until(hub, lambda: set(start.at_work) == {"a", "d"})
        assert hub.job(asked[1].id).began is None
        await hub.close()

    play(scene)


def test_a_change_does_not_wait_for_the_place_of_a_look(tmp_path: Path) -> None:
    """It begins at once, whatever other farms do; so does what comes after a look that was stopped while it waited."""
    stage = Stage(tmp_path, ("contoso", "other"), looks_at_once=1, look_within_s=120)

    async def scene() -> None:
        hub, start = dead(stage)
        run_id = stage.run(RunPhase.UNDONE)
        await hub.look("other", ANNA)
        await until(hub, lambda: "other" in start.at_work)
        waits = await hub.look("contoso", ANNA)
        back = await hub.act("contoso", run_id, "rollback", ANNA)
        await until(hub, lambda: "contoso" in start.at_work)
        assert (hub.job(back.id).began is None, hub.job(waits.id).began) == (False, None)
        assert start.deadlines == [("watch", 120), ("rollback", None)]  # a change is never ended
        start.at_work["contoso"].over.set()
        await until(hub, lambda: hub.job(back.id).ended is not None)
        await hub.stop(waits.id, ANNA)
        await until(hub, lambda: not hub.jobs.queued("contoso"))
        await hub.close()

    play(scene)


def test_a_change_is_shown_for_as_long_as_it_is_at_work(tmp_path: Path) -> None:
    """Though a confirmation comes and goes beside it: one that hangs then says nothing any more."""
    stage = Stage(tmp_path)

    async def scene() -> None:
        hub, start = dead(stage)
        run_id = stage.run(RunPhase.UNDONE)
        back = await hub.act("contoso", run_id, "rollback", ANNA)
        await until(hub, lambda: hub.state("contoso").job is not None)
        hangs = start.at_work.pop("contoso")
        kept = await hub.act("contoso", run_id, "confirm", ANNA)
        await until(hub, lambda: "contoso" in start.at_work)
        start.end()
        await until(hub, lambda: hub.job(kept.id).ended is not None)
        seen = hub.state("contoso").job
        assert seen is not None
        assert seen.id == back.id
        hangs.over.set()
        await hub.jobs.idle()
        assert hub.state("contoso").job is None

    play(scene)


def test_a_farm_whose_turn_comes_while_the_service_ends(tmp_path: Path) -> None:
    """Nothing is begun there, and the schedule goes on: else the manager would kill the step that is waited for."""
    stage = Stage(tmp_path, ("a", "b"))

    async def scene() -> None:
        hub, start = dead(stage)
        await hub.look("a", ANNA)
        await until(hub, lambda: "a" in start.at_work)
        closing = asyncio.ensure_future(hub.jobs.close(30))
        await asyncio.sleep(0)
        stage.clock.pass_s(100_000)
        await hub.rounds.tick()
        assert hub.rounds.ticked_at_s == stage.clock.now_s()
        await closing
        assert list(start.at_work) == ["a"]

    play(scene)


def test_an_ended_job_keeps_no_document(tmp_path: Path) -> None:
    """What a look printed is in the state; forty of them for each farm would fill the memory over the days."""
    stage = Stage(tmp_path)
    stage.say("watch", look())

    async def scene() -> None:
        hub = stage.hub()
        job = await hub.look("contoso", ANNA)
        await hub.jobs.idle()
        result = hub.jobs.get(job.id).result
        assert result is not None
        assert (result.code, result.document) == (0, None)
        assert hub.state("contoso").looked_at is not None

    play(scene)


def test_what_nobody_thought_of_ends_one_job_and_not_the_queue(tmp_path: Path) -> None:
    """The next one begins, and this one says so."""
    stage = Stage(tmp_path)

    async def start(words: Sequence[str], actor: str, deadline_s: float | None, order: str) -> Child:
        raise RecursionError

    async def scene() -> None:
        hub = ServiceHub(stage.namespaces, stage.section, stage.state / "serve", start, clock=stage.clock)
        for _ in range(2):
            job = await hub.look("contoso", ANNA)
            await hub.jobs.idle()
            found = hub.job(job.id)
            assert found.ended is not None
            assert found.error is not None
            assert found.error["kind"] == "RecursionError"
        assert hub.jobs.queued("contoso") == ()

    play(scene)
