"""The real command, killed while it rotates: the old certificate everywhere or the new one, never both.

``LBSYNC_KILLS`` and ``LBSYNC_SEED`` give more of them, as in ``test_sigkill``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.kit.handshake import handshake
from lbsync_certs import Bundle
from tests.longer import IS_LONGER
from tests.rollout.fronts import BIGIP_CONNECTIONS, HAPROXY, NGINX_HTTP, NGINX_STREAM, Kind
from tests.rollout.rig import Rehearsal, Snapshot, events, kill_at
from tests.rollout.test_rotate import HOST, bring, forget, renewed

_KINDS = (HAPROXY, NGINX_STREAM, BIGIP_CONNECTIONS, NGINX_HTTP)
_KILLS = int(os.environ.get("LBSYNC_KILLS") or (4 if IS_LONGER else 1))
_FIRST_SEED = int(os.environ.get("LBSYNC_SEED") or 1)
_MOST_DELAY_S = 0.06


def _planned() -> Iterator[tuple[Kind, int]]:
    """A seed for each kill, through every balancer in turn."""
    for number in range(_KILLS):
        yield _KINDS[number % len(_KINDS)], _FIRST_SEED + number


@pytest.fixture
def published(rehearsal: Rehearsal, tmp_path: Path) -> Iterator[Rehearsal]:
    """A rehearsal whose balancer serves the first certificate, until the test has ended."""
    before = tmp_path / "before"
    assert rehearsal.run(before, "apply", "--yes", "--quiet", "--no-canary")[0] == ExitCode.OK
    yield rehearsal
    code, said = rehearsal.run(before, "rollback", "--quiet", "--no-canary")
    assert code == ExitCode.OK, said


@pytest.mark.parametrize(("kind", "seed"), [pytest.param(kind, seed, id=f"{kind}-{seed}") for kind, seed in _planned()])
def test_a_killed_rotation_ends_old_or_new_everywhere(
    kind: Kind, seed: int, published: Rehearsal, tmp_path: Path
) -> None:
    """However it was killed: resumed it ends in one of the two, taken back in the old one."""
    dice = random.Random(f"{kind} {seed}")  # noqa: S311 -- an order that repeats
    state, before, new = tmp_path / "rotation", published.snapshot(), renewed(published)
    state.mkdir()
    bring(published, new)
    try:
        goal = dice.randint(1, _events_of_a_rotation(published, tmp_path))
        kill_at(
            published.start(state, "rotate", "--yes", "--quiet", "--no-canary"),
            state,
            goal,
            dice.uniform(0, _MOST_DELAY_S),
        )
        if events(state) and dice.random() < 0.5:
            code, said = published.run(state, "resume", "--quiet")
            assert code in {ExitCode.OK, ExitCode.TAKEN_BACK} or "nothing to resume" in said, said
            assert _everywhere(published, before, new), said
        if events(state):
            code, said = published.run(state, "rollback", "--quiet", "--no-canary")
            assert code == ExitCode.OK, said
        assert published.snapshot() == before
    finally:
        forget(published, new)


def _events_of_a_rotation(rehearsal: Rehearsal, folder: Path) -> int:
    """How many events one that nobody disturbs writes; it is taken back."""
    state = folder / "undisturbed"
    code, said = rehearsal.run(state, "rotate", "--yes", "--quiet", "--no-canary")
    assert code == ExitCode.OK, said
    count = events(state)
    code, said = rehearsal.run(state, "rollback", "--quiet", "--no-canary")
    assert code == ExitCode.OK, said
    return count


def _everywhere(rehearsal: Rehearsal, before: Snapshot, new: Bundle) -> bool:
    """Whether clients and all servers have one certificate: the old one with everything as before, or the new one."""
    running, now = rehearsal.balancer.running, rehearsal.snapshot()
    served = handshake(running.address, running.https_port, HOST, ca_pem=rehearsal.farm.ca_pem).fingerprint
    if served == rehearsal.farm.leaf.fingerprint:
        return now == before
    return served == new.fingerprint and set(now.bound.values()) == {new.info.thumbprint}
