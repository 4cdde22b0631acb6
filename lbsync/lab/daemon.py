"""A lab that stays up: farm, HAProxy, files to work with, and a door for other processes.

Rule of this room: it writes into its own directory only, secrets with mode 0600, and takes everything down again. State of
the simulated farm lives in this process and ends with it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync.errors import LbsyncError
from lbsync.lab.configfile import ConfigOptions
from lbsync.lab.control import Control, ask
from lbsync.lab.farm import LabFarm
from lbsync.lab.haproxy import LabHaproxy, end_orphan
from lbsync.lab.spec import LabSpec

_FACTS = "lab.json"
_MARK = ".lbsync-lab"
"""Says that a directory is a lab's, so that its files may be replaced."""
_DOWN_S = 20.0


class Lab:
    """A farm and, unless told otherwise, a real HAProxy in front of it; use it as a context manager.

    In ``directory``: ``config.toml``, ``ca.pem``, ``lab.json`` (process ids, ports, seed), ``secrets/``, ``haproxy/``.
    """

    def __init__(
        self, spec: LabSpec, directory: Path, *, haproxy: bool = True, options: ConfigOptions | None = None
    ) -> None:
        """``options`` go into the configuration. Raises LbsyncError where the directory is not a lab's, or in use."""
        self.directory = directory.resolve()
        _claim(self.directory)
        self.haproxy = LabHaproxy(self.directory / "haproxy") if haproxy else None
        self.farm = LabFarm(spec, self.directory)
        self.config = self.directory / "config.toml"
        self.stopping = threading.Event()
        self._options: ConfigOptions = options or {}
        self._cleanup = ExitStack()

    def start(self) -> Self:
        """Bring it up; nothing is left when that fails."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        self._cleanup.enter_context(self.farm)
        balancers: list[Mapping[str, object]] = []
        if self.haproxy is not None:
            self.haproxy.start()
            self._cleanup.callback(self.haproxy.stop)
            balancers.append(self.haproxy.balancer)
        secrets = self.directory / "secrets"
        secrets.mkdir(exist_ok=True, mode=0o700)
        for name, value in (("winrm-password", self.farm.password), ("mailbox-password", self.farm.mailbox[1])):
            _write_private(secrets / name, value)
            self._cleanup.callback((secrets / name).unlink, missing_ok=True)
        options: ConfigOptions = {
            "balancers": balancers,
            "password": f"file:{secrets / 'winrm-password'}",
            **self._options,
        }
        self.farm.write_config(self.config, **options)
        door = Path(tempfile.mkdtemp(prefix="lbsync-lab-"))
        self._cleanup.callback(shutil.rmtree, door, ignore_errors=True)
        control = Control(self.farm, self.stopping.set)
        self.farm.on_management(control.start(door / "control.sock"))
        self._cleanup.callback(lambda: self.farm.on_management(control.stop()))
        _write_private(self.directory / _FACTS, json.dumps(self._facts(door / "control.sock"), indent=2) + "\n")
        self._cleanup.callback((self.directory / _FACTS).unlink, missing_ok=True)

    def _facts(self, control: Path) -> dict[str, object]:
        servers = {
            server.name: {
                "fqdn": server.fqdn,
                "address": server.address,
                "http_port": server.http_port,
                "https_port": server.https_port,
                "winrm_port": server.winrm_port,
            }
            for server in self.farm.servers.values()
        }
        return {
            "pid": os.getpid(),
            "haproxy_pid": self.haproxy.pid if self.haproxy is not None else None,
            "control": str(control),
            "config": str(self.config),
            "seed": self.farm.seed,
            "faults": self.farm.spec.faults,
            "leaf": self.farm.leaf.info.fingerprint,
            "mailbox": self.farm.mailbox[0],
            "servers": servers,
            "balancer": self.haproxy.balancer if self.haproxy is not None else None,
        }

    def wait(self, beat: Callable[[], None] | None = None) -> None:
        """Stay up until somebody asks for the end; ``beat`` is called every second."""
        while not self.stopping.wait(1.0):
            if beat is not None:
                beat()

    def stop(self) -> None:
        """Take everything down; twice is once."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(lab: Lab, started: Callable[[Lab], None] | None = None) -> None:
    """Run a lab in the main thread until SIGINT, SIGTERM or the door says stop; ``started`` is called once it is up."""
    before = {
        number: signal.signal(number, lambda _number, _frame: lab.stopping.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with lab:
            if started is not None:
                started(lab)
            lab.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Found:
    """A lab that another process keeps up: ``lab.json`` read."""

    directory: Path
    pid: int
    haproxy_pid: int | None
    control: Path

    def ask(self, command: Mapping[str, object]) -> object:
        """Ask it through its door. Raises LbsyncError."""
        return ask(self.control, command)

    def state(self) -> object:
        """Its state as JSON. Raises LbsyncError."""
        return self.ask({"do": "snapshot"})


def find(directory: Path) -> Found:
    """The lab of a directory. Raises LbsyncError where there is none."""
    path = directory.resolve() / _FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Found(directory.resolve(), int(facts["pid"]), facts["haproxy_pid"], Path(facts["control"]))
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
    facts = found.directory / _FACTS
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
    """What a lab that was killed leaves: its HAProxy, its sockets, its files with secrets."""
    if found.haproxy_pid is not None:
        end_orphan(found.haproxy_pid, found.directory / "haproxy" / "haproxy.cfg")
    if found.control.parent.name.startswith("lbsync-lab-"):
        shutil.rmtree(found.control.parent, ignore_errors=True)
    shutil.rmtree(found.directory / "secrets", ignore_errors=True)
    (found.directory / "client-key.pem").unlink(missing_ok=True)
    (found.directory / _FACTS).unlink(missing_ok=True)


def _claim(directory: Path) -> None:
    """Make ``directory`` ready: new, empty, or left by an earlier lab. Raises LbsyncError."""
    known = {"config.toml", "ca.pem", "client.pem", "client-key.pem", "secrets", "haproxy", _FACTS}
    if (directory / _FACTS).exists():
        if _answers(directory):
            raise LbsyncError(
                "A lab is up in this directory.",
                where=str(directory),
                remedy="Take it down with `lbsync lab down`, or name another directory.",
                code="lab_in_use",
            )
        take_down(directory)
    present = {path.name for path in directory.iterdir()} if directory.is_dir() else set[str]()
    if present and _MARK not in present:
        raise LbsyncError(
            "This directory holds something that is not a lab's.",
            where=str(directory),
            remedy="Name an empty or a new directory.",
            code="not_a_lab",
        )
    for name in known & present:
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (directory / _MARK).touch()


def _answers(directory: Path) -> bool:
    try:
        find(directory).ask({"do": "ping"})
    except LbsyncError:
        return False
    return True


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
