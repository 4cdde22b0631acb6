"""The real command, killed: SIGKILL at a seeded moment of an apply or a rollback, then carried on or taken back.

``make test`` kills thirty times, ``make soak`` five hundred (LBSYNC_KILLS; LBSYNC_SEED moves the seeds).
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
from pathlib import Path

import pytest

from tests.rollout.rig import Reference, Rehearsal, events

_KILLS = int(os.environ.get("LBSYNC_KILLS") or 30)
_FIRST_SEED = int(os.environ.get("LBSYNC_SEED") or 1)
_DONE, _TAKEN_BACK = 0, 5
_MOST_DELAY_S = 0.06
"""A little later than the event waited for: between two of them, or in the middle of an effect."""


def _kill_at(process: subprocess.Popen[str], state: Path, goal: int, delay_s: float) -> None:
    """Kill once the ledger holds ``goal`` events and ``delay_s`` more has passed, unless it ended before."""
    pause = threading.Event()
    while process.poll() is None and events(state) < goal:
        pause.wait(0.003)
    pause.wait(delay_s)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("seed", range(_FIRST_SEED, _FIRST_SEED + _KILLS))
def test_a_killed_command_ends_applied_or_as_before(
    seed: int, rehearsal: Rehearsal, reference: Reference, tmp_path: Path
) -> None:
    """However it was killed, resume and rollback leave all of the change or none of it."""
    dice = random.Random(seed)  # noqa: S311 -- an order that repeats, no secret
    if dice.random() < 0.7:
        victim, span = ["apply", "--yes", "--no-canary"], reference.there
    else:
        victim, span = ["rollback", "--no-canary"], reference.back
        code, said = rehearsal.run(tmp_path, "apply", "--yes", "--quiet", "--no-canary")
        assert code == _DONE, said
    goal = events(tmp_path) + dice.randint(0, span - 1)
    _kill_at(rehearsal.start(tmp_path, *victim, "--quiet"), tmp_path, goal, dice.uniform(0, _MOST_DELAY_S))

    if dice.random() < 0.3 and events(tmp_path):
        again = dice.choice((["resume"], ["rollback", "--no-canary"]))
        goal = events(tmp_path) + dice.randint(1, 20)
        _kill_at(rehearsal.start(tmp_path, *again, "--quiet"), tmp_path, goal, dice.uniform(0, _MOST_DELAY_S))

    if events(tmp_path) == 0:
        assert rehearsal.snapshot() == reference.before, "killed before anything was written down, and yet changed"
        return
    if dice.random() < 0.5:
        _resume(rehearsal, reference, tmp_path)
    code, said = rehearsal.run(tmp_path, "rollback", "--quiet", "--no-canary")
    assert code == _DONE, said
    assert rehearsal.snapshot() == reference.before


def _resume(rehearsal: Rehearsal, reference: Reference, state: Path) -> None:
    """Carry the run on, where it is unfinished; it ends in one of the two states, and its exit code says in which."""
    code, said = rehearsal.run(state, "resume", "--quiet")
    if "there is nothing to resume" in said:
        return
    assert code in {_DONE, _TAKEN_BACK}, said
    assert rehearsal.snapshot() in (reference.applied, reference.before), said
