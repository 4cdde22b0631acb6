"""Two devices, one active and one standby, in one sync-failover device group.

Rule of this room: one data plane serves both and follows the active one. What a pair answers about synchronisation was
never captured: assumption ``ha-answers``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync.lab.bigip import factory
from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.errors import Refusal
from lbsync.lab.bigip.plane import DataPlane
from lbsync.testing.ca import TestCA

GROUP = "exchange-ha"


class BigIpPair:
    """Both devices; a context manager. Each has its own management port, users, tokens, log and saved configuration."""

    def __init__(
        self,
        directory: Path,
        *,
        ca: TestCA,
        plane: DataPlane,
        version: str = "14.1.2.1",
        hostnames: tuple[str, str] = ("bigip01.lab.local", "bigip02.lab.local"),
        group: str = GROUP,
        synced: bool = True,
        sync_lag_s: float = 0.2,
        faults: float = 0.0,
        seed: int = 1,
        partitions: Sequence[str] = ("Common",),
        addresses: tuple[str, str] = ("127.0.0.1", "127.0.0.1"),
        port: int = 0,
    ) -> None:
        """``addresses`` and ``port`` are those of the management sides.

        ``synced`` is false for a group that awaits its initial sync; ``sync_lag_s`` is how long a sync takes.
        """
        self.plane = plane
        self.group = group
        self.sync_lag_s = sync_lag_s
        first = factory.configuration(ca, partitions, group, hostnames, version=version)
        self.devices = tuple(
            BigIp(
                directory / hostname,
                ca=ca,
                plane=plane,
                version=version,
                hostname=hostname,
                faults=faults,
                seed=seed,
                own_plane=False,
                active=hostname == hostnames[0],
                configuration=first,
                address=address,
                port=port,
            )
            for hostname, address in zip(hostnames, addresses, strict=True)
        )
        self._lock = threading.RLock()
        self._connected = True
        for device in self.devices:
            device.system.peers = lambda: [one.system.me for one in self.devices]
            device.system.group = group
            device.change_holder = hostnames[0]
            device.running.changed.append(self._after(device))
            device.rest.sync = self._command(device)
        self._tell("In Sync" if synced else "Awaiting Initial Sync")

    def start(self) -> None:
        """Start the data plane and both devices."""
        self.plane.start()
        for device in self.devices:
            device.start()

    def stop(self) -> None:
        """End everything; twice is once."""
        for device in self.devices:
            device.stop()
        self.plane.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    # --- failover --------------------------------------------------------------------------------------------------------

    @property
    def active(self) -> BigIp:
        """The one that carries the traffic."""
        return next(device for device in self.devices if device.running.carries)

    @property
    def standby(self) -> BigIp:
        """The other one."""
        return next(device for device in self.devices if not device.running.carries)

    def fail_over(self) -> None:
        """The standby takes over with its own configuration; every connection ends (none is mirrored)."""
        with self._lock:
            before, after = self.active, self.standby
            before.running.carries = False
            before.failover_state = "standby"
            self.plane.cut_all()
            after.failover_state = "active"
            after.running.carry()

    # --- synchronisation -------------------------------------------------------------------------------------------------

    @property
    def sync_status(self) -> str:
        """What both devices say."""
        return self.devices[0].sync_status

    @property
    def connected(self) -> bool:
        """Whether the devices reach each other."""
        return self._connected

    @connected.setter
    def connected(self, connected: bool) -> None:
        with self._lock:
            self._connected = connected
            one, other = (device.running.configuration for device in self.devices)
            self._tell("Disconnected" if not connected else "In Sync" if one is other else "Changes Pending")

    def synchronise(self) -> None:
        """Let an administrator run config-sync on the active device."""
        self._begin(self.active)

    def _tell(self, status: str) -> None:
        for device in self.devices:
            device.sync_status = status

    def _holds(self, holder: BigIp) -> None:
        """The latest change is on this device."""
        for device in self.devices:
            device.change_holder = holder.hostname

    def _after(self, device: BigIp) -> Callable[[], None]:
        """What follows a change on a device."""

        def note() -> None:
            with self._lock:
                self._holds(device)
                if self.sync_status not in ("Disconnected", "Awaiting Initial Sync"):
                    self._tell("Changes Pending")
                group = device.object("cm/device-group", self.group) or {}
            if group.get("autoSync") == "enabled":
                self._begin(device)

        return note

    def _command(self, device: BigIp) -> Callable[[str], None]:
        """What ``config-sync`` does when a device is told to."""

        def run(words: str) -> None:
            direction = words.partition(" ")[0]
            self._begin(device if direction == "to-group" else next(one for one in self.devices if one is not device))

        return run

    def _begin(self, source: BigIp) -> None:
        with self._lock:
            if not self._connected:
                return
            self._tell("Not All Devices Synced")
        source.later(self.sync_lag_s, lambda: self._copy(source))

    def _copy(self, source: BigIp) -> None:
        target = next(device for device in self.devices if device is not source)
        with self._lock:
            if not self._connected:
                return
            try:
                target.running.adopt(source.running.configuration)
            except Refusal:
                # The data plane could not run it: the group stays apart, as after a failed load.
                self._holds(source)
                self._tell("Changes Pending")
                return
            self._tell("In Sync")
