"""Jobs: what is left of one that ended, and one that nobody thought of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lbsync.service.children import Child
from lbsync.service.hub import ServiceHub
from tests.service.rig import ANNA, Stage, look, play


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

    async def start(words: Sequence[str], actor: str, deadline_s: float | None) -> Child:
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
