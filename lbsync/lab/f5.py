"""A simulated BIG-IP in front of a simulated farm: ``directory`` holds its management CA and lbsync's password on it.

Rule of this room: as for every balancer of the lab, though this one is no program: it lives in the lab's own process and needs
nothing installed. MRSProxy has a virtual server of its own, since the farm offers NTLM as real ones do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lbsync.lab.balancer import LabBalancer, Running
from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.traffic import Traffic
from lbsync.lab.nginx import MRSPROXY_HOST
from lbsync.testing.ca import TestCA
from lbsync.testing.ports import free_port

_ADDRESS = "127.0.0.1"
_MONITOR_INTERVAL_S, _MONITOR_TIMEOUT_S = 1, 4


class LabBigIp(LabBalancer):
    """One device. Its faults are the share of management requests that go wrong."""

    provider = "bigip"
    product = "BIG-IP"

    def __init__(self, directory: Path, *, faults: float = 0.0, seed: int | None = None) -> None:
        super().__init__(directory, "password")
        self._faults = faults
        self._seed = seed

    def make(self) -> Running:
        """See LabBalancer."""
        return RunningBigIp(self.directory, self.main, faults=self._faults, seed=self._seed)


class RunningBigIp:
    """The device as the lab runs it, with its settings."""

    pid = None
    """It has no process of its own."""

    def __init__(self, directory: Path, password: Path, *, faults: float, seed: int | None) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._password = password
        self._https, self._http, self._mrsproxy = (free_port(_ADDRESS) for _ in range(3))
        self.device = BigIp(
            directory,
            ca=TestCA.new("BIG-IP management"),
            plane=Traffic(directory),
            faults=faults,
            seed=seed or 1,
        )

    @property
    def settings(self) -> dict[str, object]:
        """See Running."""
        return {
            "hosts": [self.device.address],
            "port": self.device.management_port,
            "user": self.device.user,
            "password": f"file:{self._password}",
            "ca_file": str(self.device.directory / "ca.pem"),
            "bind_address": _ADDRESS,
            "https_port": self._https,
            "http_port": self._http,
            "mrsproxy_host": MRSPROXY_HOST,
            "mrsproxy_address": _ADDRESS,
            "mrsproxy_port": self._mrsproxy,
            "monitor_interval_s": _MONITOR_INTERVAL_S,
            "monitor_timeout_s": _MONITOR_TIMEOUT_S,
        }

    @property
    def listen(self) -> Mapping[str, object]:
        """See Running."""
        return {"address": _ADDRESS, "https_port": self._https, "http_port": self._http}

    def start(self) -> None:
        """See Running."""
        self.device.start()
        descriptor = os.open(self._password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.device.password)

    def stop(self) -> None:
        """See Running."""
        self._password.unlink(missing_ok=True)
        self.device.stop()
