"""What a lab puts in front of its farm: a real balancer, here or behind a real sshd."""

from __future__ import annotations

import os
import select
import stat
import tomllib
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import pytest
import requests

from lbsync.errors import LbsyncError
from lbsync.lab.balancer import Kind, NoBalancer
from lbsync.lab.daemon import Lab, find
from lbsync.lab.nginx import MRSPROXY_HOST
from lbsync.lab.spec import LabSpec
from lbsync.testing.nginx import RunningNginx
from lbsync_certs.names import covers

QUIET = LabSpec(servers=1, faults=0.0, seed=3, oa_lag_s=0.05)


def entry(lab: Lab) -> dict[str, Any]:
    """The balancer of a lab's configuration."""
    (balancer,) = tomllib.loads(lab.config.read_text(encoding="utf-8"))["balancers"]
    assert isinstance(balancer, dict)
    return balancer


def test_with_a_real_haproxy(tmp_path: Path, require: Callable[[str], None]) -> None:
    """HAProxy runs with the administrator's configuration, answers on its socket, and ends with the lab."""
    require("haproxy")
    with Lab(QUIET, tmp_path / "lab") as lab:
        assert lab.haproxy is not None
        assert lab.haproxy.pid is not None
        process = os.pidfd_open(lab.haproxy.pid)
        settings = entry(lab)["settings"]
        assert list(Path(settings["directory"]).iterdir()) == []
        with closing(socket(AF_UNIX)) as connection:
            connection.connect(settings["socket"])
            connection.sendall(b"show info\n")
            assert b"HAProxy" in connection.recv(100)
        assert entry(lab)["name"] == "lb1"
    assert select.select([process], [], [], 20.0)[0]
    os.close(process)
    assert not Path(settings["socket"]).exists()


def test_with_a_real_nginx(tmp_path: Path, require: Callable[[str], None]) -> None:
    """NGINX runs in stream mode, with a host of MRSProxy's own in the servers' certificate and not among clients' names."""
    require("nginx")
    with Lab(QUIET, tmp_path / "lab", balancer="nginx") as lab:
        assert lab.balancer is not None
        assert lab.haproxy is None
        assert lab.balancer.pid is not None
        process = os.pidfd_open(lab.balancer.pid)
        running = lab.balancer.running
        assert isinstance(running, RunningNginx)
        with urllib.request.urlopen(f"http://{running.address}:{running.own_port}/", timeout=10) as answer:
            assert answer.status == 200
        written = entry(lab)
        assert written["provider"] == "nginx"
        assert written["settings"]["proxy"] == "stream"
        assert written["settings"]["mrsproxy_host"] == MRSPROXY_HOST
        assert written["listen"]["https_port"] == written["settings"]["https_port"]
        assert covers(lab.farm.leaf.info, MRSPROXY_HOST)
        assert MRSPROXY_HOST not in tomllib.loads(lab.config.read_text(encoding="utf-8"))["publish"]["hosts"]
        assert find(lab.directory).processes[0].pid == lab.balancer.pid
    assert select.select([process], [], [], 20.0)[0]
    os.close(process)


def test_nginx_by_requests(tmp_path: Path, require: Callable[[str], None]) -> None:
    """Told to pass on requests NGINX has no stream block, and its settings declare that NTLM is not used."""
    require("nginx")
    with Lab(QUIET, tmp_path / "lab", balancer="nginx", proxy="http") as lab:
        assert lab.balancer is not None
        settings = entry(lab)["settings"]
        assert (settings["proxy"], settings["ntlm"]) == ("http", "unused")
        assert "mrsproxy_host" not in settings
        assert "stream" not in lab.balancer.main.read_text(encoding="utf-8")
        assert not covers(lab.farm.leaf.info, MRSPROXY_HOST)


def test_with_a_simulated_bigip(tmp_path: Path) -> None:
    """It needs nothing installed; its REST interface answers whom it knows, and it ends with the lab, its password too."""
    nothing = requests.Session()
    with nothing, Lab(QUIET, tmp_path / "lab", balancer="bigip") as lab:
        assert lab.processes == ()
        assert (lab.haproxy, lab.balancer.pid if lab.balancer else 0) == (None, None)
        written = entry(lab)
        assert written["provider"] == "bigip"
        settings = written["settings"]
        password = Path(settings["password"].removeprefix("file:"))
        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        url = f"https://{settings['hosts'][0]}:{settings['port']}/mgmt/tm/sys/version"
        assert nothing.get(url, verify=settings["ca_file"], timeout=10).status_code == 401
        assert covers(lab.farm.leaf.info, settings["mrsproxy_host"])
        assert (
            settings["mrsproxy_host"] not in tomllib.loads(lab.config.read_text(encoding="utf-8"))["publish"]["hosts"]
        )
    assert not password.exists()
    with closing(socket()) as connection:
        assert connection.connect_ex((settings["hosts"][0], settings["port"])) != 0


@pytest.mark.parametrize("balancer", ["haproxy", "nginx"])
def test_its_host_behind_a_real_sshd(tmp_path: Path, require: Callable[[str], None], balancer: Kind) -> None:
    """The configuration says how to log in over SSH; a true and a wrong host key are at hand; private keys go with the lab."""
    require(balancer)
    require("sshd")
    with Lab(QUIET, tmp_path / "lab", balancer=balancer, ssh=True) as lab:
        ssh = entry(lab)["settings"]["ssh"]
        assert ssh["host"] == "127.0.0.1"
        with closing(socket()) as connection:
            connection.connect((ssh["host"], ssh["port"]))
            assert connection.recv(4) == b"SSH-"
        key = Path(ssh["key_file"])
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert lab.sshd is not None
        true, wrong = Path(ssh["known_hosts"]), lab.sshd.wrong_known_hosts
        assert true.read_text(encoding="utf-8").split()[0] == wrong.read_text(encoding="utf-8").split()[0]
        assert true.read_text(encoding="utf-8") != wrong.read_text(encoding="utf-8")
        assert str(wrong) in (lab.directory / "lab.json").read_text(encoding="utf-8")
        assert [each.name for each in find(lab.directory).processes] == [balancer, "sshd"]
        process = os.pidfd_open(find(lab.directory).processes[1].pid)
    assert select.select([process], [], [], 20.0)[0]
    os.close(process)
    assert not key.exists()
    with Lab(QUIET, tmp_path / "lab", balancer=None, ssh=True) as bare:
        assert bare.sshd is None
        assert not bare.processes


@pytest.mark.parametrize(
    ("balancer", "code", "package"),
    [("haproxy", "no_haproxy", "haproxy"), ("nginx", "no_nginx", "libnginx-mod-stream")],
)
def test_without_a_balancer_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, balancer: Kind, code: str, package: str
) -> None:
    """Where the balancer is missing the error names the package."""
    monkeypatch.delenv("LBSYNC_HAPROXY", raising=False)
    monkeypatch.delenv("LBSYNC_NGINX", raising=False)
    nothing_installed(monkeypatch)
    with pytest.raises(NoBalancer) as missing:
        Lab(QUIET, tmp_path / "lab", balancer=balancer)
    assert missing.value.code == code
    assert "apt-get install" in missing.value.remedy
    assert package in missing.value.remedy


def test_without_the_stream_module_it_says_how_to_get_it(
    tmp_path: Path, require: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An NGINX whose stream module is missing is told with the package; requests can be rehearsed without."""
    program = tmp_path / "nginx"
    program.write_text("#!/bin/sh\necho 'configure arguments: --with-stream=dynamic' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("LBSYNC_NGINX", str(program))
    monkeypatch.setenv("LBSYNC_NGINX_MODULES", str(tmp_path))
    with pytest.raises(NoBalancer, match=r"ngx_stream_module\.so") as missing:
        Lab(QUIET, tmp_path / "lab", balancer="nginx")
    assert missing.value.code == "no_nginx_stream"
    assert "--proxy http" in missing.value.remedy
    assert Lab(QUIET, tmp_path / "lab", balancer="nginx", proxy="http").balancer is not None


def test_without_sshd_it_says_how_to_get_it(
    tmp_path: Path, require: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where OpenSSH's server is missing the error names the package, and nothing was started."""
    monkeypatch.setenv("LBSYNC_HAPROXY", "haproxy")
    nothing_installed(monkeypatch)
    with pytest.raises(LbsyncError) as missing:
        Lab(QUIET, tmp_path / "lab", ssh=True)
    assert missing.value.code == "no_sshd"
    assert "openssh-server" in missing.value.remedy


@pytest.mark.parametrize(("balancer", "variable"), [("haproxy", "LBSYNC_HAPROXY"), ("nginx", "LBSYNC_NGINX")])
def test_a_broken_balancer_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, balancer: Kind, variable: str
) -> None:
    """A program that ends at once is told with its words, and the farm is down again."""
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho broken here --with-stream >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv(variable, str(broken))
    lab = Lab(QUIET, tmp_path / "lab", balancer=balancer)
    with pytest.raises(LbsyncError, match="broken here") as told:
        lab.start()
    assert told.value.code == f"{balancer}_start"
    assert "NTLM_USER_FILE" not in os.environ
    assert not lab.processes


def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program is found."""

    def nowhere(_name: str, path: str = "") -> None:
        assert path

    monkeypatch.setattr("shutil.which", nowhere)
