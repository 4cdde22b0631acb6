"""A host to try the kit on: this one, and this one over a real sshd."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from lbsync.kit.host import Host, SshSettings
from lbsync.kit.host_local import LocalHost
from lbsync.kit.host_ssh import SshHost
from lbsync.testing.sshd import RunningSshd


@pytest.fixture
def short_path() -> Generator[Path]:
    """A directory with a path short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="lb", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def sshd_directory() -> Generator[Path]:
    """Where the sshd of a module keeps its keys."""
    path = Path(tempfile.mkdtemp(prefix="lbssh", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def running_sshd(sshd_directory: Path) -> Generator[RunningSshd | None]:
    """One sshd for a module, ``None`` where it is not installed."""
    try:
        server = RunningSshd(sshd_directory)
    except FileNotFoundError:
        yield None
        return
    with server:
        yield server


@pytest.fixture
def sshd(require: Callable[[str], None], running_sshd: RunningSshd | None) -> RunningSshd:
    """The sshd, or a skip that says it is missing."""
    require("sshd")
    assert running_sshd is not None
    return running_sshd


@pytest.fixture(params=["here", "ssh"])
def host(request: pytest.FixtureRequest) -> Generator[Host]:
    """The same contract on both ways to a host."""
    if request.param == "here":
        yield LocalHost()
        return
    server: RunningSshd = request.getfixturevalue("sshd")
    over_ssh = SshHost(SshSettings.model_validate(server.settings))
    yield over_ssh
    over_ssh.close()
