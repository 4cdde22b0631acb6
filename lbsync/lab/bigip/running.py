"""What a device runs, what it saved, and the only way from one configuration to the next.

Rule of this room: all or nothing. A change is made on a copy, judged, given to the data plane, and only then it is the
running configuration; whoever reads sees one configuration or the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from lbsync.lab.bigip import edit, errors, resolve, validate
from lbsync.lab.bigip.kinds import KINDS
from lbsync.lab.bigip.options import knows_tls13
from lbsync.lab.bigip.plane import DataPlane
from lbsync.lab.bigip.store import Configuration, Draft

_T = TypeVar("_T")


class Running:
    """The configuration of one device. Every method may be called from any thread."""

    def __init__(self, plane: DataPlane, version: str, factory: Configuration, *, carries: bool) -> None:
        """``carries`` says whether the data plane follows this device (a standby's changes do not reach it)."""
        self._plane = plane
        self._version = version
        self._lock = threading.RLock()
        self._now = factory
        self._saved = factory
        self.carries = carries
        self.changed: list[Callable[[], None]] = []
        """Called after each change that a client or a test made, not after a sync."""

    @property
    def configuration(self) -> Configuration:
        """What runs."""
        return self._now

    @property
    def saved(self) -> Configuration:
        """What the last save wrote; a reboot comes up with it."""
        return self._saved

    def change(self, user: str, work: Callable[[Draft], _T], *, dry: bool = False) -> _T:
        """Do some work on a copy and let it run; with ``dry`` only judge it. Raises Refusal, and changes nothing then."""
        with self._lock:
            draft = Draft(self._now, user)
            result = work(draft)
            edit.settle(draft)
            validate.validate(draft, self._version)
            if dry:
                return result
            self.adopt(draft.freeze())
        for call in self.changed:
            call()
        return result

    def adopt(self, configuration: Configuration) -> None:
        """Run this, whoever judged it. Raises Refusal where the data plane cannot."""
        with self._lock:
            if self.carries:
                try:
                    self._plane.apply(resolve.running(configuration, KINDS, tls13=knows_tls13(self._version)))
                except OSError as problem:
                    # Assumption ``listen``.
                    raise errors.Refusal(
                        400, f"01070333:3: Virtual Server cannot be listened on: {problem}"
                    ) from problem
            self._now = configuration

    def carry(self) -> None:
        """Become the one whose configuration the data plane follows."""
        with self._lock:
            self.carries = True
            self.adopt(self._now)

    def save(self) -> None:
        """Write the running configuration, as ``save sys config`` does."""
        with self._lock:
            self._saved = self._now

    def reload_saved(self) -> None:
        """Reboot: run what was saved."""
        with self._lock:
            self.adopt(self._saved)
