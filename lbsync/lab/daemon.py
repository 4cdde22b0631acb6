"""A lab that stays up: farm, balancer, files to work with, and a door for other processes.

Rule of this room: it writes into its own directory only, secrets with mode 0600, and takes everything down again. State of
the simulated farm lives in this process and ends with it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from lbsync.lab.balancer import Kind, LabBalancer, Process, Proxy
from lbsync.lab.configfile import ConfigOptions
from lbsync.lab.control import Control
from lbsync.lab.f5 import LabBigIp
from lbsync.lab.farm import LabFarm
from lbsync.lab.folder import FACTS, SECRETS, Found, claim, find, take_down, told, write_private
from lbsync.lab.haproxy import LabHaproxy
from lbsync.lab.nginx import MRSPROXY_HOST, LabNginx
from lbsync.lab.spec import LabSpec
from lbsync.lab.sshd import LabSshd

__all__ = ["Found", "Lab", "find", "serve", "take_down"]


class Lab:
    """A farm and, unless told otherwise, a balancer in front of it; use it as a context manager.

    In ``directory``: ``config.toml``, ``ca.pem``, ``lab.json`` (processes, ports, seed), ``secrets/``, and a folder for each
    program: ``haproxy/``, ``nginx/`` or ``bigip/``, ``sshd/``.
    """

    def __init__(
        self,
        spec: LabSpec,
        directory: Path,
        *,
        balancer: Kind | None = "haproxy",
        proxy: Proxy = "stream",
        ssh: bool = False,
        options: ConfigOptions | None = None,
    ) -> None:
        """``proxy`` is NGINX's; ``ssh``: the balancer's host is reached through a real sshd; ``options`` go into the file.

        Raises NoBalancer where the balancer is not installed; LbsyncError where the directory is not a lab's or in use, or
        sshd is not installed.
        """
        self.directory = directory.resolve()
        claim(self.directory)
        self.balancer = self._balancer(balancer, proxy, spec)
        self.sshd = LabSshd(self.directory / "sshd") if ssh and self.balancer is not None else None
        if balancer == "bigip" or (balancer == "nginx" and proxy == "stream"):
            spec = replace(spec, extra_names=(*spec.extra_names, MRSPROXY_HOST))
        self.farm = LabFarm(spec, self.directory)
        self.config = self.directory / "config.toml"
        self.stopping = threading.Event()
        self._options: ConfigOptions = options or {}
        self._cleanup = ExitStack()

    def _balancer(self, kind: Kind | None, proxy: Proxy, spec: LabSpec) -> LabBalancer | None:
        match kind:
            case "haproxy":
                return LabHaproxy(self.directory / "haproxy")
            case "nginx":
                return LabNginx(self.directory / "nginx", proxy)
            case "bigip":
                return LabBigIp(self.directory / "bigip", faults=spec.faults, seed=spec.seed)
            case None:
                return None

    @property
    def haproxy(self) -> LabHaproxy | None:
        """The balancer where it is HAProxy."""
        return self.balancer if isinstance(self.balancer, LabHaproxy) else None

    @property
    def processes(self) -> tuple[Process, ...]:
        """The programs that it keeps running, whom a killed lab would leave behind."""
        balancer, sshd = self.balancer, self.sshd
        found: list[Process] = []
        if balancer is not None and balancer.pid is not None:
            found.append(Process(balancer.provider, balancer.pid, balancer.main))
        if sshd is not None and sshd.pid is not None:
            found.append(Process("sshd", sshd.pid, sshd.config))
        return tuple(found)

    def start(self) -> Self:
        """Bring it up; nothing is left when that fails."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        self._cleanup.enter_context(self.farm)
        entries = self._start_balancer()
        secrets = self.directory / SECRETS
        secrets.mkdir(exist_ok=True, mode=0o700)
        for name, value in (("winrm-password", self.farm.password), ("mailbox-password", self.farm.mailbox[1])):
            write_private(secrets / name, value)
            self._cleanup.callback((secrets / name).unlink, missing_ok=True)
        options: ConfigOptions = {
            "balancers": entries,
            "password": f"file:{secrets / 'winrm-password'}",
            **self._options,
        }
        like = self.farm.spec.likeness
        if like is not None and like.names_leaf:
            thumbprint = self.farm.leaf.info.thumbprint
            options["certificate"] = {**options.get("certificate", {"source": "server"}), "thumbprint": thumbprint}
        self.farm.write_config(self.config, **options)
        door = Path(tempfile.mkdtemp(prefix="lbsync-lab-"))
        self._cleanup.callback(shutil.rmtree, door, ignore_errors=True)
        control = Control(self.farm, self.stopping.set)
        self.farm.on_management(control.start(door / "control.sock"))
        self._cleanup.callback(lambda: self.farm.on_management(control.stop()))
        facts = self._facts(door / "control.sock", entries)
        write_private(self.directory / FACTS, json.dumps(facts, indent=2) + "\n")
        self._cleanup.callback((self.directory / FACTS).unlink, missing_ok=True)

    def _start_balancer(self) -> list[dict[str, object]]:
        """The balancer and the way to its host; their entry for the configuration."""
        if self.balancer is None:
            return []
        self.balancer.start()
        self._cleanup.callback(self.balancer.stop)
        if self.sshd is None:
            return [self._like(self.balancer.balancer())]
        self.sshd.start()
        self._cleanup.callback(self.sshd.stop)
        return [self._like(self.balancer.balancer(self.sshd.running.settings))]

    def _like(self, entry: dict[str, object]) -> dict[str, object]:
        """The balancer's entry with the name that MRSProxy had in a recorded farm, or without one as it had none."""
        like, settings = self.farm.spec.likeness, entry["settings"]
        if like is None or like.provider != entry["provider"] or not isinstance(settings, dict):
            return entry
        ports = {"mrsproxy_address", "mrsproxy_port"} if like.mrsproxy_host is None else set[str]()
        kept = {str(name): value for name, value in settings.items() if name not in {"mrsproxy_host", *ports}}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return entry | {"settings": kept | ({"mrsproxy_host": like.mrsproxy_host} if like.mrsproxy_host else {})}

    def _facts(self, control: Path, entries: list[dict[str, object]]) -> dict[str, object]:
        servers = {
            server.name: {
                "fqdn": server.fqdn,
                "address": server.address,
                "http_port": server.http_port,
                "https_port": server.https_port,
                "winrm_port": server.winrm_port,
            }
            for server in self.farm.servers.values()
        }
        return {
            "pid": os.getpid(),
            "processes": told(self.processes),
            "control": str(control),
            "config": str(self.config),
            "seed": self.farm.seed,
            "faults": self.farm.spec.faults,
            "leaf": self.farm.leaf.info.fingerprint,
            "mailbox": self.farm.mailbox[0],
            "servers": servers,
            "balancer": entries[0] if entries else None,
            "wrong_known_hosts": str(self.sshd.wrong_known_hosts) if self.sshd is not None else None,
        }

    def wait(self, beat: Callable[[], None] | None = None) -> None:
        """Stay up until somebody asks for the end; ``beat`` is called every second."""
        while not self.stopping.wait(1.0):
            if beat is not None:
                beat()

    def stop(self) -> None:
        """Take everything down; twice is once."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(lab: Lab, started: Callable[[Lab], None] | None = None) -> None:
    """Run a lab in the main thread until SIGINT, SIGTERM or the door says stop; ``started`` is called once it is up."""
    before = {
        number: signal.signal(number, lambda _number, _frame: lab.stopping.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with lab:
            if started is not None:
                started(lab)
            lab.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
