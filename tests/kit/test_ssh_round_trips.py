"""How often a host is asked: writing and reading take one command each, and no SFTP session while nothing is odd."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from lbsync.errors import Denied, Rejected, TargetError
from lbsync.kit.host import Host, SshSettings, staging_name
from lbsync.kit.host_ssh import SshHost
from lbsync.kit.ssh_connection import SshConnection
from lbsync.kit.ssh_scripts import WRITE, command, parse_read
from lbsync.testing.sshd import RunningSshd


class Asked:
    """What an sshd logged of sessions since the last look."""

    def __init__(self, server: RunningSshd) -> None:
        self._server = server
        self._seen = len(server.log)

    def sessions(self) -> list[str]:
        """``command`` for each command, ``subsystem`` for each SFTP session."""
        log = self._server.log
        new, self._seen = log[self._seen :], len(log)
        return re.findall(r"Starting session: (\w+)", new)


@pytest.fixture
def ssh(sshd: RunningSshd) -> Generator[SshHost]:
    """A host, connected."""
    host = SshHost(SshSettings.model_validate(sshd.settings))
    host.run(["true"])
    yield host
    host.close()


def test_small_packets_are_sent_at_once(sshd: RunningSshd) -> None:
    """Waiting for each other's delayed answers cost 40 ms a command."""
    connection = SshConnection(SshSettings.model_validate(sshd.settings))
    try:
        plain = connection.transport().sock
        assert isinstance(plain, socket.socket)
        assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        connection.close()


def test_a_write_is_one_command(ssh: SshHost, sshd: RunningSshd, tmp_path: Path) -> None:
    """A file, an exclusive one that is refused, a link, a directory."""
    asked = Asked(sshd)
    path = str(tmp_path / "f")
    ssh.write_file(path, b"x", mode=0o600, exclusive=True)
    assert asked.sessions() == ["command"]
    with pytest.raises(Rejected):
        ssh.write_file(path, b"y", exclusive=True)
    assert asked.sessions() == ["command"]
    ssh.symlink("f", str(tmp_path / "l"))
    assert asked.sessions() == ["command"]
    for _ in range(2):
        ssh.make_directory(str(tmp_path / "d"), mode=0o700)
        assert asked.sessions() == ["command"]


def test_owners_are_found_in_the_same_command(ssh: SshHost, sshd: RunningSshd, tmp_path: Path) -> None:
    """Names are looked up where the file is written."""
    if os.getuid() != 0:
        pytest.skip("root is missing: only root may give files away")
    asked = Asked(sshd)
    ssh.write_file(str(tmp_path / "f"), b"x", mode=0o640, owner="nobody", group="nogroup")
    ssh.make_directory(str(tmp_path / "d"), mode=0o750, owner="nobody", group="nogroup")
    assert asked.sessions() == ["command", "command"]
    for path in (tmp_path / "f", tmp_path / "d"):
        assert (path.owner(), path.group()) == ("nobody", "nogroup")


def test_reading_many_files_is_one_command(ssh: SshHost, sshd: RunningSshd, tmp_path: Path) -> None:
    """Those that are absent included; only what is odd is asked again."""
    (tmp_path / "f").write_bytes(b"x")
    asked = Asked(sshd)
    paths = [str(tmp_path / "f"), str(tmp_path / "missing"), "/proc/net/tcp", "/proc/net/tcp6"]
    assert ssh.read_files(paths)[:2] == (b"x", None)
    assert asked.sessions() == ["command"]
    (tmp_path / "dangling").symlink_to("nowhere")
    assert ssh.read_files([*paths[:2], str(tmp_path / "dangling")]) == (b"x", None, None)
    assert asked.sessions() == ["command", "subsystem"]


def test_a_failure_is_told_by_sftp(ssh: SshHost, sshd: RunningSshd, tmp_path: Path) -> None:
    """The command leaves nothing, and the error is as exact as without it."""
    asked = Asked(sshd)
    with pytest.raises(Rejected, match="cannot write the file: No such file"):
        ssh.write_file(str(tmp_path / "missing" / "f"), b"x")
    assert "subsystem" in asked.sessions()
    assert list(tmp_path.iterdir()) == []


SHELLS = {"sh": ["sh"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}


def write(path: Path, data: bytes, size: int, shell: str = "sh") -> int:
    """The script's exit code, fed with ``data`` and told to expect ``size`` bytes."""
    _, *argv = command(WRITE, str(path), staging_name(str(path)), str(size), "600", "", "", "", "yes")
    return subprocess.run([*SHELLS[shell], *argv], input=data, capture_output=True, check=False).returncode


@pytest.mark.parametrize("shell", SHELLS)
def test_a_content_that_breaks_off_is_not_put_in_place(tmp_path: Path, shell: str) -> None:
    """A connection that is lost ends the script's input early, which looks like its end; whatever ``sh`` is there."""
    if shutil.which(SHELLS[shell][0]) is None:
        pytest.skip(f"{shell} is not on this machine")
    path = tmp_path / "f"
    path.write_bytes(b"old")
    assert write(path, b"new cont", 11, shell) != 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert path.read_bytes() == b"old"
    assert write(path, b"new content", 11, shell) == 0
    assert path.read_bytes() == b"new content"


def test_a_content_is_not_readable_before_it_is_whole(tmp_path: Path) -> None:
    """While it comes in it is staged with its final mode; what a killed script left is replaced by the next."""
    path, staged = tmp_path / "key.pem", Path(staging_name(str(tmp_path / "key.pem")))
    argv = command(WRITE, str(path), str(staged), "6", "600", "", "", "", "")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, bufsize=0, start_new_session=True) as process:
        assert process.stdin is not None
        process.stdin.write(b"key")
        while not (staged.exists() and staged.stat().st_size):
            assert process.poll() is None
        assert staged.stat().st_mode & 0o777 == 0o600
        assert not path.exists()
        os.killpg(process.pid, signal.SIGKILL)
    assert staged.exists()
    assert write(path, b"whole", 5) == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]


def refusals(host: Host, path: str) -> list[list[str]]:
    """Class, code and words of what is said to somebody without rights."""
    found: list[list[str]] = []
    for call in (
        lambda: host.write_file(f"{path}/f", b"x"),
        lambda: host.write_file(f"{path}/f", b"x", exclusive=True),
        lambda: host.symlink("x", f"{path}/l"),
        lambda: host.make_directory(f"{path}/d"),
        lambda: host.read_files([f"{path}/secret"]),
        lambda: host.read_files([f"{path}/closed/x"]),
    ):
        with pytest.raises(TargetError) as caught:
            call()
        found.append([type(caught.value).__name__, caught.value.code, caught.value.message])
    return found


def test_missing_rights_are_told_as_they_are_here(sshd: RunningSshd, short_path: Path) -> None:
    """Over SSH as nobody, and here as nobody: the same refusals, and nothing is left."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("root or setpriv is missing: only root can become somebody else")
    short_path.chmod(0o755)
    (short_path / "closed").mkdir(mode=0o700)
    (short_path / "secret").touch(mode=0o600)
    stand_in = sshd.directory / "bin" / "sudo"
    stand_in.write_text('#!/bin/sh\nshift 2\nexec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"\n')
    stand_in.chmod(0o755)
    host = SshHost(SshSettings.model_validate({**sshd.settings, "sudo": True}))
    try:
        there = refusals(host, str(short_path))
    finally:
        host.close()
        stand_in.unlink()
    assert {kind for kind, _, _ in there} == {Denied.__name__}
    assert there == here_as_nobody(str(short_path))
    assert sorted(entry.name for entry in short_path.iterdir()) == ["closed", "secret"]


_AS_NOBODY = """
import json, os, runpy, sys
from lbsync.kit.host_local import LocalHost
here = runpy.run_path(sys.argv[1])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(json.dumps(here["refusals"](LocalHost(), sys.argv[2])))
"""


def here_as_nobody(path: str) -> list[list[str]]:
    """The same refusals by the system itself, met by a child of ours that gives its rights away."""
    done = subprocess.run([sys.executable, "-c", _AS_NOBODY, __file__, path], capture_output=True, check=True)
    return [[str(word) for word in words] for words in json.loads(done.stdout)]


@pytest.mark.parametrize(
    ("output", "count", "found"),
    [
        (b"eA==\n.\n-\n.\n", 3, {0: b"x", 1: None, 2: b""}),
        (b"?\neA==\n?\n.\n", 3, {2: b""}),
        (b"eA==\n.\n", 2, {}),
        (b"eA==\n.\neA", 1, {}),
        (b"Welcome!\n.\n", 1, {}),
        (b"eA==?\n.\n", 1, {}),
        (b"", 1, {}),
    ],
)
def test_an_answer_that_is_odd_is_not_believed(output: bytes, count: int, found: dict[int, bytes | None]) -> None:
    """Too few, too many, a greeting of the login shell, a read that failed in the middle: SFTP is asked then."""
    assert parse_read(output, count) == found
