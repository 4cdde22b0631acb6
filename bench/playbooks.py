"""Ansible as a rival: installed privately below .bench; playbooks that ask servers by one combined task, or by nine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
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
    return run_book({"hosts": hosts, "vars": login | way}, playbook)


def collection(name: str) -> str:
    """The version of a collection (``f5networks.f5_modules``) that came with Ansible. Raises NoAnsible where none did."""
    places = [
        *_ENVIRONMENT.glob(f"lib/python*/site-packages/ansible_collections/{name.replace('.', '/')}/MANIFEST.json")
    ]
    if not places:
        raise NoAnsible(f"Ansible came without {name}")
    told = json.loads(places[0].read_text(encoding="utf-8"))
    return str(told["collection_info"]["version"])


def run_book(group: Mapping[str, object], book: Sequence[object], env: Mapping[str, str] | None = None) -> Cost:
    """Run plays for the hosts and variables of a group, 64 forks. Raises ProgramFailed."""
    # JSON is YAML.
    inventory, playbook = _HOME / "inventory.yml", _HOME / "playbook.yml"
    inventory.write_text(json.dumps({"all": group}), encoding="utf-8")
    playbook.write_text(json.dumps(book), encoding="utf-8")
    program = str(_ENVIRONMENT / "bin" / "ansible-playbook")
    return run([program, "-i", str(inventory), "-f", str(THREADS), str(playbook)], {**_env(), **(env or {})})


def python() -> str:
    """The interpreter that has it."""
    return str((_ENVIRONMENT / "bin" / "python").absolute())


def _env() -> dict[str, str]:
    """Its own settings and home, so that nobody's ansible.cfg has a say."""
    home = str(_HOME.resolve())
    settings = _HOME.resolve() / "ansible.cfg"
    settings.touch()
    path = f"{_ENVIRONMENT.resolve() / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": home, "ANSIBLE_CONFIG": str(settings), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
