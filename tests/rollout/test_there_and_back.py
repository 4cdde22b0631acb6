"""Changing one's mind: bridge, offload and bridge again by plans, under load, on a farm that is not as set-up leaves one."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.lab.farm import LabFarm
from lbsync.lab.spec import LabSpec
from lbsync.testing.load import Load
from tests.rollout.fronts import HAPROXY, stand
from tests.rollout.rig import Rehearsal, write_config
from tests.rollout.test_rotate import load_on

EWS = "Default Web Site/EWS"
RPC = "Default Web Site/Rpc"


@pytest.fixture
def odd(require: Callable[[str], None]) -> Generator[Rehearsal]:
    """All bridged by configuration. EWS requires SSL by a value of its own, and AD has SSLOffloading true on one server only."""
    require("haproxy")
    folder = Path(tempfile.mkdtemp(prefix="lbt-"))
    spec = LabSpec(servers=2, faults=0, seed=7, oa_lag_s=0.2, gap_s=0.05, warm_up_s=0.0, ping_s=0.2)
    try:
        with LabFarm(spec, folder / "farm") as farm, stand(HAPROXY, folder) as front:
            for server in farm.state.servers.values():
                server.iis.write_ssl_flags(EWS, "Ssl")
            farm.state.directory.set_outlook_anywhere("EX01", {"ssl_offloading": True})
            farm.state.on_directory_change("EX01")
            iis = farm.state.servers["EX01"].iis
            assert iis.changes.wait_for(lambda: not iis.requires_ssl(RPC), 10)
            config = write_config(farm, front, folder / "lbsync.toml", modes={"default": "bridge"})
            text = config.read_text().replace("[limits]\n", "[limits]\nallow_drift = true\n")
            # Checks of both servers that time out twice in a row on a busy machine would be the test's 503, not lbsync's.
            config.write_text(text.replace("check_interval_s = 0.6", "check_interval_s = 2"))
            yield Rehearsal(farm, front, config)
    finally:
        shutil.rmtree(folder)


def test_a_farm_goes_there_and_back_under_load_and_ends_as_it_began(odd: Rehearsal, tmp_path: Path) -> None:
    """No request fails; flags, inheritance, Outlook Anywhere, certificates and the balancer's files are those of before.

    Then Extended Protection is prepared: what it demands and lbsync can do is done, SSLOffloading included, and checked. Once it
    is on, the run that bridged is not taken back.
    """
    code, said = odd.run(tmp_path, "apply", "--yes", "--quiet", "--no-canary")
    assert code == ExitCode.OK, said
    begun = odd.snapshot()
    paths = tuple(f"/{name}/healthcheck.htm" for name in ("owa", "ews", "mapi", "rpc", "oab"))
    with Load(replace(load_on(odd), paths=paths, fresh_pause_s=0.1)) as load:
        code, there = odd.run(tmp_path, "apply", "--yes", "--mode", "all=offload")
        assert code == ExitCode.OK, there
        away = odd.snapshot()
        code, back = odd.run(tmp_path, "apply", "--yes", "--mode", "all=bridge")
        assert code == ExitCode.OK, back
    assert away.own_values["EX01"][EWS] == "None"
    assert away.own_values != begun.own_values
    assert away.outlook_anywhere["EX02"]["ssl_offloading"] is True
    assert load.result.failures == {}
    assert load.result.requests > 0
    assert all(" 0 failed" in told for told in (there, back)), (there, back)
    told = " ".join(back.split())
    assert "EX01: Default Web Site/EWS gets back sslFlags Ssl" in told
    assert "Outlook Anywhere of EX01 keeps SSLOffloading true" in told
    assert odd.snapshot() == begun

    code, said = odd.run(tmp_path, "prepare", "ep", "--check")
    assert code == ExitCode.ATTENTION, said
    assert "Not ready for Extended Protection: outlook-anywhere; lbsync prepare ep meets them." in said
    assert odd.snapshot() == begun
    code, said = odd.run(tmp_path, "prepare", "ep", "--yes", "--no-canary")
    assert code == ExitCode.OK, said
    prepared = odd.snapshot()
    assert all(one["ssl_offloading"] is False for one in prepared.outlook_anywhere.values())
    assert prepared.own_values["EX01"][EWS] == "Ssl"
    assert r".\ExchangeExtendedProtectionManagement.ps1 -ExchangeServerNames EX01,EX02" in said
    code, said = odd.run(tmp_path, "prepare", "ep", "--check", "--json")
    assert (code, json.loads(said)["ready"]) == (ExitCode.OK, True), said
    mapi = odd.farm.state.servers["EX01"].iis.locations["default web site/mapi"]
    mapi.token_checking = "Require"
    (bridging,) = re.findall(r"lbsync rollback (\S+)", told)
    code, said = odd.run(tmp_path, "rollback", bridging, "--quiet", "--no-canary")
    assert (code, "Extended Protection is on now" in " ".join(said.split())) == (ExitCode.REFUSED, True), said
    mapi.token_checking = None
    assert odd.snapshot() == prepared
    code, said = odd.run(tmp_path, "rollback", "--quiet", "--no-canary")
    assert code == ExitCode.OK, said
    assert odd.snapshot() == begun
