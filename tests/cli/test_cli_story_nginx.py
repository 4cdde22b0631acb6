"""The whole story through a real NGINX, in its two ways and over SSH, and what may go wrong on the way."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.lab.configfile import ConfigOptions
from lbsync.lab.daemon import Lab
from lbsync.lab.spec import LabSpec
from lbsync.testing.nginx import RunningNginx
from tests.cli.story import Lbsync, apply_twice_at_once, kill_and_carry_on, own_values, read_until, rewrite, spawn
from tests.longer import LONGER, one_now
from tests.rollout.fronts import Kind, NginxFront

HTTP, STREAM = Kind("nginx", "http"), Kind("nginx", "stream")
STREAM_OVER_SSH = replace(STREAM, ssh=True)
# Through a stream clients keep their connections, the canary's too, so that a drain ends in cutting them.
OPTIONS: dict[str, ConfigOptions] = {
    "http": {"modes": {"default": "offload", "ecp": "bridge"}},
    "stream": {"modes": {"default": "offload"}, "limits": {"drain_timeout_s": 1.0, "on_drain_timeout": "cut"}},
}


@pytest.fixture
def bring_up(
    tmp_path: Path, require: Callable[[str], None], lbsync: Lbsync, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Lab]]:
    """Bring up two servers behind a real NGINX, nothing published yet, and point the command line at them."""
    del lbsync  # its own settings come first
    base = LabSpec(servers=2, faults=0.0, oa_lag_s=0.1, gap_s=0.1, ping_s=0.2, seed=7)
    with ExitStack() as stack:

        def start(kind: Kind, **knobs: Any) -> Lab:
            for program in kind.programs:
                require(program)
            spec, options = replace(base, **knobs), OPTIONS[kind.proxy]
            lab = Lab(spec, tmp_path / "lab", balancer="nginx", proxy=kind.proxy, ssh=kind.ssh, options=options)
            stack.enter_context(lab)
            rewrite(lab, 'reload = "signal"', 'reload = "signal"\nproof_s = 0.1')  # a tenth of what it is by itself
            monkeypatch.setenv("LBSYNC_CONFIG", str(lab.config))
            return lab

        yield start


@pytest.fixture
def lab(bring_up: Callable[..., Lab]) -> Lab:
    """One whose NGINX routes requests by their path."""
    return bring_up(HTTP)


def nginx_of(lab: Lab) -> RunningNginx:
    """Its NGINX."""
    assert lab.balancer is not None
    running = lab.balancer.running
    assert isinstance(running, RunningNginx)
    return running


def everything(lab: Lab, kind: Kind = HTTP) -> tuple[object, ...]:
    """What a way back must bring back: the servers' own values, NGINX's files byte for byte, and what it runs of ours."""
    front = NginxFront(nginx_of(lab), kind, None)
    return own_values(lab), front.files(), front.live()


def edit(lab: Lab, old: str, new: str) -> None:
    """Change NGINX's main file, as its administrator would in an editor."""
    main = nginx_of(lab).main
    text = main.read_text(encoding="utf-8")
    assert old in text
    main.write_text(text.replace(old, new), encoding="utf-8")


def administrators_own(lab: Lab) -> str:
    """What the administrator's own server answers."""
    nginx = nginx_of(lab)
    with closing(http.client.HTTPConnection(nginx.address, nginx.own_port, timeout=30)) as connection:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()


@pytest.mark.parametrize("kind", one_now([HTTP, STREAM_OVER_SSH]), ids=str)
def test_there_and_back(kind: Kind, bring_up: Callable[..., Lab], lbsync: Lbsync, tmp_path: Path) -> None:
    """Every command in order: each exit code, nothing lost on the way, and everything as before at the end."""
    lab = bring_up(kind)
    before = everything(lab, kind)
    assert lbsync("check").code == ExitCode.OK
    assert lbsync("advise").code == ExitCode.OK
    planned = lbsync("plan", "--show-undo", "--show-checks")
    assert planned.code == ExitCode.ATTENTION
    assert "undo: EX01" in planned.out
    assert "until the listener serves" in planned.out
    assert "Each step on NGINX is a reload" in planned.out + planned.err
    assert "Plan: 3 to add" in planned.out

    applied = lbsync("apply", "--yes", "--json")
    assert applied.code == ExitCode.OK, applied.err
    run_id = applied.document["run"]
    assert {step["state"] for step in applied.document["steps"]} == {"done"}
    assert everything(lab, kind) != before

    assert lbsync("plan").code == ExitCode.OK
    assert lbsync("plan", "--json").document["steps"] == []
    assert "Nothing to do" in lbsync("apply", "--yes").out
    verified = lbsync("verify", "--json")
    assert verified.code == ExitCode.OK, verified.out
    assert verified.document["light"] == "green"

    back = lbsync("rollback")
    assert back.code == ExitCode.OK, back.err
    assert "everything is as it was before" in back.out
    assert everything(lab, kind) == before
    assert all(server.state.web.mrsproxy_plain_requests == 0 for server in lab.farm.servers.values())

    report = json.loads((tmp_path / "state" / "reports" / f"{run_id}.json").read_text())
    canaries = [one["canary"] for one in report["evidence"] if one["canary"]]
    assert len(canaries) == 2
    assert [(canary["armed"], canary["errors"], canary["first_errors"]) for canary in canaries] == [(True, 0, [])] * 2


def test_an_nginx_that_is_down(lab: Lab, lbsync: Lbsync) -> None:
    """No master at the pid file: told by check, refused by plan, and nothing is changed."""
    nginx_of(lab).stop()
    before = everything(lab)
    told = lbsync("check")
    assert told.code == ExitCode.ATTENTION
    assert "NGINX does not run" in told.out + told.err
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    assert "NGINX does not run" in told.err
    assert lbsync("apply", "--yes").code == ExitCode.REFUSED
    assert everything(lab) == before


def test_ntlm_by_path_is_refused_with_its_ways_out(lab: Lab, lbsync: Lbsync) -> None:
    """Requests of one client may not ride on another's logon: stream, a declaration, or NGINX Plus."""
    rewrite(lab, 'ntlm = "unused"', 'ntlm = "refuse"')
    before = everything(lab)
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    for way in ('proxy = "stream"', 'ntlm = "unused"', 'ntlm = "plus"'):
        assert way in told.err
    assert lbsync("apply", "--yes").code == ExitCode.REFUSED
    assert everything(lab) == before


def test_mrsproxy_on_the_shared_listener_is_refused_with_its_ways_out(
    bring_up: Callable[..., Lab], lbsync: Lbsync
) -> None:
    """No path is seen and everything is offloaded: disabled on every server, or a host name of its own."""
    lab = bring_up(STREAM)
    rewrite(lab, 'mrsproxy_host = "mrs.contoso.test"\n', "")
    before = everything(lab, STREAM)
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    for way in ("Set-WebServicesVirtualDirectory -MRSProxyEnabled $false", "balancers.settings.mrsproxy_host"):
        assert way in told.err
    assert lbsync("apply", "--yes").code == ExitCode.REFUSED
    assert everything(lab, STREAM) == before

    for name in lab.farm.servers:
        lab.farm.state.directory.mrsproxy_enabled[name] = False
    assert lbsync("plan").code == ExitCode.ATTENTION


def test_a_wrong_host_key_is_refused(bring_up: Callable[..., Lab], lbsync: Lbsync) -> None:
    """Another key than the one in known_hosts: no command of a run goes to that host."""
    lab = bring_up(STREAM_OVER_SSH)
    assert lab.sshd is not None
    before = everything(lab, STREAM)
    rewrite(lab, f'"{lab.sshd.running.known_hosts}"', f'"{lab.sshd.wrong_known_hosts}"')
    for words in (["plan"], ["apply", "--yes"]):
        told = lbsync(*words)
        assert told.code == ExitCode.ERROR
        assert "the host's key is not the one in known_hosts" in told.err
    assert "Accepted publickey" not in lab.sshd.running.log
    assert everything(lab, STREAM) == before


def test_two_applies_at_once(lab: Lab, lbsync: Lbsync, tmp_path: Path) -> None:
    """The second is refused, by the lock on this host and by the marker on NGINX from any other; the first goes on."""
    before = everything(lab)
    apply_twice_at_once(lab, lbsync, tmp_path)
    assert everything(lab) == before


def test_a_plan_is_stale_once_somebody_edited_nginxs_files(lab: Lab, lbsync: Lbsync, tmp_path: Path) -> None:
    """A saved plan was made with other files in view, loaded by now: it is refused, and a new one is made."""
    saved = tmp_path / "plan.json"
    assert lbsync("plan", "--out", saved).code == ExitCode.ATTENTION
    edit(lab, "access_log off;", "access_log off;\n    server_tokens off;")
    nginx_of(lab).reload()
    before = everything(lab)
    told = lbsync("apply", saved, "--yes")
    assert told.code == ExitCode.REFUSED
    assert "changed since this plan was made" in told.err
    assert everything(lab) == before
    assert lbsync("plan").code == ExitCode.ATTENTION


def test_an_edit_during_a_run_is_not_made_live_by_it(
    bring_up: Callable[..., Lab], lbsync: Lbsync, tmp_path: Path
) -> None:
    """Somebody is at work on NGINX's files: the run loads nothing more, not even on its way back, until they have."""
    lab = bring_up(HTTP, oa_lag_s=3.0)
    before = own_values(lab), everything(lab)[2]
    process = spawn(lab, tmp_path / "state", "apply", "--yes", "--no-canary")
    try:
        read_until(process, "clients are served over TLS to the servers")  # then IIS has to show what AD holds
        edit(lab, "the administrator's own", "half done")
        rest = process.communicate(timeout=120)[0]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == ExitCode.NOT_TAKEN_BACK, rest
    assert "somebody changed NGINX's other files since the plan was made" in rest
    assert "nginx.conf changed after NGINX was loaded" in rest
    assert administrators_own(lab) == "the administrator's own\n", "not made live"
    nginx_of(lab).reload()
    assert lbsync("rollback", "--no-canary").code == ExitCode.OK
    assert (own_values(lab), everything(lab)[2]) == before
    assert administrators_own(lab) == "half done\n"


@LONGER
def test_a_way_back_days_later_keeps_what_others_did_since(lab: Lab, lbsync: Lbsync) -> None:
    """The administrator changed NGINX's other files and reloaded: the rollback takes back ours, and theirs stays live."""
    before = everything(lab)
    assert lbsync("apply", "--yes", "--no-canary").code == ExitCode.OK
    edit(lab, "the administrator's own", "changed since")
    nginx_of(lab).reload()
    assert lbsync("plan").code == ExitCode.OK
    back = lbsync("rollback")
    assert back.code == ExitCode.OK, back.err
    assert administrators_own(lab) == "changed since\n"
    edit(lab, "changed since", "the administrator's own")
    assert everything(lab) == before


@LONGER
def test_a_way_back_waits_for_an_nginx_that_is_down(lab: Lab, lbsync: Lbsync, tmp_path: Path) -> None:
    """A stopped NGINX is no foreign change: the rollback says what is wrong, and goes on once it is started again."""
    before = everything(lab)
    assert lbsync("apply", "--yes", "--no-canary").code == ExitCode.OK
    nginx_of(lab).stop()
    process = spawn(lab, tmp_path / "state", "rollback", "--no-canary")
    try:
        read_until(process, "NGINX does not run")
        nginx_of(lab).start()
        rest = process.communicate(timeout=120)[0]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == ExitCode.OK, rest
    assert everything(lab) == before


@LONGER
def test_a_way_back_that_others_files_hinder_is_finished_later(lab: Lab, lbsync: Lbsync) -> None:
    """NGINX would not load what the administrator has on the disk: the rollback stops there, names it, and carries on later."""
    before = everything(lab)
    assert lbsync("apply", "--yes", "--no-canary").code == ExitCode.OK
    running = everything(lab)[2]
    edit(lab, "access_log off;", "access_log off;\n    nonsense on;")
    told = lbsync("rollback", "--no-canary")
    assert told.code == ExitCode.NOT_TAKEN_BACK
    assert 'unknown directive "nonsense"' in told.err
    assert everything(lab)[2] == running
    edit(lab, "\n    nonsense on;", "")
    nginx_of(lab).reload()
    assert lbsync("rollback", "--no-canary").code == ExitCode.OK
    assert everything(lab) == before


@LONGER
def test_a_killed_apply_is_carried_on(lab: Lab, lbsync: Lbsync, tmp_path: Path) -> None:
    """The process died half-way: nothing else may begin, resume does the rest, and all of it can be taken back."""
    before = everything(lab)
    kill_and_carry_on(lab, lbsync, tmp_path, "reload NGINX, prove it (")
    assert everything(lab) == before
