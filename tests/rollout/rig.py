"""A rehearsal to be cruel to: a simulated farm of two servers, a real balancer, and the real command as a process.

Rule of this file: it starts, looks and compares; what is done to the rehearsal stands in the tests.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from lbsync.lab.farm import LabFarm
from lbsync.lab.spec import LabSpec
from tests.rollout.fronts import HAPROXY, Front, Kind, stand


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a rollback has to bring back: IIS own values, AD, bound certificates, the balancer's files byte for byte."""

    own_values: dict[str, dict[str, str | None]]
    bound: dict[str, str | None]
    outlook_anywhere: dict[str, dict[str, object]]
    files: dict[str, str]
    """Path to mode and SHA-256."""
    live: dict[str, str] | None
    """What the balancer runs, in its own words; ``None`` where nothing of ours."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The farm, the balancer in front of it, and the configuration that names both."""

    farm: LabFarm
    balancer: Front
    config: Path

    def snapshot(self) -> Snapshot:
        """Everything as it is now."""
        states = self.farm.state.servers
        return Snapshot(
            own_values={name: server.iis.own_values() for name, server in states.items()},
            bound={name: server.iis.bound for name, server in states.items()},
            outlook_anywhere={name: asdict(own) for name, own in self.farm.state.directory.outlook_anywhere.items()},
            files=self.balancer.files(),
            live=self.balancer.live(),
        )

    def start(self, state: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """The command, started; ``state`` is its folder of ledger and reports. ``env`` comes on top of this process's."""
        return subprocess.Popen(
            [sys.executable, "-m", "lbsync", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ, "LBSYNC_CONFIG": str(self.config), "LBSYNC_STATE": str(state),
                "LBSYNC_WINRM_PASSWORD": self.farm.password, "NO_COLOR": "1", "COLUMNS": "140", **(env or {}),
            },
        )  # fmt: skip

    def run(self, state: Path, *arguments: str, timeout_s: float = 120) -> tuple[int, str]:
        """The command, run to its end: exit code and what it said."""
        process = self.start(state, *arguments)
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            pytest.fail(f"lbsync {' '.join(arguments)} did not end within {timeout_s} s:\n{said}")
        return process.returncode, said


@contextmanager
def rehearse(folder: Path, kind: Kind = HAPROXY) -> Generator[Rehearsal]:
    """A running rehearsal below ``folder``, whose path must be short: a unix socket's may have about a hundred bytes."""
    names = kind.extra_names
    spec = LabSpec(servers=2, faults=0, seed=7, oa_lag_s=0.2, gap_s=0.05, warm_up_s=0.0, ping_s=0.2, extra_names=names)
    with LabFarm(spec, folder / "farm") as farm, stand(kind, folder) as front:
        yield Rehearsal(farm, front, write_config(farm, front, folder / "lbsync.toml", modes=kind.modes))


def write_config(
    farm: LabFarm,
    front: Front,
    path: Path,
    certificate: Mapping[str, object] | None = None,
    *,
    modes: Mapping[str, str] = HAPROXY.modes,
) -> Path:
    """A configuration that names both; ``certificate`` is its table of that name. Returns ``path``."""
    farm.write_config(
        path,
        balancers=[front.entry],
        modes=modes,
        limits={"drain_timeout_s": 20.0},
        certificate=certificate or {"source": "server"},
    )
    text = path.read_text(encoding="utf-8")
    client_ca = f'[publish]\nclient_ca_file = "{farm.directory / "ca.pem"}"\n'
    path.write_text(text.replace("[publish]\n", client_ca), encoding="utf-8")
    return path


@dataclass(frozen=True, slots=True)
class Reference:
    """What one undisturbed apply and rollback were like."""

    before: Snapshot
    applied: Snapshot
    there: int
    """Events of the apply."""
    back: int
    """Events of the rollback."""

    @classmethod
    def of(cls, rehearsal: Rehearsal, state: Path) -> Reference:
        """Apply and roll back, undisturbed."""
        before = rehearsal.snapshot()
        code, said = rehearsal.run(state, "apply", "--yes", "--quiet", "--no-canary")
        assert code == 0, said
        applied, there = rehearsal.snapshot(), events(state)
        code, said = rehearsal.run(state, "rollback", "--quiet", "--no-canary")
        assert code == 0, said
        assert rehearsal.snapshot() == before
        assert applied != before
        return cls(before, applied, there, events(state) - there)


def events(state: Path) -> int:
    """How many events the ledger holds; 0 before there is one."""
    ledger = state / "ledger.db"
    if not ledger.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=0.05)) as db:
            return int(db.execute("SELECT count(*) FROM events").fetchone()[0])
    except sqlite3.OperationalError:  # busy, or its table is not made yet
        return 0


def kill_at(process: subprocess.Popen[str], state: Path, goal: int, delay_s: float) -> None:
    """Kill once the ledger holds ``goal`` events and ``delay_s`` more has passed, unless it ended before."""
    pause = threading.Event()
    while process.poll() is None and events(state) < goal:
        pause.wait(0.01)
    pause.wait(delay_s)
    process.kill()
    process.communicate()
