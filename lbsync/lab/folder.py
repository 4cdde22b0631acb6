"""A lab's directory: claimed for it, described in ``lab.json`` for other processes, and cleared when the lab was killed.

Rule of this room: what is not a lab's is never touched; a process is ended only if it is still the one that was written down.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lbsync.errors import LbsyncError
from lbsync.lab.balancer import Process
from lbsync.lab.control import ask

FACTS = "lab.json"
MARK = ".lbsync-lab"
"""Says that a directory is a lab's, so that its files may be replaced."""
SECRETS = "secrets"
_PRIVATE = (SECRETS, "sshd", "client-key.pem")
_OURS = frozenset({"config.toml", "ca.pem", "client.pem", "haproxy", "nginx", "bigip", FACTS, *_PRIVATE})
_DOWN_S = 20.0


@dataclass(frozen=True, slots=True)
class Found:
    """A lab that another process keeps up: ``lab.json`` read. ``processes`` are those it started, the first one first."""

    directory: Path
    pid: int
    processes: tuple[Process, ...]
    control: Path

    def ask(self, command: Mapping[str, object]) -> object:
        """Ask it through its door. Raises LbsyncError."""
        return ask(self.control, command)

    def state(self) -> object:
        """Its state as JSON. Raises LbsyncError."""
        return self.ask({"do": "snapshot"})


def told(processes: Sequence[Process]) -> list[dict[str, object]]:
    """Processes as ``lab.json`` has them."""
    return [{"name": process.name, "pid": process.pid, "file": str(process.file)} for process in processes]


def find(directory: Path) -> Found:
    """The lab of a directory. Raises LbsyncError where there is none."""
    path = directory.resolve() / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        processes = tuple(Process(each["name"], int(each["pid"]), Path(each["file"])) for each in facts["processes"])
        return Found(directory.resolve(), int(facts["pid"]), processes, Path(facts["control"]))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise LbsyncError(
            "There is no lab here.", where=str(path), remedy="Start one with `lbsync lab up`.", code="no_lab"
        ) from problem


def take_down(directory: Path) -> bool:
    """End the lab of a directory and wait until it is gone; false when it was dead already (its leftovers are removed).

    Raises LbsyncError where there is none, or it does not end.
    """
    found = find(directory)
    alive = True
    try:
        found.ask({"do": "stop"})
    except LbsyncError:
        alive = False
    deadline = time.monotonic() + _DOWN_S
    facts = found.directory / FACTS
    while alive and facts.exists():
        if time.monotonic() > deadline:
            raise LbsyncError(
                f"The lab (process {found.pid}) does not end.", where=str(directory), remedy=f"End process {found.pid}."
            )
        time.sleep(0.05)
    if not alive:
        _bury(found)
    return alive


def _bury(found: Found) -> None:
    """What a lab that was killed leaves: its balancer and sshd, its sockets, its files with secrets."""
    for process in found.processes:
        process.end()
    if found.control.parent.name.startswith("lbsync-lab-"):
        shutil.rmtree(found.control.parent, ignore_errors=True)
    for name in (*_PRIVATE, FACTS):
        _remove(found.directory / name)


def claim(directory: Path) -> None:
    """Make ``directory`` ready: new, empty, or left by an earlier lab. Raises LbsyncError."""
    if (directory / FACTS).exists():
        if _answers(directory):
            raise LbsyncError(
                "A lab is up in this directory.",
                where=str(directory),
                remedy="Take it down with `lbsync lab down`, or name another directory.",
                code="lab_in_use",
            )
        take_down(directory)
    present = {path.name for path in directory.iterdir()} if directory.is_dir() else set[str]()
    if present and MARK not in present:
        raise LbsyncError(
            "This directory holds something that is not a lab's.",
            where=str(directory),
            remedy="Name an empty or a new directory.",
            code="not_a_lab",
        )
    for name in _OURS & present:
        _remove(directory / name)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (directory / MARK).touch()


def write_private(path: Path, text: str) -> None:
    """A file that only its owner may read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _answers(directory: Path) -> bool:
    try:
        find(directory).ask({"do": "ping"})
    except LbsyncError:
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
