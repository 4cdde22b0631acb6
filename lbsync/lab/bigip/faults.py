"""What goes wrong on the management side of a device: by chance (seeded, at a low rate), or as a test scripts it.

Rule of this room: never at the login, never on the traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from lbsync.lab.faults import Chance


class Fault(StrEnum):
    """One mishap of one management request."""

    DROP_BEFORE = "drop-before"
    """The connection dies and nothing was done."""
    DROP_AFTER = "drop-after"
    """The connection dies after it was done: the caller cannot know."""
    BUSY = "busy"
    """503 ``There is an active asynchronous task executing.``, nothing done."""
    SLOW = "slow"
    """The answer takes its time."""
    ERROR_AFTER = "error-after"
    """503 ``AsyncContext timeout`` though it was done; never by chance."""
    GATEWAY = "gateway"
    """504 of the web server in front, nothing done; never by chance."""


class Asked(Protocol):
    """What a request can be chosen by: its place in the log has it."""

    @property
    def method(self) -> str:
        """GET, POST, PATCH, PUT or DELETE."""
        ...

    @property
    def path(self) -> str:
        """From ``/mgmt`` on, without the query."""
        ...

    @property
    def transaction(self) -> str:
        """The number of the transaction it belongs to; empty for none."""
        ...


class Faults(Chance[Fault]):
    """Draws the fault of each request of one device."""

    kinds = (Fault.DROP_BEFORE, Fault.DROP_AFTER, Fault.BUSY, Fault.SLOW)

    def __init__(self, rate: float, seed: int, name: str) -> None:
        """See Chance."""
        super().__init__(rate, seed, name)
        self._chosen: Callable[[Asked], bool] | None = None

    def script_for(self, chosen: Callable[[Asked], bool], *faults: Fault | None) -> None:
        """As ``script``, counting only the requests for which ``chosen`` says true; others meet chance until then."""
        self.script(*faults)
        self._chosen = chosen

    def forget(self) -> None:
        """See Chance."""
        super().forget()
        self._chosen = None

    def met_by(self, asked: Asked) -> Fault | None:
        """The fault of the next request, which is this one."""
        if self._chosen is not None and self._next and not self._chosen(asked):
            return self.by_chance()
        return self.draw()
