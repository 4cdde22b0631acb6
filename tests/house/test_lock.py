"""The lock file: everything pinned with hashes, and nothing about where packages come from."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

_SOURCES = ("f5-icontrol-rest", "f5-sdk")
"""What is published as sources only; every other package is a wheel."""


@pytest.mark.parametrize("name", ["dev.txt", "uv.txt"])
def test_every_line_is_pinned_and_hashed(root: Path, name: str) -> None:
    """Each requirement is pinned to one version and carries at least one SHA-256."""
    text = (root / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    assert lines
    assert not [
        line[:60] for line in lines if not re.match(r"[a-z0-9.-]+==\S+( ; .+?)? +--hash=sha256:[0-9a-f]{64}", line)
    ]


@pytest.mark.parametrize("name", ["dev.txt", "uv.txt"])
def test_no_address_is_locked(root: Path, name: str) -> None:
    """No index, no link and no option decides where packages come from: that is the machine's business."""
    text = (root / "requirements" / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^--", text, re.MULTILINE)


def test_one_lock_only(root: Path) -> None:
    """There is no uv.lock: it would hold an index's address and a second truth."""
    assert not (root / "uv.lock").exists()


def test_every_dependency_is_locked(root: Path) -> None:
    """What pyproject.toml asks for by name is in the lock, the Kerberos extra aside (it needs a compiler)."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    wanted = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
        *(line for name, lines in extras.items() if name not in {"all", "kerberos"} for line in lines),
    ]
    locked = set(
        re.findall(r"^([a-z0-9.-]+)==", (root / "requirements" / "dev.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    names = {re.split(r"[\[<>=!~; ]", line)[0].lower().replace("_", "-") for line in wanted}
    assert not names - locked


def test_wheels_only_but_for_two(root: Path) -> None:
    """Set-up and lock accept what matches a hash, wheels, and the sources of two packages, built without fetching."""
    said = subprocess.run(
        ["bash", "-euc", '. tools/accepted.sh; printf "%s\\n" "${accepted[@]}"'],
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    two = [word for name in _SOURCES for word in ("--no-binary", name, "--no-build-isolation-package", name)]
    assert said == ["--require-hashes", "--only-binary", ":all:", *two]
    for script in ("setup.sh", "lock.sh"):
        text = (root / "tools" / script).read_text(encoding="utf-8")
        assert '"${accepted[@]}"' in text
        assert "--no-binary" not in text


@pytest.mark.parametrize("name", _SOURCES)
def test_sources_are_one_file_each(root: Path, name: str) -> None:
    """Of the two there is one hash: that of the one file there is, the sources."""
    text = (root / "requirements" / "dev.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name}==")]
    assert line.count("--hash=") == 1
