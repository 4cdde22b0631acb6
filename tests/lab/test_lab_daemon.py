"""A lab that stays up: its files, its door, its end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from lbsync.errors import LbsyncError
from lbsync.lab.balancer import Process
from lbsync.lab.control import ask
from lbsync.lab.daemon import Lab, find, take_down
from lbsync.lab.spec import LabSpec

QUIET = LabSpec(servers=1, faults=0.0, seed=3, oa_lag_s=0.05)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Lab]:
    """A lab without a balancer."""
    with Lab(QUIET, tmp_path / "lab", balancer=None) as lab:
        yield lab


def test_files(up: Lab) -> None:
    """Configuration, CA, facts and secrets are there; secrets are private, and gone afterwards."""
    config = tomllib.loads(up.config.read_text(encoding="utf-8"))
    secret = Path(config["farm"]["winrm"]["password"].removeprefix("file:"))
    assert secret.read_text(encoding="utf-8") == up.farm.password
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.parent.stat().st_mode & 0o777 == 0o700
    facts = json.loads((up.directory / "lab.json").read_text(encoding="utf-8"))
    assert (facts["pid"], facts["seed"], facts["processes"]) == (os.getpid(), 3, [])
    assert up.farm.password not in (up.directory / "lab.json").read_text(encoding="utf-8")
    assert Path(facts["control"]).stat().st_mode & 0o077 == 0
    up.stop()
    assert not secret.exists()
    assert not (up.directory / "lab.json").exists()
    assert not Path(facts["control"]).parent.exists()


def test_the_door_shows_state(up: Lab) -> None:
    """A snapshot is plain JSON and shows own values as they are."""
    state = cast("dict[str, Any]", find(up.directory).state())
    shown = state["servers"]["EX01"]
    assert shown["iis"]["own_ssl_flags"]["Default Web Site/owa"] is None
    assert shown["iis"]["bound"] == up.farm.leaf.info.thumbprint
    assert shown["outlook_anywhere"]["ssl_offloading"] is False
    assert state["locked"] == []


def test_the_door_changes_state(up: Lab) -> None:
    """What an administrator of a real farm could do can be done from another process."""
    door, server, farm = find(up.directory), up.farm.servers["EX01"], up.farm
    door.ask({"do": "set-ssl-flags", "server": "EX01", "location": "Default Web Site/owa", "value": "None"})
    assert server.state.iis.own_ssl_flags("Default Web Site/owa") == "None"
    door.ask({"do": "set-ssl-flags", "location": "Default Web Site/owa", "value": None})
    assert server.state.iis.own_ssl_flags("Default Web Site/owa") is None
    door.ask({"do": "recycle", "server": "EX01", "pool": "MSExchangeOWAAppPool"})
    assert server.state.iis.pools["msexchangeowaapppool"].recycles == 1
    door.ask({"do": "component", "component": "OwaProxy", "state": "Inactive"})
    assert server.state.components["OwaProxy"] == "Inactive"
    door.ask({"do": "setup-running", "value": True})
    assert server.state.setup_running
    door.ask({"do": "outlook-anywhere", "settings": {"ssl_offloading": True}})
    assert farm.state.changes.wait_for(lambda: server.state.iis.own_ssl_flags("Default Web Site/Rpc") == "None", 30.0)
    door.ask({"do": "fault", "fault": "drop-before"})
    assert server.faults.draw() is not None
    door.ask({"do": "fault-rate", "value": 1.0})
    assert server.faults.draw() is not None
    farm.state.accounts.wrong["lbsync"] = 99
    door.ask({"do": "unlock"})
    assert not farm.state.accounts.locked("lbsync")


@pytest.mark.parametrize(
    "command",
    [{"do": "nothing"}, {"do": "recycle"}, {"do": "recycle", "pool": "x"}, {"do": "outlook-anywhere", "settings": 1}],
)
def test_a_bad_command_is_refused(up: Lab, command: dict[str, object]) -> None:
    """A command that cannot be is answered with an error, and the door stays open."""
    door = find(up.directory)
    with pytest.raises(LbsyncError) as refused:
        door.ask(command)
    assert refused.value.code == "lab_refused"
    assert door.ask({"do": "ping"}) == "pong"


def test_nobody_answers(tmp_path: Path) -> None:
    """Without a lab there is a clear error."""
    with pytest.raises(LbsyncError) as none:
        find(tmp_path)
    assert none.value.code == "no_lab"
    with pytest.raises(LbsyncError) as deaf:
        ask(tmp_path / "x.sock", {"do": "ping"})
    assert deaf.value.code == "no_lab"


def test_a_directory_in_use_is_refused(up: Lab) -> None:
    """A second lab in the same directory is refused; the first stays as it was."""
    with pytest.raises(LbsyncError) as used:
        Lab(QUIET, up.directory, balancer=None)
    assert used.value.code == "lab_in_use"
    assert find(up.directory).ask({"do": "ping"}) == "pong"


def test_a_foreign_directory_is_refused(tmp_path: Path) -> None:
    """A directory with other things in it is not touched, even if their names are those of a lab's files."""
    (tmp_path / "config.toml").write_text("mine")
    (tmp_path / "ca.pem").write_text("mine")
    with pytest.raises(LbsyncError) as foreign:
        Lab(QUIET, tmp_path, balancer=None)
    assert foreign.value.code == "not_a_lab"
    assert (tmp_path / "config.toml").read_text() == "mine"


def test_a_directory_is_used_again(tmp_path: Path) -> None:
    """After an end the same directory takes a new lab."""
    for _ in range(2):
        with Lab(QUIET, tmp_path / "lab", balancer=None) as lab:
            assert find(lab.directory).ask({"do": "ping"}) == "pong"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[[dict[str, object]], subprocess.Popen[bytes]]]:
    """Start a lab in a process of its own, in ``tmp_path/lab``, and wait until it is up."""
    started: list[subprocess.Popen[bytes]] = []

    def start(knobs: dict[str, object]) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-m", "lbsync.lab", str(tmp_path / "lab"), json.dumps(knobs)]
        running = subprocess.Popen(arguments)
        started.append(running)
        deadline = time.monotonic() + 60
        while not (tmp_path / "lab" / "lab.json").exists():
            assert running.poll() is None
            assert time.monotonic() < deadline
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(0.05)
        return running

    yield start
    for running in started:
        if running.poll() is None:
            running.kill()
        running.wait(20)
    if (tmp_path / "lab" / "lab.json").exists():
        take_down(tmp_path / "lab")  # a test that failed leaves no balancer behind


def test_take_down(process: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """``lab down`` ends the process and waits until it is gone."""
    running = process({"servers": 1, "balancer": None})
    assert take_down(tmp_path / "lab")
    assert running.wait(20) == 0


def test_a_signal_ends_it(process: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """SIGTERM takes everything down in order."""
    running = process({"servers": 1, "balancer": None})
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0
    assert not (tmp_path / "lab" / "lab.json").exists()


@pytest.mark.parametrize("balancer", ["haproxy", "nginx"])
def test_a_killed_lab_is_buried(
    process: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, require: Callable[[str], None], balancer: str
) -> None:
    """A lab that was killed leaves its balancer, its sshd and secrets behind; taking it down ends and removes them."""
    require(balancer)
    require("sshd")
    running = process({"servers": 1, "balancer": balancer, "ssh": True})
    found = find(tmp_path / "lab")
    assert [each.name for each in found.processes] == [balancer, "sshd"]
    orphans = [os.pidfd_open(each.pid) for each in found.processes]
    try:
        running.kill()
        running.wait(20)
        assert not take_down(tmp_path / "lab")
        assert not (tmp_path / "lab" / "secrets").exists()
        assert not list((tmp_path / "lab").rglob("*_key"))
        for orphan in orphans:
            assert select.select([orphan], [], [], 20.0)[0]
    finally:
        for orphan in orphans:
            os.close(orphan)


def test_a_stranger_is_not_buried(tmp_path: Path) -> None:
    """A process that took over the number of one that a lab had started is left alone, and so is nobody."""
    stranger = Process("nginx", os.getpid(), tmp_path / "nginx.conf")
    assert not stranger.end()
    ended = subprocess.Popen(["true"])
    ended.wait(20)
    assert not Process("nginx", ended.pid, tmp_path / "nginx.conf").end()
