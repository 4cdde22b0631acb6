"""Servers of the pools: drained, made ready, and freed of what is left.

Rule of this room: a state is set in memory first and kept for the next worker then. A worker of before a reload is left as it
is, and what it may still send is waited for; only where it is to be cut it is closed.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from lbsync.errors import Rejected, TargetError
from lbsync.kit.answers import seconds
from lbsync.kit.waiting import wait_for
from lbsync.model import Receipt
from lbsync_haproxy import layout
from lbsync_haproxy.device import Device
from lbsync_haproxy.disk import read_text
from lbsync_haproxy.pools import CLOSED
from lbsync_haproxy.runtime import Running
from lbsync_haproxy.wire import ServerRow
from lbsync_haproxy.workers import OldWorker, left_at, old_workers


def member_state(device: Device, args: Mapping[str, JsonValue]) -> Receipt:
    """Drain a member or put it back; with ``cut_after_s`` then end what is still there. Raises TargetError."""
    server, cut_after_s = str(args["server"]), args.get("cut_after_s")
    receipt = server_state(device, server, str(args["state"]))
    return receipt if cut_after_s is None else cut_sessions(device, server, seconds(cut_after_s))


def server_state(device: Device, server: str, state: str) -> Receipt:
    """Drain a server in every pool, or make it ready again. Raises Rejected for one in maintenance, TargetError."""
    rows = device.rows(device.look(), server)
    refuse_maintenance(rows)
    if not rows and state == "drain":
        raise Rejected(
            f"{server} is in no pool that HAProxy runs", where=device.spec.name, remedy="plan again", code="no_server"
        )
    changed = [row for row in rows if row.draining is not (state == "drain")]
    device.runtime.set_servers((row.pool, row.server, state) for row in changed)
    device.keep_states()
    return Receipt(
        summary=f"set {server} to {state} in {len(changed)} of {len(rows)} pools",
        details={"server": server, "state": state, "pools": [row.pool for row in changed]},
    )


def refuse_maintenance(rows: tuple[ServerRow, ...]) -> None:
    """Raises Rejected where somebody else took one of these servers out."""
    for row in rows:
        if row.maintenance:
            raise Rejected(
                f"{row.server} is in maintenance, set by somebody else",
                where=row.pool,
                state="it was left so",
                remedy=f"`set server <backend>/{row.server} state ready` on the stats socket once that is over",
                code="maintenance",
            )


def cut_sessions(device: Device, server: str, wait_s: float) -> Receipt:
    """Wait until nothing is left at a drained server, then end what is, in workers of before a reload too.

    Raises Rejected (``old_worker``) where such a worker cannot be told, TargetError.
    """
    if wait_for(lambda: left_at(device, server).nothing, wait_s, every_s=0.5):
        return Receipt(summary=f"all requests at {server} ended by themselves", details={"cut": 0})
    left = left_at(device, server)
    running = device.look()
    for row in device.rows(running, server):
        if row.draining:
            device.runtime.ask(f"shutdown sessions server {row.pool}/{row.server}")
    for worker in old_workers(device):
        _close(device, worker, running, server)
    return Receipt(summary=f"cut {left.at(server)}", details={"cut": left.requests, "connections": left.connections})


def _close(device: Device, worker: OldWorker, now: Running, server: str) -> None:
    old = worker.running
    if old is not None and not any(row.state == "ready" or row.sessions for row in device.rows(old, server)):
        return  # nothing of it can reach the server
    configuration = read_text(device.host, device.home, layout.CFG) or ""
    if old is None or worker.runtime is None or old.structure != now.structure or f"str({CLOSED})" not in configuration:
        raise Rejected(
            f"worker {worker.pid} of before a reload still has {worker.clients} connections, and cannot be told to cut them",
            where=device.spec.name,
            state=f"{server} is drained; those connections may still send it requests",
            remedy=f"wait until they end, or `kill {worker.pid}`; with master_socket set, lbsync can cut what a switch left",
            code="old_worker",
        )
    try:
        worker.runtime.close(device.home.map, server, {row.pool for row in device.rows(old, server)})
    except TargetError:
        if worker.pid in {other.pid for other in old_workers(device)}:
            raise  # else it ended meanwhile, with all its connections
