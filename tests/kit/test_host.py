"""Files, commands and unix sockets, here and over a real OpenSSH server."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lbsync.errors import Denied, Rejected, Unreachable
from lbsync.kit.host import Host, refusal, staging_name


def test_a_replaced_file_keeps_mode_and_owner_where_asked(host: Host, tmp_path: Path) -> None:
    """``mode=None``: as they were, by whatever way it is written; a new file gets 0644, and what is given comes first."""
    path = tmp_path / "kept"
    host.write_file(str(path), b"new", mode=None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    before = path.stat()
    host.write_file(str(path), b"one", mode=None)
    assert host.write_and_run(str(path), b"two", ["cat", str(path)], mode=None).stdout == b"two"
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    host.write_file(str(path), b"three", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_and_a_command_go_together(host: Host, tmp_path: Path) -> None:
    """The command sees the new file; its words and exit code come back, and what it says no to stays."""
    path = tmp_path / "file"
    done = host.write_and_run(str(path), b"x", ["sh", "-c", 'cat "$1"; echo no >&2; exit 3', "sh", str(path)])
    assert (done.rc, done.stdout, done.stderr) == (3, b"x", b"no\n")
    assert path.read_bytes() == b"x"
    with pytest.raises(Rejected) as caught:
        host.write_and_run(str(path), b"y", ["no-such-command"])
    assert caught.value.code == "ENOENT"
    with pytest.raises(Rejected):
        host.write_and_run(str(tmp_path / "nowhere" / "file"), b"y", ["true"])


def test_a_file_is_written_whole_with_its_mode(host: Host, tmp_path: Path) -> None:
    """Content and permission bits are exactly as asked, whatever the umask; nothing is left beside it."""
    path = tmp_path / "a file with blanks and 'quotes'"
    host.write_file(str(path), b"one\0two\n", mode=0o640)
    assert path.read_bytes() == b"one\0two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert host.read_file(str(path)) == b"one\0two\n"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_replacing_a_file_makes_a_new_one(host: Host, tmp_path: Path) -> None:
    """A reader that has the old file open keeps the old content: the name moved, the content did not change."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        host.write_file(str(path), b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_a_large_file_arrives_whole(host: Host, tmp_path: Path) -> None:
    """More than any buffer on the way."""
    data = os.urandom(1_500_000)
    host.write_file(str(tmp_path / "big"), data)
    assert host.read_file(str(tmp_path / "big")) == data


def test_exclusive_writing_refuses_what_is_there(host: Host, tmp_path: Path) -> None:
    """Of two who leave a marker only one succeeds; the loser's content is gone."""
    path = tmp_path / "marker"
    host.write_file(str(path), b"first", exclusive=True)
    with pytest.raises(Rejected) as caught:
        host.write_file(str(path), b"second", exclusive=True)
    assert caught.value.code == "exists"
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["marker"]


def test_what_a_killed_write_left_is_replaced_and_removed(host: Host, tmp_path: Path) -> None:
    """A staged file of a killed run neither stops the next write nor outlives a removal."""
    path = tmp_path / "key.pem"
    left = Path(staging_name(str(path)))
    left.write_bytes(b"left over")
    host.write_file(str(path), b"new", mode=0o600)
    assert not left.exists()
    left.write_bytes(b"left over")
    host.remove(str(path))
    assert list(tmp_path.iterdir()) == []
    host.remove(str(path))


def test_ownership_is_given_by_name(host: Host, tmp_path: Path) -> None:
    """User and group are names on that host."""
    if os.getuid() != 0:
        pytest.skip("root is missing: only root may give files away")
    path = tmp_path / "file"
    host.write_file(str(path), b"", owner="nobody", group="nogroup")
    host.make_directory(str(tmp_path / "d"), mode=0o700, owner="nobody")
    assert (path.owner(), path.group(), (tmp_path / "d").owner()) == ("nobody", "nogroup", "nobody")
    with pytest.raises(Rejected) as caught:
        host.write_file(str(path), b"", owner="no-such-user")
    assert caught.value.code == "no_such_user"
    with pytest.raises(Rejected):
        host.write_file(str(path), b"", group="no-such-group")


def test_absence_is_a_value(host: Host, tmp_path: Path) -> None:
    """Reading, looking at and listing what is not there give nothing, not an error."""
    missing = str(tmp_path / "missing")
    assert host.read_file(missing) is None
    assert host.stat(missing) is None
    assert host.read_link(missing) is None
    assert host.list_directory(missing) is None
    host.remove_directory(missing)


def test_directories_come_and_go(host: Host, tmp_path: Path) -> None:
    """Made once with their exact mode, removed only when empty."""
    path = tmp_path / "d"
    host.make_directory(str(path), mode=0o700)
    host.make_directory(str(path), mode=0o755)
    status = host.stat(str(path))
    assert status is not None
    assert (status.kind, status.mode) == ("directory", 0o700)
    (path / "x").touch()
    (path / "a").touch()
    assert host.list_directory(str(path)) == ("a", "x")
    host.remove_directory(str(path))
    assert path.is_dir()
    host.remove(str(path / "x"))
    host.remove(str(path / "a"))
    host.remove_directory(str(path))
    assert not path.exists()
    (tmp_path / "f").touch()
    with pytest.raises(Rejected):
        host.make_directory(str(tmp_path / "f"))


def test_a_link_is_moved_at_once(host: Host, tmp_path: Path) -> None:
    """There is a link at every moment, first to one target, then to the other."""
    path = tmp_path / "live"
    host.symlink("one.pem", str(path))
    host.symlink("two.pem", str(path))
    assert host.read_link(str(path)) == "two.pem"
    assert str(path.readlink()) == "two.pem"
    status = host.stat(str(path))
    assert status is not None
    assert status.kind == "symlink"
    (tmp_path / "plain").touch()
    assert host.read_link(str(tmp_path / "plain")) is None


def test_errors_say_what_could_not_be_done(host: Host, tmp_path: Path) -> None:
    """Writing below a missing directory is refused, and leaves nothing."""
    with pytest.raises(Rejected, match="cannot write the file"):
        host.write_file(str(tmp_path / "missing" / "file"), b"")
    with pytest.raises(Rejected):
        host.symlink("x", str(tmp_path / "missing" / "link"))


def test_a_full_disk_is_called_so(host: Host) -> None:
    """The message names the full disk, and the code is one to branch on."""
    full = Path("/dev/shm/lbsync-none")
    assert refusal(OSError(28, "No space left on device"), doing="write", where=str(full)).code == "no_space"


ARGUMENTS = ["plain", "two words", "$HOME", "`id`", "a;b", "'", '"', "*", "\\", "", "new\nline", "-x"]


def test_arguments_reach_a_command_unchanged(host: Host) -> None:
    """No shell on the way takes anything for its own."""
    done = host.run(["printf", "%s\\0", *ARGUMENTS])
    assert done.rc == 0
    assert done.stdout.decode().split("\0")[:-1] == ARGUMENTS


def test_a_command_is_fed_and_heard(host: Host) -> None:
    """Input, output, errors and exit code, each more than a pipe holds, without blocking one another."""
    data = os.urandom(300_000)
    done = host.run(["sh", "-c", "tee /dev/stderr; exit 3"], input=data)
    assert (done.rc, done.stdout == data, done.stderr == data) == (3, True, True)


def test_a_command_that_is_missing_or_slow_is_an_error(host: Host) -> None:
    """Neither is taken for an answer."""
    with pytest.raises(Rejected, match="cannot run"):
        host.run(["no-such-command-here"])
    with pytest.raises(Unreachable, match="did not end within"):
        host.run(["sleep", "30"], timeout_s=0.3)


@contextmanager
def unix_server(path: Path, answer: Callable[[socket.socket], None]) -> Generator[None]:
    """A server that answers connections, one after the other."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(10)


def test_a_unix_socket_is_asked(host: Host, short_path: Path) -> None:
    """All that is sent arrives, all that is answered comes back, and the end of both is seen."""
    received = bytearray()

    def echo(connection: socket.socket) -> None:
        while part := connection.recv(65536):
            received.extend(part)
        connection.sendall(bytes(received) * 2)

    data = os.urandom(100_000)
    with unix_server(short_path / "s", echo):
        assert host.unix_request(str(short_path / "s"), data) == data * 2
    assert bytes(received) == data


def test_a_unix_socket_that_resets_ends_the_answer(host: Host, short_path: Path) -> None:
    """HAProxy resets the connection of a command that is too large: no answer, no error."""

    def reset(connection: socket.socket) -> None:
        connection.recv(1)

    with unix_server(short_path / "s", reset):
        assert host.unix_request(str(short_path / "s"), b"x" * 10_000) == b""


def test_a_unix_socket_nobody_answers_is_unreachable(host: Host, short_path: Path) -> None:
    """Missing, or without a listener."""
    with pytest.raises(Unreachable, match="nobody answers"):
        host.unix_request(str(short_path / "missing"), b"")


def test_a_closed_host_opens_anew(host: Host, tmp_path: Path) -> None:
    """Closing is not the end."""
    host.close()
    host.write_file(str(tmp_path / "f"), b"1")
    host.close()
    assert host.read_file(str(tmp_path / "f")) == b"1"


def test_the_kernel_tells_its_files(host: Host) -> None:
    """Files of /proc have no size and are read to their end all the same."""
    assert b"local_address" in (host.read_file("/proc/net/tcp") or b"")


def test_rights_that_are_missing_are_denied() -> None:
    """Permission errors are their own class: an account is missing rights, trying again does not help."""
    error = refusal(PermissionError(13, "Permission denied"), doing="read the file", where="/x")
    assert isinstance(error, Denied)
    assert "sudo" in error.remedy


def test_several_files_are_read_at_once(host: Host, tmp_path: Path) -> None:
    """Each as if it were read alone: empty, large, odd names, absent in many ways, links followed, the kernel's own."""
    (tmp_path / "empty").touch()
    (tmp_path / "big").write_bytes(os.urandom(300_000))
    (tmp_path / "a 'b' $c\n.\n-").write_bytes(b".\n-\n?\n")
    (tmp_path / "link").symlink_to("big")
    (tmp_path / "dangling").symlink_to("nowhere")
    names = ["empty", "missing", "big", "a 'b' $c\n.\n-", "link", "dangling", "missing/deep/down", "empty"]
    paths = [str(tmp_path / name) for name in names]
    found = host.read_files([*paths, "/proc/self/cmdline", "/proc/4194305/cmdline", "/missing"])
    assert found[:8] == tuple(host.read_file(path) for path in paths)
    assert [content is None for content in found] == [
        False,
        True,
        False,
        False,
        False,
        True,
        True,
        *[False] * 2,
        True,
        True,
    ]
    assert found[8]
    assert host.read_files([]) == ()


def test_a_file_that_cannot_be_read_fails_the_lot(host: Host, tmp_path: Path) -> None:
    """A directory among the files is refused, as it is alone."""
    (tmp_path / "f").touch()
    with pytest.raises(Rejected, match="cannot read the file"):
        host.read_files([str(tmp_path / "f"), str(tmp_path)])


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400, 0o755])
def test_the_mode_is_exact(host: Host, tmp_path: Path, mode: int) -> None:
    """Of files, new and replaced, and of directories."""
    path = tmp_path / "f"
    for _ in range(2):
        host.write_file(str(path), b"x", mode=mode)
        assert stat.S_IMODE(path.stat().st_mode) == mode
    host.make_directory(str(tmp_path / "d"), mode=mode)
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == mode


def test_what_stands_in_the_way_stays(host: Host, tmp_path: Path) -> None:
    """A directory is replaced by no file and no link, and nothing is left beside it or put into it."""
    (tmp_path / "d").mkdir()
    for exclusive in (False, True):
        with pytest.raises(Rejected):
            host.write_file(str(tmp_path / "d"), b"x", exclusive=exclusive)
    with pytest.raises(Rejected):
        host.symlink("x", str(tmp_path / "d"))
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "d"]


def test_a_link_in_the_way_is_replaced_and_not_followed(host: Host, tmp_path: Path) -> None:
    """A file or link takes the place of a link, to whatever it leads; exclusively it is refused, even where it leads nowhere."""
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("d")
    host.write_file(str(tmp_path / "l"), b"x")
    assert (tmp_path / "l").read_bytes() == b"x"
    (tmp_path / "m").symlink_to("d")
    host.symlink("elsewhere", str(tmp_path / "m"))
    assert str((tmp_path / "m").readlink()) == "elsewhere"
    with pytest.raises(Rejected) as caught:
        host.write_file(str(tmp_path / "m"), b"x", exclusive=True)
    assert caught.value.code == "exists"
    assert list((tmp_path / "d").iterdir()) == []


@contextmanager
def small_disk(path: Path) -> Generator[None]:
    """A file system of 64 KiB."""
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)], check=False)
    if done.returncode != 0:
        pytest.skip("the right to mount a small file system is missing")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_disk_that_fills_leaves_the_old_file(host: Host, tmp_path: Path) -> None:
    """The error has its code, the file its content, and the disk its room."""
    disk = tmp_path / "disk"
    with small_disk(disk):
        host.write_file(str(disk / "f"), b"old")
        (disk / "filler").write_bytes(b"x" * 57_344)
        with pytest.raises(Rejected, match="disk is full") as caught:
            host.write_file(str(disk / "f"), b"y" * 20_000)
        assert caught.value.code == "no_space"
        assert (disk / "f").read_bytes() == b"old"
        assert sorted(entry.name for entry in disk.iterdir()) == ["f", "filler"]
