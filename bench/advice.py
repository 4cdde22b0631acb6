"""Advice on many servers: what reading their IIS costs, what judging them costs, and the whole command on a recording of them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lbsync.advice import Advice
from lbsync.advise import advise
from lbsync.desired import FactSet
from lbsync.facts import FarmFacts
from lbsync.recording import Recording, render
from lbsync.target import Capabilities
from lbsync.testing.farm_facts import NOW, balancer_facts, desired, outlook_anywhere_facts
from lbsync.testing.recorded import recorded_server

SHARED = Path(os.environ.get("LBSYNC_SHARED", Path(__file__).resolve().parents[2] / "shared"))
_RECORDED = {
    "2019, Extended Protection off": "e19_applicationHost_EPoff",
    "2019, Extended Protection on": "e19_applicationHost_EPon",
}
_GOAL_S = 2.0
_UNSAFE = Capabilities(ntlm_safe=frozenset(), per_path_modes=False, filters_paths=False)

T = TypeVar("T")


def report(*, quick: bool) -> None:
    """Print both for a farm of 500 servers alike, and for one in which every tenth differs; quick: of 50."""
    servers = 50 if quick else 500
    print(f"\nAdvice on {servers} servers, each read from a recorded applicationHost.config, CPU")
    folder = SHARED / "data" / "exchange" / "css-exchange"
    if not folder.is_dir():
        print(f"  NOT MEASURED: there is no {folder.name} among the shared data")
        return
    files = {name: (folder / f"{file}.config").read_bytes() for name, file in _RECORDED.items()}
    for name, config in files.items():
        _row(name, [config] * servers)
    plain, protected = files.values()
    _row("every tenth protected", [plain if index % 10 else protected for index in range(servers)])


def _row(name: str, configs: list[bytes]) -> None:
    # No two servers' files are the same: nothing that was read is to be found again.
    files = {f"EX{index:03d}": config + f"<!-- {index} -->".encode() for index, config in enumerate(configs)}
    reading, servers = _cpu(lambda: tuple(recorded_server(name, config) for name, config in files.items()))
    facts = FactSet(
        servers=servers,
        farm=FarmFacts(outlook_anywhere=tuple(map(outlook_anywhere_facts, files))),
        balancers=(balancer_facts(),),
    )
    judging, advice = _cpu(lambda: advise(desired(), facts, {"lb1": _UNSAFE}, NOW))
    verdict = "within" if judging <= _GOAL_S else "OVER"
    command = _command(facts)
    print(
        f"  {name:<30} reading {reading:6.2f} s   judging {judging:6.3f} s ({verdict} the goal of {_GOAL_S:g} s)"
        f"   lbsync advise --from {command:5.2f} s   {_count(advice)} findings"
    )


def _command(facts: FactSet) -> float:
    """CPU seconds of the whole command on these servers, recorded: start-up, reading, judging, telling."""
    recording = Recording(lbsync="1.0", taken=NOW, desired=desired(), facts=facts, capabilities={"lb1": _UNSAFE})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "farm.json"
        path.write_text(render(recording), encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        argv = [sys.executable, "-m", "lbsync", "advise", "--from", str(path), "--quiet", "--state", folder]
        subprocess.run(argv, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _count(advice: Advice) -> int:
    return len(advice.farm) + sum(len(verdict.findings) for verdict in advice.services)


def _cpu(work: Callable[[], T]) -> tuple[float, T]:
    begin = time.process_time()
    done = work()
    return time.process_time() - begin, done
