"""The NGINX that tests and rehearsals drive, as its administrator would find it."""

from __future__ import annotations

import os
import select
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lbsync.testing.nginx import RunningNginx, nginx_program, nginx_ready, nginx_version, stream_module


@pytest.fixture
def nginx(tmp_path: Path, require: Callable[[str], None]) -> Iterator[RunningNginx]:
    """A running one."""
    require("nginx")
    with RunningNginx(tmp_path) as running:
        yield running


def own(nginx: RunningNginx) -> str:
    """What the administrator's own server says."""
    with urllib.request.urlopen(f"http://{nginx.address}:{nginx.own_port}/", timeout=10) as answer:
        text: bytes = answer.read()
    return text.decode()


def test_it_serves_the_administrators_own(nginx: RunningNginx) -> None:
    """Once started the administrator's own server answers, and the directories lbsync may fill are empty."""
    assert own(nginx) == "the administrator's own\n"
    assert int(nginx.pid_file.read_text()) == nginx.pid
    assert not [*nginx.owned.iterdir(), *nginx.http_file.parent.iterdir()]
    assert nginx.version >= (1, 18)
    assert "[warn]" not in nginx.log


def test_a_reload_gives_new_workers(nginx: RunningNginx) -> None:
    """After a reload every worker is a new one, under the same master, and what was put into conf.d and lbsync is loaded."""
    before, master = nginx.workers, nginx.pid
    (nginx.http_file).write_text(
        f"server {{ listen {nginx.address}:{nginx.http_port}; return 200 'in http'; }}\n", encoding="utf-8"
    )
    (nginx.owned / "stream.conf").write_text(
        f"server {{ listen {nginx.address}:{nginx.https_port}; return 'in stream'; }}\n",
        encoding="utf-8",
    )
    (nginx.owned / ".stream.conf.part").write_text("half a dire", encoding="utf-8")
    nginx.reload()
    assert len(before) == len(nginx.workers) == 2
    assert not before & nginx.workers
    assert nginx.pid == master
    with urllib.request.urlopen(f"http://{nginx.address}:{nginx.http_port}/", timeout=10) as answer:
        assert answer.read() == b"in http"
    with socket.create_connection((nginx.address, nginx.https_port), timeout=10) as connection:
        assert connection.recv(100) == b"in stream"


def test_a_refused_reload_is_told(nginx: RunningNginx) -> None:
    """A configuration NGINX cannot read is told in its words, and the old workers go on."""
    before = nginx.workers
    nginx.http_file.write_text("no_such_directive on;\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="no_such_directive"):
        nginx.reload()
    assert nginx.workers == before
    assert own(nginx)


def test_a_restart_is_another_process(nginx: RunningNginx) -> None:
    """A restart gives another master on the same ports."""
    before = nginx.pid
    nginx.restart()
    assert nginx.pid != before
    assert own(nginx)


def test_nothing_is_left(nginx: RunningNginx) -> None:
    """Stopping ends master and workers; twice is once, and then it has no process id."""
    ended = [os.pidfd_open(pid) for pid in (nginx.pid, *nginx.workers)]
    nginx.stop()
    nginx.stop()
    for process in ended:
        assert select.select([process], [], [], 20.0)[0]
        os.close(process)
    assert not nginx.workers
    with pytest.raises(RuntimeError):
        _ = nginx.pid


def test_it_loads_nothing_of_ours_yet(tmp_path: Path, require: Callable[[str], None]) -> None:
    """Told so it leaves both includes out; without a stream block it needs no module for it."""
    require("nginx")
    before = RunningNginx(tmp_path / "before", loads=False)
    assert "include" not in before.main.read_text(encoding="utf-8")
    bare = RunningNginx(
        tmp_path / "bare", stream=False, extra_http="    keepalive_timeout 5s;\n", extra_main="env X;\n"
    )
    assert not {"stream", "load_module"} & set(bare.main.read_text(encoding="utf-8").split())
    for each in (before, bare):
        with each:
            assert own(each)


def test_a_broken_configuration_is_told(tmp_path: Path, require: Callable[[str], None]) -> None:
    """An NGINX that does not start is told with its words, and no process is left."""
    require("nginx")
    broken = RunningNginx(tmp_path, extra_main="nonsense;\n")
    with pytest.raises(RuntimeError, match="nonsense"):
        broken.start()
    assert not broken.workers


def test_a_missing_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where NGINX is not installed it says so, and a test that needs it knows beforehand."""
    monkeypatch.delenv("LBSYNC_NGINX", raising=False)

    def nowhere(_name: str, path: str = "") -> None:
        assert path

    monkeypatch.setattr("shutil.which", nowhere)
    assert nginx_program() is None
    assert not nginx_ready()
    with pytest.raises(FileNotFoundError, match="nginx is not installed"):
        RunningNginx(tmp_path)


def test_a_missing_module_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the stream module is neither built in nor installed the error names the file; built in, none is loaded."""
    program = tmp_path / "nginx"
    monkeypatch.setenv("LBSYNC_NGINX", str(program))
    monkeypatch.setenv("LBSYNC_NGINX_MODULES", str(tmp_path))
    program.write_text("#!/bin/sh\necho 'configure arguments: --with-stream=dynamic --with-stream_ssl_module' >&2\n")
    program.chmod(0o755)
    assert not nginx_ready()
    with pytest.raises(FileNotFoundError, match=r"ngx_stream_module\.so"):
        RunningNginx(tmp_path / "dynamic")
    program.write_text("#!/bin/sh\necho 'configure arguments: --with-stream --with-stream_ssl_module' >&2\n")
    assert nginx_ready()
    assert stream_module(str(program)) is None
    with pytest.raises(RuntimeError, match="no version"):
        nginx_version(str(program))
    program.unlink()
    assert not nginx_ready()
