"""The run marker: a file on a balancer's host that says which run is at work there.

Rule of this room: of two runs only one can leave it, and nobody removes another's. Its path is the provider's.
"""

from __future__ import annotations

from lbsync.errors import Rejected
from lbsync.kit.host import Host
from lbsync.model import Receipt


def read_marker(host: Host, path: str) -> str | None:
    """The marker that is there, ``None`` where there is none. Raises TargetError."""
    data = host.read_file(path)
    return None if data is None else data.decode(errors="replace").strip()


def leave_marker(host: Host, path: str, marker: str) -> Receipt:
    """Leave this run's marker; twice is once. Raises Rejected (``marker``) where another run's is there, TargetError."""
    there = read_marker(host, path)
    if there == marker:
        return Receipt(summary="the run marker is there already")
    if there is not None:
        raise other_run(path, there)
    try:
        host.write_file(path, f"{marker}\n".encode(), exclusive=True)
    except Rejected as error:
        if error.code != "exists":
            raise
        raise other_run(path, read_marker(host, path) or "unknown") from error
    return Receipt(summary="left the run marker", details={"file": path})


def remove_marker(host: Host, path: str, marker: str) -> Receipt:
    """Remove the marker if it is this run's; another's stays. Raises TargetError."""
    there = read_marker(host, path)
    if there != marker:
        return Receipt(summary="the run marker is not there" if there is None else "kept another run's marker")
    host.remove(path)
    return Receipt(summary="removed the run marker", details={"file": path})


def other_run(path: str, there: str) -> Rejected:
    """The error for a place where another run's marker is."""
    return Rejected(
        f"another run says that it is at work here: {there}",
        where=path,
        state="nothing was changed",
        remedy="wait for it; when it is dead for certain, take it back (`lbsync rollback`) or remove the marker",
        code="marker",
    )
