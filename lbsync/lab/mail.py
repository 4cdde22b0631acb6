"""The Windows services of IMAP and POP on a simulated server: whether they run, and which certificate they read at their start.

Rule of this room: what a client would be served is what was there when the service started, not what was enabled since.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from lbsync.lab.store import Store
from lbsync_certs import Thumbprint


@dataclass(slots=True)
class WindowsService:
    """One of them; ``serves`` is ``None`` while it does not run."""

    name: str
    protocol: str
    running: bool = True
    serves: Thumbprint | None = None
    starts: int = 0

    def start(self, store: Store) -> None:
        """Start it, again or for the first time."""
        self.running, self.serves = True, store.holder(self.protocol)
        self.starts += 1


def _after_setup() -> list[WindowsService]:
    """IMAP is in use here; POP is as set-up leaves both of them, stopped."""
    return [
        WindowsService("MSExchangeIMAP4", "IMAP"),
        WindowsService("MSExchangeIMAP4BE", "IMAP"),
        WindowsService("MSExchangePOP3", "POP", running=False),
        WindowsService("MSExchangePOP3BE", "POP", running=False),
    ]


@dataclass(slots=True)
class Mail:
    """All of one server."""

    services: list[WindowsService] = field(default_factory=_after_setup)

    def start(self, store: Store) -> None:
        """As after a boot: what is meant to run starts."""
        for one in self.services:
            if one.running:
                one.start(store)

    def restart(self, protocols: Collection[str], store: Store) -> list[str]:
        """Restart those of ``protocols`` that run; their names."""
        found = [one for one in self.services if one.protocol in protocols and one.running]
        for one in found:
            one.start(store)
        return [one.name for one in found]
