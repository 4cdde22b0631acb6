"""The balancers that a rehearsal may stand behind: how each is started, told to lbsync, and compared.

Rule of this file: it starts and looks; a snapshot compares the places lbsync owns byte for byte (a BIG-IP's: object by object),
and what runs by what the balancer itself says.
"""

from __future__ import annotations

import csv
import hashlib
import http.client
import socket
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lbsync.kit.waiting import wait_for
from lbsync.lab.nginx import MRSPROXY_HOST
from lbsync.testing.haproxy import RunningHaproxy
from lbsync.testing.nginx import RunningNginx
from lbsync.testing.sshd import RunningSshd
from tests.balancers.simulated import SimulatedBigIp, objects_of

_OFFLOADED = ("owa", "activesync", "outlook_anywhere")
_SAYS = "lbsync "
_STATUS_S = 10.0
_TRANSACTION_S = 10.0
"""A device drops a transaction after two minutes; none of ours takes a second."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Which balancer, how it passes on, and whether its host is reached over SSH.

    A BIG-IP in ``stream`` keeps clients' connections to servers apart, in ``http`` each request goes its own way.
    """

    product: Literal["haproxy", "nginx", "bigip"] = "haproxy"
    proxy: Literal["http", "stream"] = "http"
    ssh: bool = False
    variable: bool = False
    """NGINX reads its certificate at each handshake."""

    @property
    def programs(self) -> tuple[str, ...]:
        """What must be on the machine."""
        if self.product == "bigip":
            return ()
        return (self.product, "sshd") if self.ssh else (self.product,)

    @property
    def extra_names(self) -> tuple[str, ...]:
        """What the servers' certificate must carry beside the names of clients."""
        return (MRSPROXY_HOST,) if self.proxy == "stream" else ()

    @property
    def modes(self) -> Mapping[str, str]:
        """Some services offloaded and some bridged; all offloaded where no path is seen."""
        if self.proxy == "stream":
            return {"default": "offload"}
        return {"default": "bridge", **dict.fromkeys(_OFFLOADED, "offload")}

    def __str__(self) -> str:
        told = {
            "http": self.proxy == "http",
            "stream": self.proxy == "stream",
            "variable": self.variable,
            "ssh": self.ssh,
        }
        words = [word for word, is_so in told.items() if is_so and self.product != "haproxy"]
        return "-".join([self.product, *words])


HAPROXY = Kind()
NGINX_HTTP = Kind("nginx", "http")
NGINX_STREAM = Kind("nginx", "stream")
NGINX_VARIABLE = Kind("nginx", "http", variable=True)
BIGIP_CONNECTIONS = Kind("bigip", "stream")
BIGIP_REQUESTS = Kind("bigip", "http")
OVER_SSH = (Kind("nginx", "http", ssh=True), Kind("nginx", "stream", ssh=True))


class Front(ABC):
    """One running balancer.

    ``places`` are the files and folders that a run may change, and those that it must not; ``log`` is where the balancer
    itself writes.
    """

    def __init__(
        self, product: str, running: RunningHaproxy | RunningNginx | SimulatedBigIp, places: tuple[Path, ...], log: Path
    ) -> None:
        self.running = running
        self.places = places
        self.log = log
        self._product = product

    @property
    def certs(self) -> tuple[Path, ...]:
        """The only folders that hold a private key."""
        return tuple(self.running.owned / name for name in ("certs", "certs-shared"))

    @property
    @abstractmethod
    def settings(self) -> dict[str, object]:
        """``[balancers.settings]``."""

    @property
    def secrets(self) -> Mapping[str, str]:
        """By name, what it is told that nobody else may see."""
        return {}

    @abstractmethod
    def live(self) -> dict[str, str] | None:
        """What runs of ours, as the process tells it; ``None``: nothing."""

    @property
    def entry(self) -> dict[str, object]:
        """The whole ``[[balancers]]`` entry."""
        return {
            "name": "lb1",
            "provider": self._product,
            "listen": dict(self.running.listen),
            "settings": self.settings,
        }

    def files(self) -> dict[str, str]:
        """Every file and folder of ``places``, dotfiles too: a temporary file left behind is a difference."""
        return {str(path): _look(path) for place in self.places for path in all_of(place)}


class HaproxyFront(Front):
    """HAProxy: its proxies and servers, drained or not, and the map."""

    def __init__(self, haproxy: RunningHaproxy) -> None:
        super().__init__("haproxy", haproxy, (haproxy.owned,), haproxy.directory / "haproxy.log")
        self._haproxy = haproxy

    @property
    def settings(self) -> dict[str, object]:
        """See Front. HAProxy takes the interval as the time-out of a check's handshake: long enough for a busy machine."""
        return {**self._haproxy.settings, "check_interval_s": 0.6}

    def live(self) -> dict[str, str] | None:
        """See Front. Health is left out, since it comes and goes by itself; what an operator set is not."""
        found: dict[str, str] = {}
        for row in csv.DictReader(self._haproxy.ask("show stat").removeprefix("# ").splitlines()):
            status = row["status"].split()[0]
            found[f"{row['pxname']}/{row['svname']}"] = status if status in {"DRAIN", "MAINT"} else ""
        for line in self._haproxy.ask("show map").splitlines():
            if "exchange.map" in line and not line.startswith("#"):
                entries = self._haproxy.ask(f"show map #{line.split()[0]}").splitlines()
                found["map"] = "; ".join(" ".join(entry.split()[1:]) for entry in entries)
        return found


class NginxFront(Front):
    """NGINX: what its workers answer on the status listener, which holds their whole state."""

    def __init__(self, nginx: RunningNginx, kind: Kind, sshd: RunningSshd | None) -> None:
        super().__init__("nginx", nginx, (nginx.owned, nginx.http_file.parent, nginx.main), nginx.directory)
        self._nginx = nginx
        self._kind = kind
        self._sshd = sshd

    @property
    def settings(self) -> dict[str, object]:
        """See Front. The proof after each reload is short, since nothing here is left to chance by it: it is repeated often."""
        found: dict[str, object] = {**self._nginx.settings, "proof_s": 0.05}
        match self._kind.proxy:
            case "http":
                found |= {"proxy": "http", "ntlm": "unused"}
            case "stream":
                found |= {"proxy": "stream", "mrsproxy_host": MRSPROXY_HOST}
        if self._kind.variable:
            group = self._nginx.owned.group()
            found |= {"certificate_form": "variable", "group": group}
        return found | ({"ssh": self._sshd.settings} if self._sshd is not None else {})

    def live(self) -> dict[str, str] | None:
        """See Front."""
        said = self._said()
        if not said:
            return None
        _, _, state = said.removeprefix(_SAYS).partition(" ")  # another worker's number is no difference
        return {"status": state.strip()}

    def _said(self) -> str:
        try:
            if self._kind.proxy == "http":
                status = http.client.HTTPConnection("127.0.0.1", self._nginx.status_port, timeout=_STATUS_S)
                with closing(status):
                    status.request("GET", "/")
                    return status.getresponse().read().decode()
            with socket.create_connection(("127.0.0.1", self._nginx.status_port), timeout=_STATUS_S) as listener:
                return b"".join(iter(lambda: listener.recv(4096), b"")).decode()
        except ConnectionRefusedError:
            return ""


class BigIpFront(Front):
    """BIG-IP: every object that runs and every object that is saved; states that an operator set."""

    def __init__(self, bigip: SimulatedBigIp, kind: Kind) -> None:
        super().__init__("bigip", bigip, (), bigip.device.directory)
        self.device = bigip.device
        self.device.rest.transactions.timeout_s = _TRANSACTION_S
        self._bigip = bigip
        self._kind = kind
        self._password = bigip.owned / "password"
        self._password.touch(mode=0o600)
        self._password.write_text(bigip.device.password, encoding="utf-8")

    @property
    def settings(self) -> dict[str, object]:
        """See Front."""
        found: dict[str, object] = {**self._bigip.settings, "password": f"file:{self._password}"}
        if self._kind.proxy == "http":
            return found | {"ntlm": "unused"}
        apart = {"mrsproxy_address": self._bigip.address, "mrsproxy_port": self._bigip.mrsproxy_port}
        return found | {"mrsproxy_host": MRSPROXY_HOST, **apart}

    @property
    def secrets(self) -> Mapping[str, str]:
        """See Front."""
        return {"BIG-IP password": self.device.password}

    def files(self) -> dict[str, str]:
        """See Front. Objects instead of files. A transaction that a killed command left open is over after its time."""
        wait_for(lambda: not self.device.open_transactions, _TRANSACTION_S + 1)
        return objects_of(self.device)

    def live(self) -> dict[str, str] | None:
        """See Front. What runs stands among the objects already."""
        return None


@contextmanager
def stand(kind: Kind, folder: Path) -> Generator[Front]:
    """Start a balancer below ``folder``, whose path must be short for HAProxy's sockets."""
    if kind.product == "haproxy":
        with RunningHaproxy(folder) as haproxy:
            yield HaproxyFront(haproxy)
        return
    if kind.product == "bigip":
        bigip = SimulatedBigIp(folder / "bigip")
        with bigip.device:
            yield BigIpFront(bigip, kind)
        return
    with RunningNginx(folder / "nginx", stream=kind.proxy == "stream") as nginx:
        if not kind.ssh:
            yield NginxFront(nginx, kind, None)
            return
        (folder / "sshd").mkdir()
        with RunningSshd(folder / "sshd") as sshd:
            yield NginxFront(nginx, kind, sshd)


def all_of(place: Path) -> Iterable[Path]:
    """A file itself, or everything below a folder."""
    return sorted(place.rglob("*")) if place.is_dir() else (place,)


def _look(path: Path) -> str:
    """Mode and content of a file, where a link points, or that it is a folder."""
    if path.is_symlink():
        return f"link to {path.readlink()}"
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return f"{path.stat().st_mode:o} {content}"
