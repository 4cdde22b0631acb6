"""Ansible as a rival: installed privately below .bench, one playbook with one combined task, one with nine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Cost, run
from bench.rivals import PASSWORD, THREADS, USER

_HOME = Path(".bench")
_ENVIRONMENT = _HOME / "ansible"


class NoAnsible(Exception):
    """Ansible is not here and could not be installed; the message says why."""


def version() -> str:
    """Install Ansible where it is not yet (half a gigabyte, once). Returns what it calls itself; raises NoAnsible."""
    program = _ENVIRONMENT / "bin" / "ansible"
    if not program.exists():
        _HOME.mkdir(exist_ok=True)
        uv, python = ".uv/bin/uv", str(_ENVIRONMENT / "bin" / "python")
        try:
            subprocess.run(
                [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(_ENVIRONMENT)], check=True
            )
            # ansible.windows comes from the index only inside the whole distribution.
            subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "ansible", "pywinrm"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoAnsible(f"Ansible could not be installed: {error}") from error
    told = subprocess.run([program, "--version"], check=True, capture_output=True, text=True, env=_env())
    return told.stdout.splitlines()[0]


def play(ports: Sequence[int], tasks: int) -> Cost:
    """Ask every port by a playbook with so many ``win_powershell`` tasks, 64 forks. Raises ProgramFailed."""
    task = {"ansible.windows.win_powershell": {"script": "Get-Facts"}}
    playbook = [{"hosts": "all", "gather_facts": False, "tasks": [task] * tasks}]
    login = {"ansible_host": "127.0.0.1", "ansible_user": USER, "ansible_password": PASSWORD}
    way = {"ansible_connection": "winrm", "ansible_winrm_scheme": "http", "ansible_winrm_transport": "basic"}
    hosts = {f"ex{number:03d}": {"ansible_port": port} for number, port in enumerate(ports, 1)}
    # JSON is YAML.
    inventory, book = _HOME / "inventory.yml", _HOME / "playbook.yml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": login | way}}), encoding="utf-8")
    book.write_text(json.dumps(playbook), encoding="utf-8")
    program = str(_ENVIRONMENT / "bin" / "ansible-playbook")
    return run([program, "-i", str(inventory), "-f", str(THREADS), str(book)], _env())


def _env() -> dict[str, str]:
    """Its own settings and home, so that nobody's ansible.cfg has a say."""
    home = str(_HOME.resolve())
    settings = _HOME.resolve() / "ansible.cfg"
    settings.touch()
    path = f"{_ENVIRONMENT.resolve() / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": home, "ANSIBLE_CONFIG": str(settings), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
