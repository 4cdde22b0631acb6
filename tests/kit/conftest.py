"""A host to try the kit on: this one, and this one over a real sshd."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
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


@contextmanager
def started(*more: str) -> Generator[RunningSshd | None]:
    """An sshd with more lines of configuration, ``None`` where it is not installed."""
    directory = Path(tempfile.mkdtemp(prefix="lbssh", dir="/tmp"))
    try:
        try:
            server = RunningSshd(directory)
        except FileNotFoundError:
            yield None
            return
        with (directory / "sshd_config").open("a", encoding="utf-8") as config:
            config.writelines(f"{line}\n" for line in more)
        with server:
            yield server
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def running_sshd() -> Generator[RunningSshd | None]:
    """One sshd for a module, which tells in its log what it is asked for."""
    with started("LogLevel VERBOSE") as server:
        yield server


@pytest.fixture(scope="module")
def running_strict_sshd() -> Generator[RunningSshd | None]:
    """One more, which forwards nothing."""
    with started("AllowTcpForwarding no") as server:
        yield server


@pytest.fixture
def sshd(require: Callable[[str], None], running_sshd: RunningSshd | None) -> RunningSshd:
    """The sshd, or a skip that says it is missing."""
    require("sshd")
    assert running_sshd is not None
    return running_sshd


@pytest.fixture
def strict_sshd(require: Callable[[str], None], running_strict_sshd: RunningSshd | None) -> RunningSshd:
    """The sshd that forwards nothing, or a skip that says it is missing."""
    require("sshd")
    assert running_strict_sshd is not None
    return running_strict_sshd


@pytest.fixture(scope="module")
def running_poor_sshd() -> Generator[RunningSshd | None]:
    """One more, on a host whose tools are not what the scripts expect: all is left to SFTP."""
    with started() as server:
        for tool in ("mv", "ln", "mkdir", "base64") if server else ():
            assert server is not None
            stand_in = server.directory / "bin" / tool
            stand_in.write_text("#!/bin/sh\necho unknown option >&2\nexit 1\n")
            stand_in.chmod(0o755)
        yield server


@pytest.fixture
def poor_sshd(require: Callable[[str], None], running_poor_sshd: RunningSshd | None) -> RunningSshd:
    """The sshd of the host with odd tools, or a skip that says it is missing."""
    require("sshd")
    assert running_poor_sshd is not None
    return running_poor_sshd


@pytest.fixture(params=["here", "ssh", "sftp"])
def host(request: pytest.FixtureRequest) -> Generator[Host]:
    """The same contract on all ways to a host."""
    if request.param == "here":
        yield LocalHost()
        return
    server: RunningSshd = request.getfixturevalue("sshd" if request.param == "ssh" else "poor_sshd")
    over_ssh = SshHost(SshSettings.model_validate(server.settings))
    yield over_ssh
    over_ssh.close()
    print(server.log)  # noqa: T201 -- what its side has to say, where a test failed
