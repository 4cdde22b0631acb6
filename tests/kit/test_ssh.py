"""SSH: only known hosts, clear refusals, and a connection that comes back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import paramiko
import pytest

from lbsync.errors import ConfigError, Denied, Rejected, Unreachable
from lbsync.kit.host import SshSettings, open_host
from lbsync.kit.host_local import LocalHost
from lbsync.kit.host_ssh import SshHost
from lbsync.kit.ssh_connection import SshConnection
from lbsync.testing.ports import free_port
from lbsync.testing.sshd import RunningSshd
from tests.kit.conftest import started


def opened(sshd: RunningSshd, **changes: object) -> SshHost:
    """A host with changed settings."""
    return SshHost(SshSettings.model_validate({**sshd.settings, **changes}))


# Up from the command to the nearest sshd: how many shells lie between depends on the account's login shell.
_SESSION = """
p=$$
while :; do
  p=$(cut -d' ' -f4 /proc/$p/stat)
  case $(cat /proc/$p/comm) in sshd*) echo $p; exit;; esac
done
"""


def session_of(host: SshHost) -> int:
    """The process id of the sshd that serves this connection."""
    return int(host.run(["sh", "-c", _SESSION]).stdout)


def test_a_changed_host_key_is_refused_before_any_login(sshd: RunningSshd, tmp_path: Path) -> None:
    """Another machine that answers gets nothing from us."""
    known = tmp_path / "known_hosts"
    known.write_text(sshd.host_line("other_key"))
    with pytest.raises(Denied, match="not the one in known_hosts") as caught:
        opened(sshd, known_hosts=str(known)).run(["true"])
    assert caught.value.code == "host_key_changed"


def test_an_unknown_host_is_refused_and_not_learnt(sshd: RunningSshd, tmp_path: Path) -> None:
    """An empty known_hosts file stays empty."""
    known = tmp_path / "known_hosts"
    known.touch()
    with pytest.raises(Denied) as caught:
        opened(sshd, known_hosts=str(known)).run(["true"])
    assert caught.value.code == "unknown_host_key"
    assert known.read_text() == ""


def test_a_missing_known_hosts_file_is_named(sshd: RunningSshd, tmp_path: Path) -> None:
    """The message says which file, and how to fill it."""
    with pytest.raises(Denied, match="nowhere"):
        opened(sshd, known_hosts=str(tmp_path / "nowhere")).run(["true"])


def test_a_rejected_login_is_denied(sshd: RunningSshd) -> None:
    """A key the host does not accept is no reason to try again."""
    with pytest.raises(Denied, match="login was rejected") as caught:
        opened(sshd, key_file=str(sshd.directory / "other_key")).run(["true"])
    assert caught.value.code == "ssh_login"


def test_a_missing_key_file_is_denied(sshd: RunningSshd) -> None:
    """It is told apart from a host that does not answer."""
    with pytest.raises(Denied) as caught:
        opened(sshd, key_file=str(sshd.directory / "missing")).run(["true"])
    assert caught.value.code == "ssh_key"


def test_a_host_that_does_not_answer_is_unreachable(sshd: RunningSshd) -> None:
    """Trying again later may help."""
    port = free_port("127.0.0.1")
    with pytest.raises(Unreachable):
        opened(sshd, port=port).run(["true"])


def test_a_broken_connection_is_opened_anew(sshd: RunningSshd) -> None:
    """The call that meets the break fails, the next one works."""
    host = opened(sshd)
    session = session_of(host)
    with pytest.raises(Unreachable):
        host.run(["kill", "-9", str(session)])
    assert host.run(["true"]).rc == 0
    host.close()


def test_files_break_with_the_connection_and_come_back(sshd: RunningSshd, tmp_path: Path) -> None:
    """A read that meets the break says so and changes nothing; the one after it works."""
    host = opened(sshd)
    path = tmp_path / "f"
    path.write_bytes(b"1")
    assert host.read_file(str(path)) == b"1"
    os.kill(session_of(host), signal.SIGKILL)
    with suppress(Unreachable):  # unless the end of the connection was noticed before
        host.read_file(str(path))
    assert host.read_file(str(path)) == b"1"
    host.close()


def test_sudo_serves_files_and_commands(sshd: RunningSshd, tmp_path: Path) -> None:
    """With sudo every command, and the file server itself, runs through `sudo -n --`; a stand-in for sudo keeps the list."""
    if not Path("/usr/lib/openssh/sftp-server").exists():
        pytest.skip("openssh-sftp-server is missing")
    used = tmp_path / "used"
    stand_in = sshd.directory / "bin" / "sudo"
    stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {used}\nshift 2\nexec "$@"\n')
    stand_in.chmod(0o755)
    host = opened(sshd, sudo=True)
    try:
        host.write_file(str(tmp_path / "f"), b"the content", mode=0o600)
        assert host.read_file(str(tmp_path / "f")) == b"the content"
        assert host.read_files([str(tmp_path / "f"), str(tmp_path / "g")]) == (b"the content", None)
        assert host.run(["printf", "%s", "two words"]).stdout == b"two words"
    finally:
        host.close()
        stand_in.unlink()
    lines = used.read_text().splitlines()
    assert "-n -- /usr/lib/openssh/sftp-server" in lines
    assert "-n -- printf %s two words" in lines
    assert sum(line.startswith("-n -- sh -c") for line in lines) == 2
    assert "the content" not in used.read_text()


def test_this_host_is_the_default() -> None:
    """Without SSH settings nothing is connected to."""
    assert isinstance(open_host(None), LocalHost)


def test_over_ssh_by_settings(sshd: RunningSshd) -> None:
    """The settings decide."""
    host = open_host(SshSettings.model_validate(sshd.settings))
    assert host.run(["id", "-u"]).stdout.strip() == str(os.getuid()).encode()
    host.close()


def test_a_missing_paramiko_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, require: Callable[[str], None]
) -> None:
    """The extra is named."""
    for module in [name for name in sys.modules if name.startswith(("lbsync.kit.host_ssh", "lbsync.kit.ssh_"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "paramiko", None)
    with pytest.raises(ConfigError, match="paramiko") as caught:
        open_host(SshSettings(host="h"))
    assert "lbsync[ssh]" in caught.value.remedy


def test_what_a_login_shell_prints_is_nobodys_answer(
    require: Callable[[str], None], short_path: Path, tmp_path: Path
) -> None:
    """Words of ~/.bashrc, here by ForceCommand, spoil no command; where they spoil SFTP the message says what to do."""
    require("sshd")
    greeting = short_path / "greeting"
    greeting.write_text('#!/bin/sh\necho Welcome1\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n')
    greeting.chmod(0o755)
    with started(f"ForceCommand {greeting}") as server:
        assert server is not None
        host = opened(server)
        path = str(tmp_path / "file")
        assert host.run(["echo", "hello"]).stdout == b"hello\n"
        host.write_file(path, b"content")
        assert host.write_and_run(path, b"more", ["cat", path]).stdout == b"more"
        assert host.read_files([path, f"{path}-absent"]) == (b"more", None)
        with pytest.raises(Rejected, match="not SFTP") as caught:
            host.read_file(path)
        assert "must print nothing" in caught.value.remedy
        host.close()


def test_words_that_end_before_our_first_packet_are_no_sftp_either(
    sshd: RunningSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login shell may have spoken and hung up by then."""
    whole = paramiko.SFTPClient

    def late(channel: paramiko.Channel) -> paramiko.SFTPClient:
        channel.close()
        return whole(channel)

    monkeypatch.setattr(paramiko, "SFTPClient", late)
    connection = SshConnection(SshSettings.model_validate(sshd.settings))
    with pytest.raises(Rejected, match="not SFTP"), connection.files("/file", "read the file"):
        pass
    connection.close()
