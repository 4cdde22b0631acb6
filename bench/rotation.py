"""Rotations of the whole farm under load, and one certificate to many balancers.

NGINX's swaps are measured by form in ``bench.swaps``.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.measure import ProgramFailed, run
from bench.rollout import edit, lbsync, load_spec, patient_checks, rehearsal, tell
from lbsync.testing.load import Load

_MANY = 50
_SLOWER_GOAL = 3.0
_MEMORY_GOAL_MIB = 1.0


def report(*, quick: bool) -> None:
    """Print what clients met while certificates were rotated, and what fifty balancers cost."""
    _under_load("haproxy", 4 if quick else 40)
    _under_load("bigip", 2 if quick else 10)
    _many(1 if quick else 5)


def _under_load(balancer: str, times: int) -> None:
    """Back and forth between two renewed certificates, on the balancer and on each server, by ``lbsync rotate``."""
    print(
        f"\n{times} rotations under load, {'a real HAProxy' if balancer == 'haproxy' else 'a simulated BIG-IP'}, four servers"
    )
    try:
        with tempfile.TemporaryDirectory(prefix="lbb-") as folder, rehearsal(Path(folder), balancer) as config:
            if balancer == "haproxy":
                patient_checks(config)
            else:  # each request goes its own way: else no drain ends while clients keep their connections
                _without_ntlm(config)
            lbsync(config, "apply", "--yes")
            leaves = [config.with_name(f"thumbprint-{number}").read_text(encoding="ascii") for number in (1, 2)]
            spec = load_spec(Path(folder))
            with Load(spec) as load:
                took = [
                    lbsync(config, "rotate", "--yes", "--force", "--thumbprint", leaves[number % 2])
                    for number in range(times)
                ]
            print(f"  a rotation: {statistics.median(took):.1f} s in the middle, {max(took):.1f} s the longest")
            tell(spec, load.result)
    except ProgramFailed as error:
        print(f"  NOT MEASURED: {error}")


def _without_ntlm(config: Path) -> None:
    lines = config.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("mrsproxy_host =", "mrsproxy_address =", "mrsproxy_port ="))]
    config.write_text("".join(kept), encoding="utf-8")
    edit(config, "bind_address", 'ntlm = "unused"\nbind_address')


def _many(times: int) -> None:
    print(f"\nOne certificate to {_MANY} balancers, 20 ms each way, simulated; plan, engine and ledger are real")
    with tempfile.TemporaryDirectory(prefix="lbb-") as folder:
        ones = [_rotated(1, Path(folder) / f"one-{number}") for number in range(times)]
        many = [_rotated(_MANY, Path(folder) / f"many-{number}") for number in range(times)]
    slowest = max(one["seconds"] for one in ones)
    took = statistics.median(one["seconds"] for one in many)
    more_mib = (many[0]["peak_mib"] - ones[0]["peak_mib"]) / (_MANY - 1)
    print(f"  one: {slowest:.2f} s the slowest; {_MANY}: {took:.2f} s, {many[0]['steps']} steps")
    print(f"  -> {took / slowest:.1f} x the slowest single one (goal: at most {_SLOWER_GOAL:g})")
    print(f"  -> {more_mib:.2f} MiB more for each balancer (goal: at most {_MEMORY_GOAL_MIB:g})")


def _rotated(count: int, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    told: dict[str, Any] = json.loads(run([sys.executable, "-m", "bench.many", str(count), str(folder)]).output)
    return told
