"""The rehearsal as a person runs it: demo, up, state, down; and questions at a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from lbsync.cli.backstop import Backstop
from lbsync.cli.command import Session
from lbsync.cli.exits import ExitCode
from lbsync.cli.house import House
from lbsync.cli.rehearsing import front_of
from lbsync.config import load
from lbsync.engine import Recorded
from lbsync.lab.daemon import Lab
from lbsync.lab.spec import LabSpec
from lbsync.model import Plan
from lbsync.run import Awaiting, Interrupted, Run, RunStarted
from lbsync.testing.farm_facts import NOW
from tests.longer import LONGER

Lbsync = Callable[..., Any]
Rehearse = Callable[..., Any]


def spawn(folder: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    """The real command, with nothing but a home of its own and the programs to rehearse with around it."""
    programs = {
        name: value for name, value in os.environ.items() if name.startswith(("LBSYNC_HAPROXY", "LBSYNC_NGINX"))
    }
    home = {"PATH": os.environ["PATH"] + ":/usr/sbin", "HOME": str(folder), "XDG_STATE_HOME": str(folder)}
    environ = {**home, **programs, **more}
    return subprocess.Popen(
        [sys.executable, "-m", "lbsync", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environ,
    )  # fmt: skip


def lost(folder: Path) -> list[Any]:
    """What each canary of the reports below a folder counted, the first errors in their words."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob("reports/*.json")]
    return [one["canary"] for report in reports for one in report["evidence"] if one["canary"]]


@pytest.mark.parametrize(
    ("words", "front"),
    [
        ("--balancer haproxy", "a real HAProxy"),
        pytest.param("--balancer nginx --ssh", "a real NGINX over SSH", marks=LONGER),
        pytest.param("--balancer nginx --proxy http", "a real NGINX", marks=LONGER),
        pytest.param("--balancer bigip", "a simulated BIG-IP", marks=LONGER),
    ],
)
def test_the_demo_tells_the_whole_story(tmp_path: Path, require: Callable[[str], None], words: str, front: str) -> None:
    """Every chapter in order, nothing lost, everything as before, and a report that is there; with faults on."""
    for program in ("haproxy", "nginx", "sshd"):
        if program in words.replace("--ssh", "sshd"):
            require(program)
    process = spawn(tmp_path, "lab", "demo", "--servers", "2", "--seed", "11", *words.split())
    told = process.communicate(timeout=300)[0]
    assert process.returncode == ExitCode.OK, told
    assert f"2 simulated servers behind {front}   " in told
    chapters = ["lbsync check", "lbsync advise", "lbsync plan", "lbsync apply", "lbsync verify", "lbsync rollback"]
    places = [told.index(f"   {chapter}") for chapter in chapters]
    assert places == sorted(places)
    assert "seed 11" in told
    assert told.count(" 0 failed") == 2, lost(tmp_path)
    assert "every server is as it was before" in told
    report = Path(told.split("The report: ")[1].splitlines()[0])
    assert report.is_file()
    assert "Traceback" not in told
    assert "\x1b" not in told


def test_the_demo_opens_a_dashboard(tmp_path: Path, lbsync: Lbsync, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollout, then a rotation that waits; approved from here it is carried out; Ctrl-C ends all of it and leaves no key."""
    process = spawn(tmp_path, "lab", "demo", "--serve", "--balancer", "bigip", "--servers", "1", "--faults", "0")
    try:
        stream = process.stdout
        assert stream is not None
        told = line = ""
        while not line.startswith("Serving at "):
            line = stream.readline()
            assert line, told
            told += line
        url, _, token = line.removeprefix("Serving at ").strip().partition("; the token to log in with lies in ")
        monkeypatch.setenv("LBSYNC_SERVER", url)
        monkeypatch.setenv("LBSYNC_TOKEN_FILE", token)
        proposal = until_it_waits(url, Path(token).read_text(encoding="ascii").strip())
        approved = lbsync("remote", "approve", proposal, "--yes")
        assert approved.code == ExitCode.OK, approved.err
        run = lbsync("remote", "runs", "--json").document[0]
        assert run["phase"] == "applied"
        assert run["actor"].startswith("approved by token, asked by schedule via lbsync serve (")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=120)[0]
        assert process.returncode == ExitCode.OK, rest
        assert "Traceback" not in told + rest
        assert not [
            path for path in (tmp_path / "lab-demo").rglob("*") if path.suffix == ".pfx" or "password" in path.name
        ]
    finally:
        process.kill()
        process.communicate()


def until_it_waits(url: str, token: str) -> str:
    """The proposal, once there is one: its id, read from the service's events."""
    headers = {"Authorization": f"Bearer {token}"}
    with requests.get(f"{url}/api/v1/events", headers=headers, stream=True, timeout=120) as events:
        for _ in events.iter_lines():
            state = requests.get(f"{url}/api/v1/namespaces/config", headers=headers, timeout=60).json()
            if state["proposals"] and state["job"] is None:
                return str(state["proposals"][0]["id"])
    raise AssertionError("the events ended")


def test_a_lab_stays_up_until_it_is_taken_down(tmp_path: Path, require: Callable[[str], None]) -> None:
    """It says how to use it; the state can be seen and the end asked for from another process."""
    require("haproxy")
    process = spawn(tmp_path, "lab", "up", "--servers", "1", "--faults", "0")
    try:
        stream = process.stdout
        assert stream is not None
        said = [stream.readline() for _ in range(4)]
        assert "LBSYNC_CONFIG=" in said[1]
        second = spawn(tmp_path, "lab", "up")
        assert "already" in second.communicate(timeout=60)[0] or second.returncode == ExitCode.ERROR
        state = spawn(tmp_path, "lab", "state").communicate(timeout=60)[0]
        assert "Default Web Site/owa: inherited" in state
        down = spawn(tmp_path, "lab", "down")
        assert "It is down" in down.communicate(timeout=60)[0]
        assert process.wait(timeout=60) == ExitCode.OK
    finally:
        process.kill()
        process.communicate()


def test_a_wrong_host_key_is_refused(
    lbsync: Lbsync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[[str], None]
) -> None:
    """The lab's own sshd is trusted by its known_hosts; with the wrong one beside it nothing is asked of that host."""
    require("haproxy")
    require("sshd")
    with Lab(LabSpec(servers=1, faults=0.0), tmp_path / "lab", ssh=True) as lab:
        monkeypatch.setenv("LBSYNC_CONFIG", str(lab.config))
        assert lbsync("check").code == ExitCode.OK
        assert lab.sshd is not None
        before = lab.sshd.running.log
        right, wrong = str(lab.sshd.running.known_hosts), str(lab.sshd.wrong_known_hosts)
        text = lab.config.read_text(encoding="utf-8")
        lab.config.write_text(text.replace(f'"{right}"', f'"{wrong}"'), encoding="utf-8")
        told = lbsync("check")
        assert told.code == ExitCode.ERROR
        assert "the host's key is not the one in known_hosts" in told.err
        assert wrong in told.err.replace("\n", "")
        assert "Accepted publickey" in before
        assert "Accepted publickey" not in lab.sshd.running.log.removeprefix(before)


def test_without_the_balancer_the_servers_are_up(tmp_path: Path) -> None:
    """Lab up says which package is missing and brings up the servers alone; the demo cannot do without."""
    nowhere = {"LBSYNC_NGINX": str(tmp_path / "no-nginx")}
    demo = spawn(tmp_path, "lab", "demo", "--balancer", "nginx", "--folder", "demo", **nowhere)
    told = demo.communicate(timeout=60)[0]
    assert demo.returncode == ExitCode.ERROR
    assert "libnginx-mod-stream" in told
    process = spawn(tmp_path, "lab", "up", "--servers", "1", "--balancer", "nginx", "--ssh", **nowhere)
    try:
        stream = process.stdout
        assert stream is not None
        said = ""
        while "Ctrl-C" not in said:
            line = stream.readline()
            assert line, said
            said += line
        assert "libnginx-mod-stream" in said
        assert "the farm has no balancer" in " ".join(said.split())
        assert "balancers" not in (tmp_path / "lab-demo" / "config.toml").read_text(encoding="utf-8")
        down = spawn(tmp_path, "lab", "down")
        assert "It is down" in down.communicate(timeout=60)[0]
        assert process.wait(60) == ExitCode.OK
    finally:
        process.kill()
        process.communicate()


def test_a_way_of_passing_on_is_nginxs(lbsync: Lbsync) -> None:
    """--proxy for HAProxy is a mistake, told before anything is started."""
    for what in ("up", "demo"):
        told = lbsync("lab", what, "--proxy", "http")
        assert told.code == ExitCode.ATTENTION
        assert "--balancer nginx" in told.err


def test_a_bigip_is_not_reached_over_ssh(lbsync: Lbsync) -> None:
    """--ssh with a simulated BIG-IP is a mistake, told before anything is started."""
    for what in ("up", "demo"):
        told = lbsync("lab", what, "--balancer", "bigip", "--ssh")
        assert told.code == ExitCode.ATTENTION
        assert "REST interface" in told.err


@pytest.mark.parametrize(("installed", "balancer"), [("/usr/sbin/haproxy", "haproxy"), (None, "bigip")])
def test_what_stands_in_front_unless_told(
    monkeypatch: pytest.MonkeyPatch, installed: str | None, balancer: str
) -> None:
    """HAProxy where it is installed, else the simulated BIG-IP, which needs nothing."""
    monkeypatch.setattr("lbsync.testing.haproxy.haproxy_program", lambda: installed)
    assert front_of(None, None, ssh=False).balancer == balancer


@pytest.mark.parametrize(("answer", "code"), [("no", ExitCode.REFUSED), ("yes", ExitCode.OK)])
def test_a_person_is_asked(lbsync: Lbsync, rehearsal: Rehearse, tmp_path: Path, answer: str, code: int) -> None:
    """Only yes will do, and the whole plan stands above the question."""
    del lbsync
    farm = rehearsal(servers=1).farm
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "lbsync", "apply"], stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, cwd=tmp_path,
        )  # fmt: skip
        os.write(master, f"{answer}\n".encode())
        told = process.communicate(timeout=120)[0]
    finally:
        os.close(master)
        os.close(slave)
    assert process.returncode == code, told
    assert "Only yes will do" in told
    assert "~ Default Web Site/owa sslFlags" in told
    changed = farm.servers["EX01"].state.iis.own_ssl_flags("Default Web Site/owa") == "None"
    assert changed is (answer == "yes")


TOML = """version = 1
[farm]
name = "contoso"
[farm.winrm]
user = "u"
password = "file:pw"
[[servers]]
name = "EX01"
fqdn = "ex01.contoso.com"
[publish]
hosts = ["mail.contoso.test"]
"""


def backstop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> tuple[Backstop, Path]:
    """One whose systemd is a script that notes what it was asked."""
    notes = tmp_path / "asked"
    for name in ("systemd-run", "systemctl"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $@" >> {notes}\n{script}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    house = House.__new__(House)
    house.loaded = load(TOML, file=str(tmp_path / "lbsync.toml"), base=tmp_path)
    screen = Session(as_json=False, quiet=False, state=tmp_path / "state")
    return Backstop(screen, house, "r1", 600), notes


def waiting() -> Recorded:
    """The moment everything is applied and waits for a word."""
    run = Run.begin(RunStarted(run_id="r1", plan=Plan(farm="f", basis="b", steps=()), actor="a", host="h", started=NOW))
    return Recorded(Awaiting(deadline=NOW), run)


def test_systemd_stands_by_from_the_moment_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its timer starts lbsync resume a little later than this process would, and is taken away in the end."""
    timer, notes = backstop(tmp_path, monkeypatch, "exit 0")
    timer(Recorded(Interrupted(), waiting().run))
    timer.stop()
    assert not notes.exists()
    timer(waiting())
    timer.stop()
    first, second = notes.read_text().splitlines()
    assert "--unit=lbsync-backstop-r1 --on-active=630" in first
    assert first.endswith(f"-m lbsync resume r1 --config {tmp_path}/lbsync.toml --state {tmp_path}/state")
    assert second == "systemctl stop lbsync-backstop-r1.timer"


def test_a_systemd_that_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The operator knows that nothing stands by."""
    timer, _ = backstop(tmp_path, monkeypatch, "exit 1")
    timer(waiting())
    timer.stop()
    assert "lbsync resume" in capsys.readouterr().err
