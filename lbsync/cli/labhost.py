"""A simulated farm kept up by one process, and asked after by others.

Rule of this file: the farm lives in the process that started it; beside its configuration it leaves its process id and, on
request (SIGUSR1), a picture of its servers. Passwords are handed out as a private file, never printed.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lbsync.errors import ConfigError

if TYPE_CHECKING:
    from lbsync.cli.command import Session
    from lbsync.lab.configfile import ConfigOptions
    from lbsync.lab.farm import LabFarm
    from lbsync.testing.haproxy import RunningHaproxy

_ANSWER_S = 5.0


def keep_up(screen: Session, folder: Path, *, servers: int, faults: float, seed: int | None) -> None:
    """Start farm and HAProxy below ``folder``, say how to use them, and stay until a signal. Raises ConfigError, OSError."""
    from lbsync.lab.farm import LabFarm, LabSpec
    from lbsync.testing.haproxy import haproxy_program

    if _alive(folder) is not None:
        raise ConfigError("a lab is up there already", where=str(folder), remedy="lbsync lab down, or another --folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ended = threading.Event()
    spec = LabSpec(servers=servers, faults=faults, seed=seed)
    with LabFarm(spec, folder) as farm:
        haproxy = _haproxy(folder) if haproxy_program() else None
        try:
            config = write_lab_config(farm, folder, haproxy)
            _answer_signals(farm, folder, ended)
            (folder / "lab.pid").write_text(str(os.getpid()), encoding="ascii")
            _say(screen, farm, config, haproxy)
            ended.wait()
        finally:
            (folder / "lab.pid").unlink(missing_ok=True)
            if haproxy is not None:
                haproxy.stop()


def write_lab_config(
    farm: LabFarm, folder: Path, haproxy: RunningHaproxy | None, modes: Mapping[str, str] | None = None
) -> Path:
    """The farm's lbsync.toml, its password in a private file beside it."""
    secret = folder / "winrm-password"
    secret.unlink(missing_ok=True)
    with os.fdopen(os.open(secret, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(farm.password)
    balancers = [] if haproxy is None else [balancer_of(haproxy)]
    options: ConfigOptions = {"balancers": balancers, "password": f"file:{secret.name}"}
    if modes is not None:
        options["modes"] = modes
    return farm.write_config(folder / "lbsync.toml", **options)


def balancer_of(haproxy: RunningHaproxy) -> dict[str, object]:
    """Its table in the configuration."""
    return {"name": "lb1", "provider": "haproxy", "listen": dict(haproxy.listen), "settings": dict(haproxy.settings)}


def take_down(screen: Session, folder: Path) -> None:
    """Ask the process that keeps the lab up to end. Raises ConfigError where none does."""
    pid = _alive(folder)
    if pid is None:
        raise _not_up(folder)
    os.kill(pid, signal.SIGTERM)
    screen.result(f"Asked process {pid} to end.")


def show_state(screen: Session, folder: Path) -> None:
    """A picture of the servers, drawn by the process that keeps them. Raises ConfigError."""
    from rich.table import Table

    pid = _alive(folder)
    if pid is None:
        raise _not_up(folder)
    picture = folder / "state.json"
    picture.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    waited = threading.Event()
    for _ in range(int(_ANSWER_S / 0.05)):
        if picture.exists():
            break
        waited.wait(0.05)
    else:
        raise ConfigError("the lab did not answer", where=str(folder), remedy=f"look at process {pid}")
    servers = json.loads(picture.read_text(encoding="utf-8"))
    table = Table("server", "own sslFlags", "outlook anywhere", box=None, header_style="bold", pad_edge=False)
    for name, server in servers.items():
        flags = ", ".join(f"{vdir} {own or 'inherited'}" for vdir, own in server["own"].items())
        table.add_row(name, flags, "offloaded" if server["ssl_offloading"] else "not offloaded")
    screen.result(table)
    screen.document(servers)


def _haproxy(folder: Path) -> RunningHaproxy:
    """Unix socket paths are short: HAProxy's own folder is made anew below the system's temporary one."""
    import tempfile

    from lbsync.testing.haproxy import RunningHaproxy

    del folder
    haproxy = RunningHaproxy(Path(tempfile.mkdtemp(prefix="lbsync-lab-")))
    haproxy.start()
    return haproxy


def _say(screen: Session, farm: LabFarm, config: Path, haproxy: RunningHaproxy | None) -> None:
    screen.result(f"{len(farm.servers)} simulated servers are up; seed {farm.seed}.")
    if haproxy is None:
        screen.warn("HAProxy is not installed, so there is no balancer: apt install haproxy")
    screen.result(
        f"In another terminal: export LBSYNC_CONFIG={config.absolute()} LBSYNC_STATE={config.parent.absolute()}/state"
    )
    screen.result("Then: lbsync check, advise, plan, apply, verify, rollback. Ctrl-C here ends the lab.")


def _alive(folder: Path) -> int | None:
    """The process that keeps a lab up below ``folder``, or ``None``."""
    try:
        pid = int((folder / "lab.pid").read_text(encoding="ascii"))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def _not_up(folder: Path) -> ConfigError:
    return ConfigError("no lab is up there", where=str(folder), remedy="lbsync lab up, or name its --folder")


def _answer_signals(farm: LabFarm, folder: Path, ended: threading.Event) -> None:
    """SIGTERM, SIGHUP and Ctrl-C end the lab; SIGUSR1 draws a picture of the servers."""

    def draw(_number: int, _frame: object) -> None:
        temporary = folder / ".state.json"
        temporary.write_text(json.dumps(_picture(farm)), encoding="utf-8")
        temporary.replace(folder / "state.json")

    def end(_number: int, _frame: object) -> None:
        ended.set()

    signal.signal(signal.SIGUSR1, draw)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)


def _picture(farm: LabFarm) -> dict[str, object]:
    from lbsync.services import FLAG_SERVICES, SERVICES

    return {
        name: {
            "own": {
                SERVICES[service].vdir: server.state.iis.own_ssl_flags(SERVICES[service].location)
                for service in FLAG_SERVICES
            },
            "ssl_offloading": farm.state.directory.outlook_anywhere[name].ssl_offloading,
        }
        for name, server in farm.servers.items()
    }
