"""What stands in front of a simulated farm, alike for every product: started, told to lbsync's configuration, ended.

Rule of this room: it starts one balancer as an administrator would have it and ends exactly that one, by its own id; the
places lbsync owns start empty and are never written here.
"""

from __future__ import annotations

import os
import re
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from lbsync.errors import LbsyncError

Kind = Literal["haproxy", "nginx", "bigip"]
Proxy = Literal["stream", "http"]
"""How NGINX passes on: connections whole, or requests by their path. Others are not asked."""


class NoBalancer(LbsyncError):
    """The balancer to rehearse with is not on this machine; ``remedy`` names its package."""


class Running(Protocol):
    """A balancer that can be started, as ``lbsync.testing`` has them."""

    @property
    def settings(self) -> dict[str, object]:
        """``[balancers.settings]``."""
        ...

    @property
    def listen(self) -> Mapping[str, object]:
        """``[balancers.listen]``."""
        ...

    @property
    def pid(self) -> int | None:
        """Of the process to end; ``None`` where it has none of its own."""
        ...

    def start(self) -> None:
        """Raises RuntimeError with the program's words, OSError."""
        ...

    def stop(self) -> None:
        """Twice is once."""
        ...


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a lab, so that it can be ended when the lab was killed: ``file`` is among its arguments."""

    name: str
    pid: int
    file: Path

    def end(self) -> bool:
        """End it if it is still the one that was started with ``file``; true when it was."""
        try:
            arguments = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False
        # HAProxy leaves its arguments as they were; NGINX and sshd write theirs as one line.
        if not re.search(rb"(?:\A|[\0 ])" + re.escape(os.fsencode(self.file)) + rb"(?:[\0 ]|\Z)", arguments):
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        return True


class LabBalancer(ABC):
    """One balancer below ``directory``. A derived class names its product and makes it."""

    provider: ClassVar[Kind]
    product: ClassVar[str]
    """How people call it."""

    def __init__(self, directory: Path, main: str) -> None:
        """``main`` is the name of its main file. Nothing is started or written yet."""
        self.directory = directory
        self.main = directory / main
        self._running: Running | None = None

    @abstractmethod
    def make(self) -> Running:
        """Write the administrator's files; what is to be started. Raises RuntimeError, OSError."""

    @property
    def running(self) -> Running:
        """The process and where it is reached. Raises RuntimeError before it was started."""
        if self._running is None:
            raise RuntimeError(f"{self.product} has not been started")
        return self._running

    def balancer(self, ssh: Mapping[str, object] | None = None) -> dict[str, object]:
        """The whole ``[[balancers]]`` entry; ``ssh`` is how its host is reached, ``None`` for here."""
        settings = self.running.settings
        if ssh is not None:
            settings["ssh"] = dict(ssh)
        return {"name": "lb1", "provider": self.provider, "listen": dict(self.running.listen), "settings": settings}

    @property
    def pid(self) -> int | None:
        """The master's process id while it runs."""
        return self._running.pid if self._running is not None else None

    def start(self) -> None:
        """Start it and wait until it answers. Raises LbsyncError with its words when it does not."""
        try:
            self._running = self.make()
            self._running.start()
        except (RuntimeError, OSError) as error:
            self.stop()
            raise LbsyncError(str(error), where=str(self.main), code=f"{self.provider}_start") from error

    def stop(self) -> None:
        """End it, workers included; twice is once."""
        if self._running is not None:
            self._running.stop()
            self._running = None
