"""The whole story through a simulated BIG-IP, and what may go wrong on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.lab.bigip.device import BigIp
from lbsync.lab.configfile import ConfigOptions
from lbsync.lab.daemon import Lab
from lbsync.lab.f5 import RunningBigIp
from lbsync.lab.spec import LabSpec
from tests.balancers.simulated import objects_of
from tests.cli.story import Lbsync, apply_twice_at_once, kill_and_carry_on, own_values, rewrite
from tests.longer import LONGER

# Clients keep their connections to servers, the canary's too, so that a drain ends in cutting them.
CONNECTIONS: ConfigOptions = {
    "modes": {"default": "offload"}, "limits": {"drain_timeout_s": 1.0, "on_drain_timeout": "cut"},
}  # fmt: skip
REQUESTS: ConfigOptions = {"modes": {"default": "offload", "ecp": "bridge"}, "limits": {"drain_timeout_s": 30.0}}


@pytest.fixture
def bring_up(tmp_path: Path, lbsync: Lbsync, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lab]]:
    """Bring up two servers behind a simulated BIG-IP, nothing published yet, and point the command line at them."""
    del lbsync  # its own settings come first
    base = LabSpec(servers=2, faults=0.0, oa_lag_s=0.1, gap_s=0.1, ping_s=0.2, seed=7)
    with ExitStack() as stack:

        def start(options: ConfigOptions = CONNECTIONS, **knobs: Any) -> Lab:
            lab = stack.enter_context(Lab(replace(base, **knobs), tmp_path / "lab", balancer="bigip", options=options))
            monkeypatch.setenv("LBSYNC_CONFIG", str(lab.config))
            if options is REQUESTS:
                for key in ("mrsproxy_host", "mrsproxy_address", "mrsproxy_port"):
                    drop(lab, key)
                rewrite(lab, "bind_address", 'ntlm = "unused"\nbind_address')
            return lab

        yield start


@pytest.fixture
def lab(bring_up: Callable[..., Lab]) -> Lab:
    """One where connections belong to clients."""
    return bring_up()


def device_of(lab: Lab) -> BigIp:
    """Its device."""
    assert lab.balancer is not None
    running = lab.balancer.running
    assert isinstance(running, RunningBigIp)
    return running.device


def everything(lab: Lab) -> tuple[object, ...]:
    """What a way back must bring back: the servers' own values, and every object of the device, running and saved."""
    return own_values(lab), objects_of(device_of(lab))


def drop(lab: Lab, key: str) -> None:
    """Leave a setting out."""
    lines = lab.config.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{key} =")]
    assert len(kept) < len(lines)
    lab.config.write_text("".join(kept), encoding="utf-8")


@pytest.mark.parametrize(
    "options",
    [pytest.param(CONNECTIONS, marks=LONGER), pytest.param(REQUESTS, marks=LONGER)],
    ids=["connections", "requests"],
)
def test_there_and_back(options: ConfigOptions, bring_up: Callable[..., Lab], lbsync: Lbsync, tmp_path: Path) -> None:
    """Every command in order: each exit code, nothing lost on the way, and everything as before at the end."""
    lab = bring_up(options)
    before = everything(lab)
    assert lbsync("check").code == ExitCode.OK
    advised = lbsync("advise", "--cost", "--json")
    assert advised.code == ExitCode.OK
    (cost,) = advised.document["cost"]
    assert cost["place"].endswith("not the balancer")
    assert {one["n"] for one in cost["legs"] if one["kind"] == "number"} == {7}
    assert {one["kind"] for one in (*cost["cpu"], *cost["load"])} == {"unknown"}
    planned = lbsync("plan", "--show-undo", "--show-checks")
    assert planned.code == ExitCode.ATTENTION
    assert "Plan: 3 to add" in planned.out
    assert ("all services of a virtual server share one mode" in planned.out + planned.err) is (options is CONNECTIONS)

    applied = lbsync("apply", "--yes", "--json")
    assert applied.code == ExitCode.OK, applied.err
    run_id = applied.document["run"]
    assert {step["state"] for step in applied.document["steps"]} == {"done"}
    assert everything(lab) != before
    assert not device_of(lab).unsaved

    assert lbsync("plan").code == ExitCode.OK
    assert lbsync("plan", "--json").document["steps"] == []
    verified = lbsync("verify", "--json")
    assert verified.code == ExitCode.OK, verified.out
    assert verified.document["light"] == "green"

    back = lbsync("rollback")
    assert back.code == ExitCode.OK, back.err
    assert "everything is as it was before" in back.out
    assert everything(lab) == before
    assert all(server.state.web.mrsproxy_plain_requests == 0 for server in lab.farm.servers.values())
    assert set(device_of(lab).tokens_of.values()) == {0}

    report = json.loads((tmp_path / "state" / "reports" / f"{run_id}.json").read_text())
    canaries = [one["canary"] for one in report["evidence"] if one["canary"]]
    assert len(canaries) == 2
    assert [(canary["armed"], canary["errors"], canary["first_errors"]) for canary in canaries] == [(True, 0, [])] * 2


def test_one_mode_with_ntlm_is_explained(lab: Lab, lbsync: Lbsync) -> None:
    """Bridging one service while others are offloaded is refused, with the reason and the ways out."""
    rewrite(lab, 'default = "offload"', 'default = "offload"\necp = "bridge"')
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    assert "keeps its connection to a server" in told.err
    assert "Bridge every service there, or offload every one" in told.err
    assert 'declare ntlm = "unused"' in " ".join(told.err.split())


def test_mrsproxy_needs_a_virtual_server_of_its_own(lab: Lab, lbsync: Lbsync) -> None:
    """With everything offloaded MRSProxy would travel in clear: a second virtual server, or disabled on every server."""
    for key in ("mrsproxy_host", "mrsproxy_address"):
        drop(lab, key)
    before = everything(lab)
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    for way in ("Set-WebServicesVirtualDirectory -MRSProxyEnabled $false", "balancers.settings.mrsproxy_host"):
        assert way in told.err
    assert lbsync("apply", "--yes").code == ExitCode.REFUSED
    assert everything(lab) == before
    for name in lab.farm.servers:
        lab.farm.state.directory.mrsproxy_enabled[name] = False
    assert lbsync("plan").code == ExitCode.ATTENTION


def test_a_standby_device(lab: Lab, lbsync: Lbsync) -> None:
    """Told by check, refused by plan, and nothing is changed on it."""
    device_of(lab).failover_state = "standby"
    before = everything(lab)
    told = lbsync("check")
    assert told.code == ExitCode.ATTENTION
    assert "is standby" in told.out + told.err
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    assert "changes are made on the active device only" in told.err
    assert everything(lab) == before


def test_a_wrong_password(lab: Lab, lbsync: Lbsync, tmp_path: Path) -> None:
    """It is tried once, told with what to correct, and stands nowhere in what is said."""
    other = tmp_path / "other-password"
    other.write_text("not-the-password")
    other.chmod(0o600)
    rewrite(lab, f'"file:{lab.balancer.main if lab.balancer else ""}"', f'"file:{other}"')
    logins = sum(seen.path.endswith("/authn/login") for seen in device_of(lab).log)
    told = lbsync("plan")
    assert told.code == ExitCode.ERROR
    assert "the account was rejected" in told.err
    assert "correct user, password or login_provider" in " ".join(told.err.split())
    assert "not-the-password" not in told.out + told.err
    assert sum(seen.path.endswith("/authn/login") for seen in device_of(lab).log) == logins + 1


def test_a_password_in_the_file_is_refused(lab: Lab, lbsync: Lbsync) -> None:
    """Secrets are references; the mistake is told at its line and not repeated."""
    rewrite(lab, f'"file:{lab.balancer.main if lab.balancer else ""}"', '"hunter2hunter2"')
    told = lbsync("config", "check")
    assert told.code == ExitCode.ERROR
    assert "must be a reference to the secret" in told.err
    assert "hunter2" not in told.out + told.err


@LONGER
def test_two_applies_at_once(lab: Lab, lbsync: Lbsync, tmp_path: Path) -> None:
    """The second is refused, by the lock on this host and by the marker on the device from any other; the first goes on."""
    before = everything(lab)
    apply_twice_at_once(lab, lbsync, tmp_path)
    assert everything(lab) == before


def test_somebody_changed_what_a_way_back_would_restore(lab: Lab, lbsync: Lbsync) -> None:
    """An object of ours that somebody edited since is shown and not overwritten without being told to."""
    assert lbsync("apply", "--yes", "--no-canary").code == ExitCode.OK
    device = device_of(lab)
    (profile,) = [path for path in device.paths("ltm/profile/client-ssl") if path.startswith("/Common/lbsync_")]
    device.foreign("ltm/profile/client-ssl", {"name": profile, "description": "mine now"})
    told = lbsync("rollback", "--no-canary")
    assert told.code == ExitCode.NOT_TAKEN_BACK
    assert lbsync("check").code == ExitCode.ATTENTION
    kept = device.object("ltm/profile/client-ssl", profile)
    assert kept is not None
    assert kept["description"] == "mine now"


@LONGER
def test_a_killed_apply_is_carried_on(lab: Lab, lbsync: Lbsync, tmp_path: Path) -> None:
    """The process died half-way: nothing else may begin, resume does the rest, and all of it can be taken back."""
    before = everything(lab)
    kill_and_carry_on(lab, lbsync, tmp_path, "in transactions; save (")
    assert everything(lab) == before
