"""Start-up stays cheap: what a command imports is counted, never timed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_HEAVY = (
    "asn1crypto", "crossplane", "cryptography", "f5", "hvac", "icontrol", "jinja2", "keyring", "paramiko", "requests",
    "spnego", "sqlite3", "stamina", "structlog", "tomlkit", "urllib3", "winrm", "lbsync.lab", "lbsync.exchange",
    "lbsync_f5", "lbsync_haproxy", "lbsync_nginx", "tomllib",
)  # fmt: skip
_PROGRAM = """
import json, sys
from lbsync.cli import main
sys.argv = ["lbsync", *json.loads(sys.argv[1])]
try:
    main()
finally:
    print("\\n" + json.dumps(sorted(sys.modules)))
"""


def _imported(arguments: list[str], home: str) -> set[str]:
    """The modules in memory after a command."""
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(arguments)],
        capture_output=True, text=True, check=False, cwd=home,
        env={"PATH": "/usr/bin:/bin", "HOME": home, "XDG_STATE_HOME": home, "NO_COLOR": "1"},
    )  # fmt: skip
    lines = ran.stdout.strip().splitlines()
    assert lines, ran.stderr
    assert ran.stderr.count("Traceback") == 0 or "SystemExit" in ran.stderr
    found = json.loads(lines[-1])
    assert isinstance(found, list)
    return {str(name) for name in found}


def _heavy(modules: set[str], allowed: frozenset[str] = frozenset()) -> set[str]:
    return {name for name in _HEAVY if name in modules and name not in allowed}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_no_sdk(arguments: list[str], tmp_path: object) -> None:
    """Asking for help loads neither an SDK nor a room with effects."""
    assert not _heavy(_imported(arguments, str(tmp_path)))


def test_runs_loads_the_ledger_only(tmp_path: object) -> None:
    """Listing the runs loads what reads the ledger, and no session, certificate or provider code."""
    assert not _heavy(_imported(["runs"], str(tmp_path)), frozenset({"sqlite3", "tomllib", "stamina", "structlog"}))
