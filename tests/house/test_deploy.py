"""What is shipped to run the service: systemd itself judges its unit; recipes name what exists and give away nothing."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from lbsync.cli.app import app
from lbsync.config import ServiceSection

UNIT = Path("deploy/systemd/lbsync-serve.service")
RECIPE = Path("deploy/windows/lbsync-serve.xml")
CONTAINER = Path("deploy/Containerfile")
_MOST_EXPOSED = 2.0
"""Of ten, as ``systemd-analyze security`` counts; a service without any setting has 9.6."""


@pytest.fixture
def unit(root: Path) -> dict[str, str]:
    """The unit's [Service]."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read(root / UNIT, encoding="utf-8")
    return dict(parser["Service"])


def _analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: the unit is judged where it is")
    return program


def test_systemd_takes_the_unit(root: Path, tmp_path: Path) -> None:
    """No key that it does not know, no value that it does not take; and little that the service could do to the host."""
    program = _analyze()
    text = (root / UNIT).read_text(encoding="utf-8").replace("/opt/lbsync/bin/lbsync", "/bin/true")
    (tmp_path / UNIT.name).write_text(text, encoding="utf-8")
    judged = subprocess.run([program, "verify", str(tmp_path / UNIT.name)], capture_output=True, text=True, check=False)
    about_it = [line for line in judged.stderr.splitlines() if UNIT.name in line]
    assert (judged.returncode, about_it) == (0, [])
    asked = [program, "security", "--offline=true", "--no-pager", f"--threshold={int(_MOST_EXPOSED * 10)}"]
    exposed = subprocess.run([*asked, str(tmp_path / UNIT.name)], capture_output=True, text=True, check=False)
    if "unrecognized option" in exposed.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit's security offline (before 250)")
    assert exposed.returncode == 0, exposed.stdout[-300:]


def test_the_unit_lets_steps_end(unit: dict[str, str]) -> None:
    """Only the service is asked to stop, and systemd waits longer than the service does."""
    assert unit["KillMode"] == "mixed"
    assert unit["Type"] == "notify"
    minutes = re.fullmatch(r"(\d+)min", unit["TimeoutStopSec"])
    assert minutes is not None
    assert int(minutes[1]) * 60 > ServiceSection().stop_within_s + 30


def test_commands_exist(root: Path, unit: dict[str, str]) -> None:
    """What unit, recipe and container start is a command of this program, with options that it has."""
    recipe = re.search(r"<arguments>(.*)</arguments>", (root / RECIPE).read_text(encoding="utf-8"))
    container = re.search(r"^CMD \[(.*)\]$", (root / CONTAINER).read_text(encoding="utf-8"), re.MULTILINE)
    assert container is not None
    assert recipe is not None
    started = [
        unit["ExecStart"].split()[1:],
        recipe[1].split(),
        re.findall(r'"([^"]+)"', container[1]),
    ]
    commands = getattr(typer.main.get_command(app), "commands", {})
    for command, *words in started:
        known = {option for parameter in commands[command].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_the_container_is_nobody(root: Path) -> None:
    """Not root, and one volume; no secret is built in."""
    text = (root / CONTAINER).read_text(encoding="utf-8")
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert re.findall(r"^VOLUME (.*)$", text, re.MULTILINE) == ['["/var/lib/lbsync"]']
    assert not re.search(r"^(ENV|ARG) .*(PASSWORD|TOKEN|SECRET)", text, re.MULTILINE)


def test_windows_hands_down_no_rights(root: Path) -> None:
    """Nothing checks them there: the recipe takes away what the folder above gives, before the service is started."""
    text = (root / RECIPE).read_text(encoding="utf-8")
    assert r"<logpath>C:\ProgramData\lbsync\state</logpath>" in text
    assert "icacls" in text[: text.index("lbsync-serve.exe start")]
    assert r"icacls C:\ProgramData\lbsync /inheritance:r /grant:r " in text


def test_what_was_not_run_says_so(root: Path) -> None:
    """Nobody takes a recipe for more than it is."""
    assert all("NOT RUN" in (root / path).read_text(encoding="utf-8") for path in (RECIPE, CONTAINER))
