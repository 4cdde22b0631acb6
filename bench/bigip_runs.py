"""One rotation after another on the bench's BIG-IP, each judged by what the device holds in the end.

Rule of this room: no time is judged here; counts are, and whether it was a rotation at all.
"""

from __future__ import annotations

import http.client
import json
import ssl
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.bigip_rotation import HOST, Rotation
from bench.child import child
from bench.measure import Cost
from lbsync.testing.ca import TestCA
from lbsync_certs import CertificateProblem
from lbsync_certs.pem import open_pem

MOST_REQUESTS = 16
"""Of lbsync, for a rotation with its chain; on one connection."""
Told = Mapping[str, Any]
"""See ``bigip_state.Device.told``, and ``connections``."""


class NotRotated(Exception):
    """The device does not serve what it was to serve, or lbsync asked more of it than it may, or left something out."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a rotation cost, and what the device tells of it."""

    cost: Cost
    told: Told

    @property
    def requests(self) -> int:
        """All of them, logins included."""
        return len(self.told["requests"])

    @property
    def connections(self) -> int:
        """With TLS, each."""
        return int(self.told["connections"])


class Runs:
    """A device, and an authority that issues a new certificate for each rotation."""

    def __init__(self, port: int, folder: Path, authority: TestCA) -> None:
        self._port = port
        self._folder = folder
        self._authority = authority

    def measure(self, contender: Callable[[Rotation], Cost]) -> Run:
        """One rotation. Raises NotRotated, ProgramFailed."""
        rotation = Rotation(self._port, Path(tempfile.mkdtemp(dir=self._folder)))
        bundle = self._authority.issue(["mail.contoso.test"])
        key = bundle.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        parts = {"key": key, "cert": bundle.leaf.public_bytes(Encoding.PEM), "chain": self._authority.chain_pem}
        for part, pem in parts.items():
            (rotation.folder / f"{part}.pem").write_bytes(pem)
        try:
            cost = contender(rotation)
        finally:
            told = _told(rotation)
        judge(rotation, told["served"])
        return Run(cost, told)


def judge(rotation: Rotation, served: Mapping[str, str]) -> None:
    """``served`` is what the profile refers to, as PEM. Raises NotRotated unless it is the new certificate with its key."""
    try:
        found = open_pem("".join(served.values()).encode())
    except CertificateProblem as problem:
        raise NotRotated(f"the profile's certificate cannot be used: {problem}") from problem
    if found.leaf != open_pem((rotation.pem("key") + rotation.pem("cert")).encode()).leaf:
        raise NotRotated("the profile does not serve the new certificate")
    if served["chain"] not in {"", rotation.pem("chain")}:
        raise NotRotated("the profile serves another chain")


def judge_ours(told: Told) -> None:
    """Raises NotRotated where lbsync needed more than it may, or left something out."""
    asked, connections = len(told["requests"]), told["connections"]
    if asked > MOST_REQUESTS or connections != 1:
        listed = "\n  ".join(told["requests"])
        raise NotRotated(f"lbsync needed {asked} requests on {connections} connections:\n  {listed}")
    if left := left_out(told):
        raise NotRotated(f"lbsync rotated, but: {', '.join(left)}")


def left_out(told: Told) -> list[str]:
    """What of a whole rotation was not done, by the device's own account."""
    missing = [] if told["served"]["chain"] else ["no chain"]
    missing += ["not saved"] if told["unsaved"] else []
    return missing + [
        f"{told[kind]} {kind} left behind" for kind in ("uploads", "tokens", "transactions") if told[kind]
    ]


def _told(rotation: Rotation) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=rotation.ca_file)
    connection = http.client.HTTPSConnection(HOST, rotation.port, context=context)
    connection.request("GET", "/bench")
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


@contextmanager
def runs() -> Generator[Runs]:
    """A device that ends with the block. Raises ProgramFailed where it ends before."""
    authority = TestCA.new("lbsync bench CA")
    with tempfile.TemporaryDirectory(prefix="lbb-") as named:
        folder = Path(named)
        (folder / "ca.pem").write_bytes(authority.root_pem)
        own = folder / "device.pem"
        own.write_bytes(authority.issue([HOST], key="ec256").pem())
        with child("bigip_device", str(own)) as device:
            yield Runs(device.up, folder, authority)
