"""Round trips of one certificate swap over SSH: what it takes longer on a slower network, divided by the time of a round trip.

Waiting is counted, not speaking: what is sent along without waiting costs nothing. NGINX itself is asked directly, as its
clients do; handshakes with it are not among the round trips.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from pathlib import Path

from bench.front import FORMS, Front, NotServed, front, wait_true
from bench.nginxes import Nginx
from lbsync.errors import LbsyncError
from lbsync.target import Provider
from lbsync.testing.relay import CountingRelay
from lbsync.testing.sshd import RunningSshd, sshd_program

_ROUND_TRIP_S = 0.2
_GOAL = 12


def report(nginx: Nginx, *, quick: bool) -> None:
    """Print the round trips and the connections of each form."""
    times = 1 if quick else 3
    print(
        f"\nA certificate swap of {nginx.text} over SSH as a run makes it (read, perform, read, check), median of {times}"
    )
    missing = [
        name
        for name, there in (("sshd", sshd_program()), ("paramiko", importlib.util.find_spec("paramiko")))
        if there is None
    ]
    if missing:
        print(f"  NOT MEASURED: {' and '.join(missing)} not installed")
        return
    for form in FORMS:
        try:
            trips, connections = _measured(form, times)
        except (NotServed, LbsyncError, RuntimeError) as error:
            print(f"  {form:<14} NOT MEASURED: {error}")
            continue
        verdict = "within" if round(trips) <= _GOAL else "OVER"  # one waits for whole trips: tenths are the machine's
        print(
            f"  {form:<14} {trips:5.1f} round trips ({verdict} the goal of {_GOAL}), {connections} SSH "
            f"connection{'s' if connections > 1 else ''}, the look before it included (goal: 1)"
        )


def _measured(form: str, times: int) -> tuple[float, int]:
    """Round trips of a swap, and the most connections that one of the applies took."""
    taken: dict[float, list[float]] = {0.0: [], _ROUND_TRIP_S: []}
    connections: list[int] = []
    with front(form) as fronted:
        place = fronted.running.directory / "ssh"
        place.mkdir()
        with RunningSshd(place) as sshd, CountingRelay("127.0.0.1", sshd.port) as relay:
            _known(sshd, relay)
            served = 0
            for _ in range(times):
                for round_trip_s, seconds in taken.items():
                    before = relay.connections
                    with fronted.open(ssh=sshd.settings | {"port": relay.port}) as provider:
                        seconds.append(_swap(fronted, provider, served, relay, round_trip_s))
                    connections.append(relay.connections - before)
                    served = 1 - served
    near, far = (statistics.median(seconds) for seconds in taken.values())
    return (far - near) / _ROUND_TRIP_S, max(connections)


def _known(sshd: RunningSshd, relay: CountingRelay) -> None:
    """The host's key stands for the relay's port too."""
    line = sshd.host_line("host_key").replace(f":{sshd.port} ", f":{relay.port} ")
    known = Path(sshd.known_hosts)
    known.write_text(known.read_text(encoding="utf-8") + line, encoding="utf-8")


def _swap(fronted: Front, provider: Provider, served: int, relay: CountingRelay, round_trip_s: float) -> float:
    """Seconds of one swap, from the first reading to the last check, over the connection that the look before it opened."""
    step = fronted.lower(provider, served, 1 - served)
    if step.do is None:
        raise NotServed(f"{step.id} does nothing")
    relay.delay_s = round_trip_s / 2
    try:
        began = time.monotonic()
        provider.read(step.do)
        provider.perform(step.do, fronted.materials)
        provider.read(step.do)
        wait_true(provider, step.until)
        return time.monotonic() - began
    finally:
        relay.delay_s = 0.0
