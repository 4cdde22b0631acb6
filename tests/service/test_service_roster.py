"""Farms that come and go while the service runs: by files in a folder, without anything under way being touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from lbsync.ledger import Ledger
from lbsync.run import Ending, RunEnded, RunPhase, TurnedBack
from lbsync.service.events import Feed
from lbsync.service.farm import Farm
from lbsync.service.hub import ServiceHub
from lbsync.service.keeping import Store
from lbsync.service.namespaces import Found, Namespace, look_through
from lbsync.service.port import NotFound
from lbsync.service.roster import Roster
from lbsync.service.schedule import first
from lbsync.service.values import Level
from tests.service.rig import ANNA, NOW, Stage, TurnedClock, error, look, play, refused, until

_EVERY = 5
"""Ticks between two looks into the folder."""


class Folder(Stage):
    """A stage whose folder of configurations is looked into again and again."""

    def hub(self, find: Callable[[], Found] | None = None) -> ServiceHub:
        """One that sees who comes and goes."""
        return super().hub(find or partial(look_through, self.folder, self.state))


def test_a_file_that_comes_is_a_farm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Seen, told and looked at without a restart; one that is broken is shown with the reason, one without a name told once."""
    stage = Folder(tmp_path, ("b",))
    stage.say("watch", look())

    async def scene() -> None:
        hub = stage.hub()
        await stage.turns(hub)
        stage.say("watch", error("ConfigError", message="line 1: this is no TOML"), 1)
        for name in ("a.toml", "no name.toml"):
            (tmp_path / name).touch()
        async with hub.events() as events:
            await stage.turns(hub, 2 * _EVERY)
            assert (await anext(events)).ns == "a"
        assert list(hub.states()) == ["a", "b"]
        assert "this is no TOML" in hub.state("a").error
        assert (hub.state("b").error, hub.state("b").looked_at) == ("", NOW)
        (told,) = (one.getMessage() for one in caplog.records if "passed over" in one.getMessage())
        assert told.startswith(f'{tmp_path}/no name.toml: "no name" cannot be the name of a namespace')

    play(scene)


def test_a_new_farm_makes_nothing_unready(tmp_path: Path) -> None:
    """Whoever asks whether the service is ready does not take it out of use because one more farm is there."""
    stage = Folder(tmp_path, ("b",))
    stage.say("watch", look())

    async def scene() -> None:
        hub = stage.hub()
        hub.start()
        await until(hub, lambda: hub.state("b").looked_at is not None)
        stage.waits("watch")
        (tmp_path / "a.toml").touch()
        await hub.rounds.tick()
        while "a" not in hub.states():
            await hub.rounds.tick()
        assert hub.ready() == (True, "2 namespaces")
        await hub.close()

    play(scene)


def test_a_file_that_goes(tmp_path: Path) -> None:
    """What is under way ends by itself and is shown till then; nothing more is begun, and the farm comes back with its file."""
    stage = Folder(tmp_path, ("a", "b"), looks_at_once=2)
    stage.say("watch", look())

    async def scene() -> None:
        hub = stage.hub()
        await stage.turns(hub)
        stage.waits("watch")
        job = await hub.look("a", ANNA)
        async with hub.events() as events:
            while hub.jobs.get(job.id).child is None:
                await anext(events)
        (tmp_path / "a.toml").unlink()
        for _ in range(2 * _EVERY):
            await hub.rounds.tick()
        assert "configuration was removed" in hub.state("a").error
        assert hub.job(job.id).ended is None
        assert (await refused(hub.advice("a", ANNA))).code == "busy"
        stage.waits("watch", wanted=False)
        await hub.stop(job.id, ANNA)
        await hub.jobs.idle()
        assert list(hub.states()) == ["a", "b"]  # so that its end can be told
        assert (await refused(hub.look("a", ANNA))).code == "busy"
        await stage.turns(hub, _EVERY)
        assert list(hub.states()) == ["b"]
        with pytest.raises(NotFound):
            hub.state("a")
        before = len(stage.calls)
        stage.clock.pass_s(100_000)
        await stage.turns(hub, _EVERY)
        assert not any(f"{tmp_path}/a.toml" in words for words, _ in stage.calls[before:])
        (tmp_path / "a.toml").touch()
        await stage.turns(hub, 2 * _EVERY)
        assert (hub.state("a").error, list(hub.states())) == ("", ["a", "b"])
        assert any(f"{tmp_path}/a.toml" in words for words, _ in stage.calls[before:])

    play(scene)


def test_a_run_of_a_farm_that_is_gone_is_left_half_way_once_nobody_is_at_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While somebody is, it ends by itself; then it is told, once, which one is not carried on, and shown until it is at rest."""
    stage = Folder(tmp_path, ("a", "b"))
    stage.waits("rollback")

    async def scene() -> None:
        hub = stage.hub()
        run_id = stage.run(RunPhase.APPLYING)
        job = await hub.act("a", run_id, "rollback", ANNA)
        await until(hub, lambda: bool(hub.job(job.id).lines))
        (tmp_path / "a.toml").unlink()
        for _ in range(2 * _EVERY):
            await hub.rounds.tick()
        assert hub.state("a").error.endswith("nothing else is begun.")
        await hub.stop(job.id, ANNA)
        await hub.jobs.idle()
        for _ in range(3 * _EVERY):
            await hub.rounds.tick()
        await hub.jobs.idle()
        told = [one.getMessage() for one in caplog.records if "stands half-way" in one.getMessage()]
        assert [(line.startswith("a: "), run_id in line) for line in told] == [(True, True)]
        state = hub.states()["a"]
        assert (state.gone, state.level, [run.interrupted for run in state.runs]) == (True, Level.UNKNOWN, [True])
        assert (await refused(hub.act("a", run_id, "resume", ANNA))).code == "busy"
        with Ledger(stage.namespaces[0].ledger) as ledger:  # as the command line ends it
            for event in (TurnedBack(reason="asked for", actor="root"), RunEnded(outcome=Ending.UNDONE)):
                ledger.append(run_id, event)
        await stage.turns(hub, 2 * _EVERY)
        assert list(hub.states()) == ["b"]
        (tmp_path / "a.toml").touch()
        await stage.turns(hub, 2 * _EVERY)
        assert not hub.states()["a"].gone

    play(scene)


def test_a_folder_that_fails_removes_no_farm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that is not mounted, or empty, told once; and a file that is not there while an editor writes it."""
    here, store, feed, clock = tmp_path / "farms", Store(tmp_path / "serve"), Feed(), TurnedClock()

    def make(one: Namespace, index: int, count: int) -> Farm:
        return Farm(one, store, feed, first(index, count, clock.now_s(), 3600.0, None))

    farms: dict[str, Farm] = {}
    roster = Roster(farms, partial(look_through, here, tmp_path), make, clock)

    def gone() -> list[str]:
        asyncio.run(roster.look())
        return [name for name, farm in farms.items() if farm.gone]

    assert gone() == []
    here.mkdir()
    for name in ("a.toml", "b.toml"):
        (here / name).touch()
    assert gone() == []
    assert list(farms) == ["a", "b"]
    (here / "a.toml").unlink()
    assert gone() == []
    (here / "a.toml").touch()
    assert gone() == []
    for name in ("a.toml", "b.toml"):
        (here / name).rename(here / f"{name}.off")
    caplog.clear()
    assert gone() == gone() == gone() == []
    assert [record.getMessage() for record in caplog.records] == [
        f"{here}: there is no configuration file in this folder; the farms of before are kept"
    ]
    (here / "a.toml").touch()
    assert gone() == []
    assert gone() == gone() == ["b"]
    assert "b: its configuration was removed" in caplog.text
