"""A simulated BIG-IP where tests put a balancer.

Rule of this file: it starts nothing; whoever uses it starts the device.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.kinds import KINDS
from lbsync.lab.bigip.traffic import Traffic
from lbsync.testing.ca import TestCA
from lbsync.testing.ports import free_port, own_address


class SimulatedBigIp:
    """A device, its data plane, and free ports for its virtual servers."""

    def __init__(self, directory: Path, **device: Any) -> None:
        # Not 127.0.0.1: whoever connects from there takes ports, too, between the choice of one and its use.
        self.address = own_address()
        self.https_port, self.http_port, self.mrsproxy_port = (free_port(self.address) for _ in range(3))
        self.owned = directory
        self.ca = TestCA.new("management")
        self.device = BigIp(directory / "bigip", ca=self.ca, plane=Traffic(directory / "traffic"), **device)

    @property
    def listen(self) -> dict[str, object]:
        """``[balancers.listen]`` for it."""
        return {"address": self.address, "https_port": self.https_port, "http_port": self.http_port}

    @property
    def settings(self) -> dict[str, object]:
        """``[balancers.settings]`` for it."""
        return {
            "hosts": [self.device.address],
            "port": self.device.management_port,
            "user": self.device.user,
            "password": self.device.password,
            "ca_file": str(self.device.directory / "ca.pem"),
            "bind_address": self.address,
            "https_port": self.https_port,
            "http_port": self.http_port,
            "monitor_interval_s": 1,
            "monitor_timeout_s": 2,
        }


_BY_ITSELF = re.compile(
    r'"(generation|revision|vsIndex|lastModified|\w*Time|\w*Micros|state|availability\w*)": [^,}\]]+'
)


def objects_of(device: BigIp) -> dict[str, str]:
    """Every object that runs and every one that is saved, as text, without what grows or changes by itself.

    Uploads and open transactions that were left behind are a difference, too.
    """
    found = {f"upload {name}": "" for name in device.downloads}
    if device.open_transactions:
        found["transactions"] = str(device.open_transactions)
    for collection in KINDS:
        for path in device.paths(collection):
            found[f"running {collection} {path}"] = _text(device.object(collection, path))
        for path in device.saved.of(collection):
            found[f"saved {collection} {path}"] = _text(device.object(collection, path, saved=True))
    # The device makes this folder for the first draft of a policy, and keeps it.
    return {name: item for name, item in found.items() if not name.endswith("sys/folder /Common/Drafts")}


def _text(item: object) -> str:
    return _BY_ITSELF.sub("", json.dumps(item, sort_keys=True, default=str))
