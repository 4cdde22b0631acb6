"""Devices to talk to, a stand-in for their data plane, and a client that knows nothing of the lab."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lbsync.lab.bigip.device import BigIp
from lbsync.lab.bigip.plane import Config, MemberState
from lbsync.testing.ca import TestCA

ROOT = Path(__file__).resolve().parents[3]


class StandIn:
    """A data plane that carries nothing and remembers what it was told."""

    def __init__(self) -> None:
        self.configs: list[Config] = []
        self.states: dict[tuple[str, str], MemberState] = {}
        self.clients: dict[str, tuple[int, int]] = {}
        self.cuts: list[tuple[str, int]] = []
        self.cuts_of_all = 0
        self.occupied: set[str] = set()
        self.running = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin."""
        self.running = True

    def apply(self, config: Config) -> None:
        """Remember it; refuse what listens on an occupied address."""
        for virtual in config.of("ltm/virtual").values():
            if virtual["destination"] in self.occupied:
                raise OSError(98, "Address already in use")
        with self._lock:
            self.configs.append(config)

    def members(self) -> Mapping[tuple[str, str], MemberState]:
        """What the test set."""
        return self.states

    def virtual_connections(self, virtual: str) -> tuple[int, int]:
        """What the test set."""
        return self.clients.get(virtual, (0, 0))

    def cut(self, address: str, port: int) -> int:
        """Remember it."""
        self.cuts.append((address, port))
        return 1

    def cut_all(self) -> None:
        """Count it."""
        self.cuts_of_all += 1

    def stop(self) -> None:
        """End."""
        self.running = False


class Client:
    """One administrator's program: a session with a token."""

    def __init__(self, device: BigIp, user: str = "admin") -> None:
        self.device = device
        self.user = user
        self.session = requests.Session()
        self.session.verify = str(device.directory / "ca.pem")
        self.session.trust_env = False
        self.token = ""
        if user:
            answer = self.login(user, device.passwords[user])
            assert answer.status_code == 200, answer.text
            self.token = answer.json()["token"]["token"]
            self.session.headers["X-F5-Auth-Token"] = self.token

    def login(self, user: str, password: str) -> requests.Response:
        """Ask for a token."""
        body = {"username": user, "password": password, "loginProviderName": "tmos"}
        return self.raw("POST", "/mgmt/shared/authn/login", json=body)

    def raw(self, method: str, path: str, **more: Any) -> requests.Response:
        """Any request."""
        return self.session.request(
            method, f"https://127.0.0.1:{self.device.management_port}{path}", timeout=20, **more
        )

    def tm(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """A request that succeeds; its answer."""
        answer = self.raw(method, f"/mgmt/tm/{path}", json=body, **more)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.content else {}

    def refused(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, str]:
        """A request that is refused; status and message."""
        answer = self.raw(method, f"/mgmt/tm/{path}", json=body, **more)
        told = answer.json()
        assert told["code"] == answer.status_code >= 400, told
        return answer.status_code, told["message"]

    def upload(self, name: str, content: bytes) -> requests.Response:
        """A file in one chunk."""
        span = f"0-{len(content) - 1}/{len(content)}"
        headers = {"Content-Type": "application/octet-stream", "Content-Range": span}
        return self.raw("POST", f"/mgmt/shared/file-transfer/uploads/{name}", data=content, headers=headers)

    def transaction(self) -> dict[str, str]:
        """Open one; the header that names it."""
        return {"X-F5-REST-Coordination-Id": str(self.tm("POST", "transaction", {})["transId"])}

    def commit(self, headers: Mapping[str, str]) -> Any:
        """Let the transaction run."""
        number = headers["X-F5-REST-Coordination-Id"]
        return self.tm("PATCH", f"transaction/{number}", {"state": "VALIDATING", "validateOnly": False})

    def pair(self, name: str, ca: TestCA, host: str = "mail.example.test") -> None:
        """Upload a fresh pair and make file objects NAME.key and NAME.crt of it."""
        bundle = ca.issue([host], key="ec256")
        key = bundle.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for collection, file, content in (
            ("ssl-key", f"{name}.key", key),
            ("ssl-cert", f"{name}.crt", bundle.leaf.public_bytes(Encoding.PEM)),
        ):
            assert self.upload(file, content).status_code == 200
            body = {"name": file, "partition": "Common", "sourcePath": f"file:/var/config/rest/downloads/{file}"}
            self.tm("POST", f"sys/file/{collection}", body)


@pytest.fixture(scope="session")
def ca() -> TestCA:
    """One CA for all of them."""
    return TestCA.new()


@pytest.fixture
def plane() -> StandIn:
    """The data plane of ``bigip``."""
    return StandIn()


@pytest.fixture
def start(tmp_path: Path, ca: TestCA) -> Iterator[Callable[..., BigIp]]:
    """Start a device with some knobs."""
    devices: list[BigIp] = []
    with ExitStack() as stack:

        def begin(**knobs: Any) -> BigIp:
            knobs.setdefault("plane", StandIn())
            devices.append(BigIp(tmp_path / knobs.get("hostname", "bigip"), ca=ca, **knobs))
            return stack.enter_context(devices[-1])

        yield begin
        assert [device.mishaps for device in devices if device.mishaps] == []


@pytest.fixture
def bigip(start: Callable[..., BigIp], plane: StandIn) -> BigIp:
    """A quiet 14.1.2.1."""
    return start(plane=plane)


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """Log on to a device; the connection is closed after the test."""
    opened: list[Client] = []

    def log_on(device: BigIp, user: str = "admin") -> Client:
        opened.append(Client(device, user))
        return opened[-1]

    yield log_on
    for client in opened:
        client.session.close()


@pytest.fixture
def admin(bigip: BigIp, connect: Callable[..., Client]) -> Client:
    """``admin`` on ``bigip``."""
    return connect(bigip)


@pytest.fixture
def captured(require: Callable[[str], None]) -> Callable[[str], Any]:
    """An answer captured from a real device."""
    require("data")
    from os import environ

    folder = Path(environ.get("LBSYNC_SHARED", ROOT.parent / "shared")) / "data" / "bigip"

    def read(name: str) -> Any:
        return json.loads(next(folder.glob(f"*/{name}.json")).read_text(encoding="utf-8"))

    return read
