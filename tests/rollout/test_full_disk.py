"""The disk under the ledger is full while a run is on."""

from __future__ import annotations

import resource
import threading
from pathlib import Path

from tests.rollout.rig import Reference, Rehearsal, events


def test_a_run_whose_ledger_cannot_be_written_stands_half_way_and_goes_back(
    rehearsal: Rehearsal, reference: Reference, tmp_path: Path
) -> None:
    """Nothing more is done than is written down; the exit code says half-way, and a rollback finds everything."""
    pause = threading.Event()
    with rehearsal.start(tmp_path, "apply", "--yes", "--quiet", "--no-canary") as process:
        while events(tmp_path) < reference.there // 4:
            assert process.poll() is None, "the run was over before the disk was full"
            pause.wait(0.003)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, 1))
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 6, said
    assert "Traceback" not in said
    code, said = rehearsal.run(tmp_path, "rollback", "--quiet", "--no-canary")
    assert code == 0, said
    assert rehearsal.snapshot() == reference.before
