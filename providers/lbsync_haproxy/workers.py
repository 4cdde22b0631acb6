"""Workers of before a reload, which end once their connections have: what they may still send to a server.

Rule of this room: it looks. An idle connection of such a worker counts: its client's next request goes to any server that is
ready there, whatever the worker of now was told; and 2.6 refuses to drain a server there.

The master's socket lets each be asked (``@!PID``, management.txt). Without it the kernel's tables say how many connections they
hold at our listener; which server they may reach is not known then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lbsync.errors import Denied, Unreachable
from lbsync.kit.waiting import wait_for
from lbsync_haproxy import wire
from lbsync_haproxy.device import Device
from lbsync_haproxy.pools import CLOSED
from lbsync_haproxy.runtime import Running, Runtime

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_LOCAL, _STATE, _INODE = 1, 3, 9
_OPEN = frozenset({"01", "04", "05", "08"})  # ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT
_MASTER_BACK_S = 3.0
_PARENT = 1
"""Fields after the command's name in /proc/PID/stat: state, parent."""


@dataclass(frozen=True, slots=True)
class OldWorker:
    """One that was told to end. ``running`` and ``runtime`` are ``None`` where no master's socket lets it be asked.

    ``clients`` counts its connections at our TLS listener, idle ones too.
    """

    pid: int
    clients: int
    running: Running | None = None
    runtime: Runtime | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """What one drained server still has: requests under way, and connections whose next request may go to it."""

    requests: int
    connections: int

    @property
    def nothing(self) -> bool:
        """Nothing reaches the server any more."""
        return self.requests == self.connections == 0

    def at(self, server: str) -> str:
        """In words: so many requests at the server, and what may bring more."""
        more = f", and {self.connections} connections of before a reload may bring more" if self.connections else ""
        return f"{self.requests} requests at {server}{more}"


def left_at(device: Device, server: str) -> Left:
    """What is left at a server in every worker; connections of the worker of now count where they have a request there.

    Raises TargetError where an old worker is there and cannot be asked.
    """
    requests = sum(row.sessions for row in device.rows(device.look(), server))
    connections = 0
    for worker in old_workers(device):
        if worker.running is None:
            connections += worker.clients
            continue
        rows = device.rows(worker.running, server)
        requests += sum(row.sessions for row in rows)
        closed = CLOSED in (worker.running.map or {})
        connections += worker.clients if not closed and any(row.state == "ready" for row in rows) else 0
    return Left(requests, connections)


def old_workers(device: Device) -> tuple[OldWorker, ...]:
    """Those that still run. Raises TargetError."""
    master = device.settings.master_socket
    return tuple(_silent(device) if master is None else _asked(device, master))


def _asked(device: Device, master: str) -> Iterator[OldWorker]:
    for pid in _listed(device, master):
        runtime = Runtime(device.host, master, f"@!{pid} ")
        try:
            running = runtime.look(device.home.map, device.home.live)
        except Unreachable:
            if pid not in _listed(device, master):
                continue  # it ended meanwhile
            raise
        yield OldWorker(pid, running.clients, running, runtime)


def _listed(device: Device, master: str) -> tuple[int, ...]:
    answers: list[str] = []

    def answered() -> bool:
        answers.append(Runtime(device.host, master).ask("show proc"))
        return wire.lists_workers(answers[-1])

    # The master replaces itself at a reload, and does not listen for a moment.
    if not wait_for(answered, _MASTER_BACK_S):
        raise Unreachable("HAProxy's master does not say which workers there are", where=master)
    return wire.old_workers(answers[-1])


def _silent(device: Device) -> Iterator[OldWorker]:
    """By the process tree: workers are the master's children, and their sockets are listed by the kernel."""
    now = device.runtime.pid()
    parent = _parent(device.host.read_file(f"/proc/{now}/stat"))
    children = device.host.read_file(f"/proc/{parent}/task/{parent}/children")
    if children is None:
        raise _unseen("HAProxy's workers", device)
    pids = [int(child) for child in children.split() if int(child) != now]
    names = device.host.read_files([f"/proc/{pid}/comm" for pid in (now, *pids)])
    others = [pid for pid, name in zip(pids, names[1:], strict=True) if name is not None and name == names[0]]
    if not others:
        return
    tables = device.host.read_files(["/proc/net/tcp", "/proc/net/tcp6"])
    ours = {inode for table in tables for inode in _clients(table or b"", device.settings.https_port)}
    for pid in others:
        clients = len(ours & _sockets(device, pid))
        if clients:
            yield OldWorker(pid, clients)


def _parent(stat: bytes | None) -> int:
    # The name stands in parentheses and may hold anything.
    fields = (stat or b"").rpartition(b")")[2].split()
    return int(fields[_PARENT]) if len(fields) > _PARENT else 0


def _clients(table: bytes, port: int) -> Iterator[str]:
    """Inodes of connections to a local port, from a kernel's table."""
    for line in table.decode(errors="replace").splitlines()[1:]:
        fields = line.split()
        if len(fields) > _INODE and fields[_STATE] in _OPEN and int(fields[_LOCAL].rpartition(":")[2], 16) == port:
            yield fields[_INODE]


def _sockets(device: Device, pid: int) -> frozenset[str]:
    done = device.host.run(["ls", "-l", f"/proc/{pid}/fd"])
    found = frozenset(_SOCKET.findall(done.stdout.decode(errors="replace")))
    if done.rc != 0 and not found and device.host.stat(f"/proc/{pid}") is not None:
        raise _unseen(f"the connections of HAProxy's worker {pid}, which ends once they have", device)
    return found


def _unseen(what: str, device: Device) -> Denied:
    return Denied(
        f"cannot see {what}",
        where=device.host.name,
        remedy="give lbsync the master's socket (master_socket), or an account that may look into /proc (root, sudo)",
    )
