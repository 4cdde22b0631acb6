"""The farm as a whole: seeds, knobs, configuration, and nothing left behind."""

from __future__ import annotations

import gc
import os
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbsync.lab.farm import LabFarm, LabSpec
from lbsync.lab.faults import Fault, Faults
from lbsync.lab.tls import TlsIdentity
from lbsync.testing.ca import TestCA

Lab = Callable[..., LabFarm]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """After a farm ends no thread, no file descriptor, no environment variable of it is left; a second stop is harmless."""
    before = {thread.ident for thread in threading.enumerate()}
    gc.collect()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    farm = LabFarm(LabSpec(servers=3, faults=0.0), tmp_path)
    with farm:
        assert {t.name for t in threading.enumerate()} >= {"lab-management", "lab-front-end"}
    farm.stop()
    gc.collect()
    assert {thread.ident for thread in threading.enumerate()} <= before
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
    assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]


def test_a_start_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    """When a socket cannot be had the error comes out and everything begun is ended."""
    farm = LabFarm(LabSpec(servers=1, faults=0.0), tmp_path)
    farm.servers["EX01"].address = "192.0.2.1"
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        farm.start()
    assert "lab-management" not in {t.name for t in threading.enumerate()}
    assert "NTLM_USER_FILE" not in os.environ


def test_the_environment_is_restored(tmp_path: Path, monkeypatch: Any) -> None:
    """An NTLM_USER_FILE of the caller's own is there again afterwards."""
    monkeypatch.setenv("NTLM_USER_FILE", "/its/own")
    with LabFarm(LabSpec(servers=1, data_plane=False), tmp_path):
        assert os.environ["NTLM_USER_FILE"] != "/its/own"
    assert os.environ["NTLM_USER_FILE"] == "/its/own"


def test_members_share_a_leaf_unless_told_otherwise(lab: Lab) -> None:
    """All servers serve one certificate; knobs give a server another, a self-signed or an expired one."""
    farm = lab(servers=4, different_certificate=("EX02",), self_signed=("EX03",), expired=("EX04",))
    bound = {name: server.state.iis.bound for name, server in farm.servers.items()}
    assert bound["EX01"] == farm.leaf.info.thumbprint
    assert len(set(bound.values())) == 4
    own = {name: server.state.store.find(bound[name] or "") for name, server in farm.servers.items()}
    assert own["EX03"] is not None
    assert own["EX04"] is not None
    assert own["EX03"].bundle.info.self_signed
    assert own["EX04"].status == "DateInvalid"
    assert {"mail.contoso.test", "autodiscover.contoso.test", "ex01.contoso.test"} <= set(farm.leaf.info.names)


def test_the_configuration_names_the_real_ports(lab: Lab, tmp_path: Path) -> None:
    """The written TOML carries kernel-given ports, references instead of secrets, and what the caller adds."""
    farm = lab(servers=2)
    path = farm.write_config(
        tmp_path / "config.toml",
        modes={"default": "offload"},
        outlook_anywhere={"internal_hostname": ""},
        balancers=[{"name": "lb1", "provider": "haproxy", "listen": {"address": "127.0.0.1"}, "settings": {"x": 1}}],
    )
    config = tomllib.loads(path.read_text(encoding="utf-8"))
    second = farm.servers["EX02"]
    assert config["servers"][1] == {
        "name": "EX02",
        "address": "127.0.0.1",
        "fqdn": "ex02.contoso.test",
        "winrm_port": second.winrm_port,
        "http_port": second.http_port,
        "https_port": second.https_port,
    }
    assert config["farm"]["winrm"]["password"] == "env:LBSYNC_WINRM_PASSWORD"
    assert farm.password not in path.read_text(encoding="utf-8")
    assert Path(config["farm"]["winrm"]["ca_file"]).read_text(encoding="ascii") == farm.ca_pem
    assert config["balancers"][0]["settings"] == {"x": 1}
    assert (config["modes"], config["outlook_anywhere"]) == ({"default": "offload"}, {"internal_hostname": ""})


def test_servers_may_have_addresses_of_their_own(lab: Lab) -> None:
    """With distinct addresses each server listens on its own loopback address."""
    farm = lab(servers=2, distinct_addresses=True)
    assert [server.address for server in farm.servers.values()] == ["127.0.1.2", "127.0.1.3"]


def test_many_servers_are_cheap(lab: Lab) -> None:
    """A management-only farm of a hundred servers starts in one process with one thread."""
    before = threading.active_count()
    farm = lab(servers=100, data_plane=False, tls_winrm=False)
    assert len({server.winrm_port for server in farm.servers.values()}) == 100
    assert threading.active_count() == before + 1
    assert farm.leaf.info.names[-1] == "*.contoso.test"


def test_faults_follow_their_seed() -> None:
    """The same seed and server give the same faults; another server others; rate 0 none."""

    def draws(seed: int, server: str, rate: float = 0.3) -> list[Fault | None]:
        faults = Faults(rate, seed, server)
        return [faults.draw() for _ in range(200)]

    assert draws(1, "EX01") == draws(1, "EX01")
    assert draws(1, "EX01") != draws(1, "EX02")
    assert set(draws(1, "EX01")) == {*Fault, None}
    assert set(draws(1, "EX01", 0.0)) == {None}
    assert 30 < sum(fault is not None for fault in draws(1, "EX01")) < 90


def test_a_seed_is_drawn_and_told(lab: Lab) -> None:
    """Without a seed one is drawn, so that it can be printed and used again."""
    assert lab(seed=None, data_plane=False).seed != lab(seed=None, data_plane=False).seed
    assert lab(data_plane=False).seed == 7


def test_no_key_is_left_on_disk(tmp_path: Path) -> None:
    """Making a certificate ready leaves no file, and what was written was encrypted."""
    TlsIdentity.of(TestCA.new().issue(["x.test"], key="ec256"), tmp_path)
    assert list(tmp_path.iterdir()) == []
