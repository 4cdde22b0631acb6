"""Rotation of a certificate on a BIG-IP: bigip.py [--quick] [--without-ansible].

lbsync against hand-written requests and Ansible, all on one device. A program of its own, as the one of NGINX is.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from bench import bigip_playbook, playbooks
from bench.bigip_rotation import Rotation
from bench.bigip_runs import MOST_REQUESTS, NotRotated, Run, Runs, judge_ours, left_out, runs
from bench.measure import Cost, ProgramFailed, run

Contender = Callable[[Rotation], Cost]
_ITSELF = ("wall_s", "cpu_s")


def _program(name: str, rotation: Rotation, *arguments: str) -> Cost:
    return run([sys.executable, "-m", f"bench.{name}", *rotation.arguments, *arguments])


def _by_hand(how: str, rotation: Rotation) -> Cost:
    return _program("bigip_hand", rotation, how)


_OURS = "lbsync"
_PROGRAMS: Mapping[str, Contender] = {
    _OURS: partial(_program, "bigip_ours"),
    "by hand, the floor (no login)": partial(_by_hand, "floor"),
    "by hand, all but looking first": partial(_by_hand, "whole"),
}
_PLAYBOOKS: Mapping[str, Contender] = {
    "f5_modules: pair, profile": partial(bigip_playbook.rotate, everything=False),
    "f5_modules: chain and save, too": partial(bigip_playbook.rotate, everything=True),
}


def report(*, quick: bool, ansible: bool) -> None:
    """Print what a rotation costs each contender. Raises NotRotated, for lbsync also where it needs more than it may."""
    times = 1 if quick else 5
    print(f"\nRotation of a certificate on a BIG-IP over TLS, one device for all, median of {times}")
    with runs() as device:
        found = _measure(device, _PROGRAMS, times)
        for one in found[_OURS]:
            judge_ours(one.told)
        found |= _playbooks(device, times) if ansible else {}
    ours = found[_OURS]
    base = _median(ours)
    for name, several in found.items():
        _row(name, several, base)
    print("  The rotation alone, once Python has started and imported everything:")
    for name in _PROGRAMS:
        wall_ms, cpu_ms = (1000 * statistics.median(_itself(one)[what] for one in found[name]) for what in _ITSELF)
        print(f"  {name:<31} {wall_ms:6.1f} ms   CPU {cpu_ms:6.1f} ms")
    most = max(one.requests for one in ours)
    print(f"  -> lbsync: {most} requests on one connection (goal: at most {MOST_REQUESTS})")


def _itself(one: Run) -> dict[str, float]:
    """What the program says of itself, see ``bigip_rotation.clocked``."""
    found: dict[str, float] = json.loads(one.cost.output)
    return found


def _measure(device: Runs, contenders: Mapping[str, Contender], times: int) -> dict[str, list[Run]]:
    """In turns, so that whatever else the machine does meets all of them."""
    found: dict[str, list[Run]] = {name: [] for name in contenders}
    for _ in range(times):
        for name, contender in contenders.items():
            found[name].append(device.measure(contender))
    return found


def _playbooks(device: Runs, times: int) -> dict[str, list[Run]]:
    try:
        name, collection = playbooks.version(), playbooks.collection(bigip_playbook.COLLECTION)
        print(f"  ({name}, {bigip_playbook.COLLECTION} {collection})")
        return _measure(device, _PLAYBOOKS, times)
    except (playbooks.NoAnsible, ProgramFailed) as error:
        print(f"  Ansible: NOT MEASURED: {error}")
        return {}


def _median(several: Sequence[Run]) -> tuple[float, float]:
    """Seconds, and seconds of CPU."""
    costs = [one.cost for one in several]
    return statistics.median(cost.wall_s for cost in costs), statistics.median(cost.cpu_s for cost in costs)


def _row(name: str, several: Sequence[Run], base: tuple[float, float]) -> None:
    wall_s, cpu_s = _median(several)
    last = several[-1]
    print(
        f"  {name:<31} {last.requests:3} requests {last.connections:3} connections"
        f" {wall_s:6.2f} s {wall_s / base[0]:5.2f} x   CPU {cpu_s:5.2f} s {cpu_s / base[1]:5.2f} x"
        f"   {', '.join(left_out(last.told)) or 'nothing left out or behind'}"
    )


def main() -> None:
    """Print the figures; what is no rotation, or too much of one, is an error."""
    try:
        report(quick="--quick" in sys.argv[1:], ansible="--without-ansible" not in sys.argv[1:])
    except NotRotated as problem:
        raise SystemExit(f"BIG-IP: {problem}") from None


if __name__ == "__main__":
    main()
