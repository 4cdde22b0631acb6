"""The service in front of a rehearsal farm: it looks, proposes, and carries out what was approved; killed, it carries on.

``LBSYNC_KILLS`` and ``LBSYNC_SEED`` give more kills, as in ``test_sigkill``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from lbsync.cli.exits import ExitCode
from lbsync.kit.handshake import handshake
from lbsync.ledger import Ledger
from tests.rollout.rig import Rehearsal, events
from tests.rollout.test_rotate import HOST, bring, forget, renewed
from tests.rollout.test_watch import config

_KILLS = int(os.environ.get("LBSYNC_KILLS") or 1)
_FIRST_SEED = int(os.environ.get("LBSYNC_SEED") or 1)
_PATIENCE_S = 180.0


@pytest.fixture
def published(rehearsal: Rehearsal, tmp_path: Path) -> Generator[Rehearsal]:
    """A rehearsal whose balancer serves the first certificate, until the test has ended."""
    before = tmp_path / "before"
    assert rehearsal.run(before, "apply", "--yes", "--quiet", "--no-canary")[0] == ExitCode.OK
    yield rehearsal
    code, said = rehearsal.run(before, "rollback", "--quiet", "--no-canary")
    assert code == ExitCode.OK, said


class Served:
    """The service at work, and how it is asked."""

    def __init__(self, process: subprocess.Popen[str], state: Path) -> None:
        self.process = process
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Serving at "):
                break
        assert "Serving at " in said, said
        self._at = said.rpartition("Serving at ")[2].partition(";")[0].strip()
        self._token = (state / "serve.token").read_text(encoding="ascii").strip()
        threading.Thread(target=process.stdout.read, daemon=True).start()  # a pipe that nobody reads fills

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """An answer of its API."""
        answer = requests.request(
            method,
            f"{self._at}/api/v1/{path}",
            json=body,
            timeout=30,
            headers={"Authorization": f"Bearer {self._token}"},
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def until(self, true: Callable[[Any], bool], ns: str) -> Any:
        """The namespace, once that is so of it."""
        seen: dict[str, Any] = {}

        def answer() -> Any:
            seen.update(self.ask("GET", f"namespaces/{ns}"))
            return seen if true(seen) else None

        try:
            return until(answer)
        except AssertionError:
            pytest.fail(f"it did not come about: {seen['error']} {seen['job']} {seen['items']}")

    def children(self) -> list[int]:
        """The processes that it began and that are at work."""
        task = Path(f"/proc/{self.process.pid}/task")
        with suppress(OSError):
            return [int(pid) for one in task.iterdir() for pid in (one / "children").read_text().split()]
        return []


def until(answer: Callable[[], Any]) -> Any:
    """The first answer that is not ``None``."""
    pause, waited_s = threading.Event(), 0.0
    while waited_s < _PATIENCE_S:
        found = answer()
        if found is not None:
            return found
        pause.wait(0.05)
        waited_s += 0.05
    raise AssertionError("it did not come about")


@contextmanager
def serving(rehearsal: Rehearsal, state: Path, path: str) -> Generator[Served]:
    """The service, ended in order where it runs still."""
    with rehearsal.start(state, "serve", "--config", path) as process:
        try:
            yield Served(process, state)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(120)


def test_it_looks_proposes_and_carries_out_what_was_approved(published: Rehearsal, tmp_path: Path) -> None:
    """From a green light to a renewed certificate everywhere, in the names of who asked and who approved."""
    state = tmp_path / "served"
    path = config(
        published, "served.toml", '[service]\nlisten = "127.0.0.1:0"\nlook_every_s = 86400\ndrift_every_s = 86400\n'
    )
    new = renewed(published)
    try:
        with serving(published, state, path) as served:
            seen = served.until(lambda found: bool(found["looked_at"]), "served")
            assert {one["light"] for one in seen["listeners"]} == {"green"}, seen
            assert {one["mode"] == one["wanted"] for one in seen["modes"]} == {True}
            assert not seen["proposals"]
            bring(published, new)
            served.ask("POST", "namespaces/served/look")
            seen = served.until(lambda found: bool(found["proposals"]), "served")
            (proposal,) = seen["proposals"]
            assert (proposal["kind"], proposal["asked_by"]) == ("rotate", "schedule")
            job = served.ask("POST", f"namespaces/served/proposals/{proposal['id']}/approve")
            job = until(lambda: found if (found := served.ask("GET", f"jobs/{_job(job)}"))["ended"] else None)
            assert job["exit_code"] == ExitCode.OK, job
            seen = served.until(
                lambda found: {one["thumbprint"] for one in found["listeners"]} == {new.thumbprint}, "served"
            )
            assert {one["light"] for one in seen["listeners"]} == {"green"}, seen
            (run,) = served.ask("GET", "namespaces/served/runs")
            assert (run["phase"], "asked by schedule via lbsync serve" in run["actor"]) == ("applied", True)
            assert run["order"] == proposal["id"]
            assert served.ask("GET", "namespaces/served/ledger")["ok"]
            process = served.process
        assert process.returncode == 0
        assert {server.iis.bound for server in published.farm.state.servers.values()} == {new.thumbprint}
        code, said = published.run(state, "rollback", "--quiet", "--no-canary")
        assert code == ExitCode.OK, said
    finally:
        forget(published, new)


def _job(answer: dict[str, Any]) -> str:
    """The job's id, whichever way the answer holds it."""
    return cast("str", (answer.get("job") or answer)["id"])


@pytest.mark.parametrize("seed", range(_FIRST_SEED, _FIRST_SEED + _KILLS))
def test_a_killed_service_carries_on_what_it_began(seed: int, published: Rehearsal, tmp_path: Path) -> None:
    """The service, or its child, or both at once: the chain holds, and in the end all have the new certificate or the old one."""
    dice = random.Random(f"serve {seed}")  # noqa: S311 -- an order that repeats
    state, new = tmp_path / "served", renewed(published)
    state.mkdir()
    settings = '[service]\nlisten = "127.0.0.1:0"\napprove = false\nlook_every_s = 3600\n[watch]\nrotate = true\n'
    path = config(published, "killed.toml", settings)
    bring(published, new)
    try:
        with serving(published, state, path) as served:
            goal = dice.randint(1, 40)
            until(lambda: True if events(state) >= goal or _at_rest(state) else None)
            children = served.children()
            victims = dice.choice(([served.process.pid], children, [served.process.pid, *children]))
            for pid in victims:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with serving(published, state, path):
            until(lambda: True if _at_rest(state) else None)
        with Ledger(state / "ledger.db") as ledger:
            ledger.verify_chain()
            (run, *_) = ledger.runs()
        assert "via lbsync serve" in run.actor
        running = published.balancer.running
        served_leaf = handshake(running.address, running.https_port, HOST, ca_pem=published.farm.ca_pem).fingerprint
        bound = {server.iis.bound for server in published.farm.state.servers.values()}
        ends = {"applied": new.info, "undone": published.farm.leaf.info}[run.phase.value]
        assert (served_leaf, bound) == (ends.fingerprint, {ends.thumbprint})
        if run.phase.value == "applied":
            code, said = published.run(state, "rollback", run.run_id, "--quiet", "--no-canary")
            assert code == ExitCode.OK, said
    finally:
        forget(published, new)


def _at_rest(state: Path) -> bool:
    """Whether there was a run, and none is half-way."""
    if not events(state):
        return False
    with Ledger(state / "ledger.db") as ledger:
        return all(not run.phase.unfinished for run in ledger.runs())
