"""Facts of many servers: lbsync against hand-written requests, pywinrm as it comes, and Ansible."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench import playbooks
from bench.farm import endpoints
from bench.measure import Cost, ProgramFailed, median, run

LATENCY_S = 0.02
_OVER_HTTPS = {
    "lbsync": ["ours"],
    "hand-written requests": ["rivals", "floor"],
    "pywinrm as it comes": ["rivals", "naive"],
}


def report(answer: Path, *, quick: bool, ansible: bool) -> None:
    """Print every comparison. ``answer`` is the canned answer, with ``ca.pem`` and ``server.pem`` beside it."""
    _against_rivals(answer, servers=100 if quick else 500, times=1 if quick else 3, ansible=ansible)
    _memory(answer, sizes=(1, 50, 100) if quick else (1, 50, 500))
    _https(answer, servers=60 if quick else 200, times=1 if quick else 3)
    _waiting(answer, servers=100 if quick else 200)


def _cost(module: str, *arguments: str, env: Mapping[str, str] | None = None, times: int = 1) -> Cost:
    """A program of the bench, run so many times."""
    return median(partial(run, [sys.executable, "-m", f"bench.{module}", *arguments], env), times)


def _against_rivals(answer: Path, *, servers: int, times: int, ansible: bool) -> None:
    print(
        f"\nFacts of {servers} servers, {LATENCY_S * 1000:.0f} ms a round trip, no work, Basic, 64 at a time, median of {times}"
    )
    with endpoints(answer, servers, latency_s=LATENCY_S) as ports:
        listed = json.dumps(ports)
        ours = _cost("ours", listed, times=times)
        floor = _cost("rivals", "floor", listed, times=times)
        naive = _cost("rivals", "naive", listed, times=times)
        _row("lbsync", ours, ours)
        _row("hand-written requests, the floor", floor, ours)
        _row("pywinrm, Session.run_ps", naive, ours)
        if ansible:
            _playbooks(ports, ours)
    print(f"  -> {ours.wall_s / floor.wall_s:.1f} x the floor (goal: within 4)")


def _playbooks(ports: Sequence[int], ours: Cost) -> None:
    try:
        print(f"  ({playbooks.version()})")
        for tasks, goal in ((1, 5), (9, 40)):
            theirs = playbooks.play(ports, tasks)
            _row(f"Ansible, {tasks} task{'s' if tasks > 1 else ''}", theirs, ours)
            print(f"  -> lbsync is {theirs.wall_s / ours.wall_s:.1f} x faster (goal: {goal})")
    except (playbooks.NoAnsible, ProgramFailed) as error:
        print(f"  Ansible: NOT MEASURED: {error}")


def _row(name: str, cost: Cost, ours: Cost) -> None:
    print(
        f"  {name:<34} {cost.wall_s:7.2f} s  {cost.wall_s / ours.wall_s:6.2f} x"
        f"   CPU {cost.cpu_s:7.2f} s   peak {cost.peak_mib:5.0f} MiB"
    )


def _memory(answer: Path, *, sizes: Sequence[int]) -> None:
    print("\nMemory of lbsync, peak")
    peaks: list[float] = []
    for servers in sizes:
        with endpoints(answer, servers, latency_s=LATENCY_S) as ports:
            peaks.append(_cost("ours", json.dumps(ports)).peak_mib)
        print(f"  {servers:>4} servers {peaks[-1]:6.0f} MiB")
    print(f"  -> {peaks[-1] - peaks[0]:.0f} MiB more at {sizes[-1]} than at {sizes[0]} (goal: at most 60)")


def _https(answer: Path, *, servers: int, times: int) -> None:
    """CPU per server over HTTPS: what so many servers cost beyond one, divided by their number."""
    print(f"\nCPU per server over HTTPS, {servers} servers, median of {times}")
    env = {"BENCH_CA": str(answer.with_name("ca.pem"))}
    found: dict[str, float] = {}
    with endpoints(answer, servers, latency_s=LATENCY_S, certificate=answer.with_name("server.pem")) as ports:
        for name, program in _OVER_HTTPS.items():
            one = _cost(*program, json.dumps(ports[:1]), env=env, times=times)
            many = _cost(*program, json.dumps(ports), env=env, times=times)
            found[name] = (many.cpu_s - one.cpu_s) / (servers - 1) * 1000
            print(f"  {name:<22} {found[name]:5.1f} ms")
    ours, floor, naive = (found[name] for name in _OVER_HTTPS)
    print(f"  -> {ours / floor:.1f} x the floor; pywinrm costs {naive / ours:.1f} x as much (goal: at most 6 ms)")


def _waiting(answer: Path, *, servers: int) -> None:
    """Five seconds of work per command: only doing all at once helps."""
    print(f"\n{servers} servers with 5 s of work per command, {servers} at a time")
    with endpoints(answer, servers, latency_s=LATENCY_S, work_s=5.0) as ports:
        cost = _cost("ours", json.dumps(ports), str(servers))
    print(
        f"  {cost.wall_s:.1f} s, {cost.wall_s / 5:.2f} x the work of one; peak {cost.peak_mib:.0f} MiB (goal: at most 150)"
    )
