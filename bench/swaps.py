"""Certificate swaps under load, by version and form: what handshake loops, keep-alive clients and long polls meet."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.child import child
from bench.clients import FRESH, HOST, KEEP, LONG
from bench.front import FORMS, Front, NotServed, front
from bench.measure import ProgramFailed
from bench.nginxes import Nginx, chosen
from bench.servers import LONG_POLL_S
from lbsync.errors import LbsyncError
from lbsync_certs import Fingerprint

_SEEN_GOAL_S = 1.0
_COLUMNS = (
    "handshakes", "requests", "fresh failed", "keep-alive lost", "long polls lost", "longest gap", "proven", "new", "old",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Swap:
    """One swap by the shared clock: when its step began, when it was proven, and the leaf that it brought."""

    began: float
    ended: float
    leaf: Fingerprint


@dataclass(frozen=True, slots=True)
class Met:
    """What clients met: figures of the load, long polls answered, and for each swap the seconds until they saw it."""

    load: dict[str, Any]
    long_polls: int
    steps: tuple[float, ...]
    """From a step's beginning until lbsync had proven it."""
    new: tuple[float, ...]
    """From a step's beginning until a client was first served the new certificate ..."""
    old: tuple[float, ...]
    """... and until one was last served the old one."""
    looks: int
    failed_looks: int

    @property
    def failures(self) -> Counter[str]:
        """By kind, as the load tells them."""
        return Counter(self.load["failures"])

    def lost(self, kind: str) -> int:
        """How many requests of one kind of client failed."""
        return sum(count for name, count in self.failures.items() if name.startswith(f"{kind}:"))

    @property
    def failed_new(self) -> int:
        """Failed new connections: of the handshake loops, and of the client that looks at the certificate."""
        return self.lost("fresh") + self.failed_looks


def report(found: tuple[Nginx, ...], *, quick: bool) -> None:
    """Print what clients met, for each NGINX and form."""
    swaps = 2 if quick else 8
    print(f"\n{swaps} certificate swaps of NGINX, each proven for 1 s, under load: {FRESH} handshake loops, ", end="")
    print(f"{KEEP} keep-alive clients, {LONG} long polls of {LONG_POLL_S:g} s")
    print(
        "  (the longest of the swaps, from the beginning of the step: proven = until lbsync had proven it, new = until a client"
    )
    print("  was first served the new certificate, old = until one was last served the old one)")
    print(f"  {'':<16}" + "".join(f"{name:>{_width(name)}}" for name in _COLUMNS))
    for nginx in found:
        print(f"  {nginx.text}")
        with chosen(nginx):
            _each_form(nginx, swaps)
    if not any(nginx.keeps_idle_clients for nginx in found):
        print("  not run: no NGINX of 1.27.4 or later here; `make compat` unpacks one")


def _each_form(nginx: Nginx, swaps: int) -> None:
    met: dict[str, Met] = {}
    for form in FORMS:
        try:
            met[form] = _measured(form, swaps)
        except (NotServed, LbsyncError, ProgramFailed, RuntimeError) as error:
            print(f"    {form:<14} NOT MEASURED: {error}")
            continue
        _tell(form, met[form])
    if met:
        latest = max(max(one.new + one.old) for one in met.values())
        verdict = "within" if latest <= _SEEN_GOAL_S else "OVER"
        kept = sum(one.lost("keep") for form, one in met.items() if keeps_clients(form, nginx))
        print(
            f"    -> {sum(one.failed_new for one in met.values())} failed new connections (goal: 0); a swap is seen within",
            end=" ",
        )
        print(f"{latest:.2f} s ({verdict} the goal of {_SEEN_GOAL_S:g} s);", end=" ")
        print(f"{kept} keep-alive losses where a swap need cost none (goal: 0)")


def keeps_clients(form: str, nginx: Nginx) -> bool:
    """Whether no client that is kept need notice: workers that route requests close idle ones on a reload before 1.27.4."""
    return form != "http, static" or nginx.keeps_idle_clients


def _tell(form: str, met: Met) -> None:
    load = met.load
    counts = [load["handshakes"] + met.looks, load["requests"], met.failed_new, met.lost("keep")]
    cells = [str(count) for count in counts]
    cells.append(f"{met.lost('long')} of {met.long_polls + met.lost('long')}")
    cells.append(f"{load['longest_gap_s'] * 1000:.0f} ms")
    cells += [f"{max(times):.2f} s" for times in (met.steps, met.new, met.old)]
    row = zip(_COLUMNS, cells, strict=True)
    print(f"    {form:<14}" + "".join(f"{cell:>{_width(name)}}" for name, cell in row))
    for kind, count in met.failures.most_common(6):
        print(f"        {count} x {kind}")
    if met.failed_looks:
        print(f"        {met.failed_looks} x the handshake that looks at the certificate")


def _width(column: str) -> int:
    return max(len(column), 6) + 2


def _measured(form: str, swaps: int) -> Met:
    """One NGINX under load while its certificate is swapped back and forth. Raises what can go wrong on the way."""
    with front(form) as fronted:
        running = fronted.running
        place = (running.address, str(running.https_port))
        with (
            child("clients", *place, str(fronted.ca_file)) as load,
            child("watcher", *place, HOST, str(fronted.ca_file)) as watcher,
        ):
            done = _swap(fronted, swaps)
            time.sleep(_SEEN_GOAL_S)  # what the last swap does to clients that are kept
            seen: list[tuple[float, str]] = watcher.end()
            told = load.end()
        return _met(done, seen, told, fronted.servers.end())


def _swap(fronted: Front, swaps: int) -> list[Swap]:
    done: list[Swap] = []
    with fronted.open() as provider:
        for number in range(swaps):
            before = number % 2
            step = fronted.lower(provider, before, 1 - before)
            began = time.monotonic()
            fronted.perform(provider, step)
            done.append(Swap(began, time.monotonic(), fronted.leaves[1 - before].fingerprint))
    return done


def _met(done: list[Swap], seen: list[tuple[float, str]], load: dict[str, Any], long_polls: int) -> Met:
    new: list[float] = []
    old: list[float] = []
    ends = [swap.began for swap in done[1:]] + [float("inf")]
    for swap, end in zip(done, ends, strict=True):
        during = [(when, leaf) for when, leaf in seen if swap.began <= when < end and leaf]
        new.append(min((when for when, leaf in during if leaf == swap.leaf), default=float("inf")) - swap.began)
        old.append(max((when for when, leaf in during if leaf != swap.leaf), default=swap.began) - swap.began)
    steps = tuple(swap.ended - swap.began for swap in done)
    failed = sum(not leaf for _, leaf in seen)
    return Met(load, long_polls, steps, tuple(new), tuple(old), looks=len(seen) - failed, failed_looks=failed)
