"""The real command, killed: SIGKILL at a seeded moment of an apply or a rollback, then carried on or taken back.

``make test`` kills ten times through HAProxy and some times through each NGINX and BIG-IP, ``make soak`` five
hundred times, evenly (LBSYNC_KILLS; LBSYNC_SEED moves the seeds).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.longer import IS_LONGER
from tests.rollout.fronts import (
    BIGIP_CONNECTIONS,
    BIGIP_REQUESTS,
    HAPROXY,
    NGINX_HTTP,
    NGINX_STREAM,
    OVER_SSH,
    Kind,
)  # fmt: skip
from tests.rollout.rig import Reference, Rehearsal, events, kill_at

_KILLS = int(os.environ.get("LBSYNC_KILLS") or 0)
_FIRST_SEED = int(os.environ.get("LBSYNC_SEED") or 1)
_KINDS = {
    HAPROXY: 1, NGINX_STREAM: 0, NGINX_HTTP: 0, OVER_SSH[0]: 0, OVER_SSH[1]: 0, BIGIP_CONNECTIONS: 0, BIGIP_REQUESTS: 0,
}  # fmt: skip
"""How many kills every run has of each; the longer run has two more."""
_DONE, _TAKEN_BACK = 0, 5
_MOST_DELAY_S = 0.06
"""A little later than the event waited for: between two of them, or in the middle of an effect."""


def _planned() -> Iterator[tuple[Kind, range]]:
    """Which seeds go through which balancer.

    A rehearsal and its undisturbed run are made once per balancer and test process, so that a few kills share a test.
    """
    if _KILLS:
        kinds = tuple(_KINDS)
        for number in range(_KILLS):
            seed = _FIRST_SEED + number
            yield kinds[number % len(kinds)], range(seed, seed + 1)
        return
    for kind, kills in _KINDS.items():
        for seed in range(_FIRST_SEED, _FIRST_SEED + kills + 2 * IS_LONGER):
            yield kind, range(seed, seed + 1)


@pytest.mark.parametrize(
    ("kind", "seeds"), [pytest.param(kind, seeds, id=f"{kind}-{seeds[0]}") for kind, seeds in _planned()]
)
def test_a_killed_command_ends_applied_or_as_before(
    kind: Kind, seeds: range, rehearsal: Rehearsal, reference: Reference, tmp_path: Path
) -> None:
    """However it was killed, resume and rollback leave all of the change or none of it."""
    for seed in seeds:
        state = tmp_path / str(seed)
        state.mkdir()
        try:
            _kill_and_recover(random.Random(seed), rehearsal, reference, state)  # noqa: S311 -- an order that repeats
        except BaseException as failed:
            failed.add_note(f"{kind}, seed {seed}")
            raise


def _kill_and_recover(dice: random.Random, rehearsal: Rehearsal, reference: Reference, state: Path) -> None:
    if dice.random() < 0.7:
        victim, span = ["apply", "--yes", "--no-canary"], reference.there
    else:
        victim, span = ["rollback", "--no-canary"], reference.back
        code, said = rehearsal.run(state, "apply", "--yes", "--quiet", "--no-canary")
        assert code == _DONE, said
    goal = events(state) + dice.randint(0, span - 1)
    kill_at(rehearsal.start(state, *victim, "--quiet"), state, goal, dice.uniform(0, _MOST_DELAY_S))

    if dice.random() < 0.3 and events(state):
        again = dice.choice((["resume"], ["rollback", "--no-canary"]))
        goal = events(state) + dice.randint(1, 20)
        kill_at(rehearsal.start(state, *again, "--quiet"), state, goal, dice.uniform(0, _MOST_DELAY_S))

    if events(state) == 0:
        assert rehearsal.snapshot() == reference.before, "killed before anything was written down, and yet changed"
        return
    if dice.random() < 0.5:
        _resume(rehearsal, reference, state)
    code, said = rehearsal.run(state, "rollback", "--quiet", "--no-canary")
    assert code == _DONE, said
    assert rehearsal.snapshot() == reference.before


def _resume(rehearsal: Rehearsal, reference: Reference, state: Path) -> None:
    """Carry the run on, where it is unfinished; it ends in one of the two states, and its exit code says in which."""
    code, said = rehearsal.run(state, "resume", "--quiet")
    if "there is nothing to resume" in said:
        return
    assert code in {_DONE, _TAKEN_BACK}, said
    assert rehearsal.snapshot() in (reference.applied, reference.before), said
