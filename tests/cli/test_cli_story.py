"""The whole story through a real HAProxy: plan, apply, verify, rollback, and what may go wrong on the way."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.kit import crypto_speed
from lbsync.lab.configfile import ConfigOptions
from lbsync.lab.daemon import Lab
from lbsync.lab.spec import LabSpec
from lbsync.services import SERVICES
from tests.cli.story import Lbsync, own_values, read_until, spawn
from tests.longer import LONGER

MODES = {"default": "offload", "ecp": "bridge"}


@pytest.fixture
def bring_up(
    tmp_path: Path, require: Callable[[str], None], lbsync: Lbsync, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Lab]]:
    """Bring up two servers behind a real HAProxy, nothing published yet, and point the command line at them."""
    del lbsync  # its own settings come first
    require("haproxy")
    base = LabSpec(servers=2, faults=0.0, oa_lag_s=0.1, gap_s=0.1, ping_s=0.2, seed=7)
    with ExitStack() as stack:

        def start(options: ConfigOptions | None = None, **knobs: Any) -> Lab:
            wanted: ConfigOptions = {"modes": MODES}
            wanted.update(options or {})
            up = stack.enter_context(Lab(replace(base, **knobs), tmp_path / "lab", options=wanted))
            monkeypatch.setenv("LBSYNC_CONFIG", str(up.config))
            return up

        yield start


@pytest.fixture
def lab(bring_up: Callable[..., Lab]) -> Lab:
    """The usual one."""
    return bring_up()


def costs_are_told(lbsync: Lbsync, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each number with its unit, how often it was taken, and from where; what the lab's servers do not do is unknown."""
    monkeypatch.setattr(crypto_speed, "ROUNDS", 1)
    told = lbsync("advise", "--cost", "--json")
    assert told.code == ExitCode.OK
    assert len(told.document["services"]) == len(SERVICES)
    (cost,) = told.document["cost"]
    assert (cost["balancer"], cost["place"]) == ("lb1", "this host, where lbsync and the balancer run")
    legs, cpu, load = cost["legs"], cost["cpu"], cost["load"]
    assert {(one["id"], one["kind"]) for one in legs} == {
        ("connect_http", "number"), ("connect_https", "number"), ("handshake_full", "number"), ("handshake_resumed", "unknown"),
    }  # fmt: skip
    assert {one["subject"] for one in legs} == {"EX01", "EX02"}
    assert {one["n"] for one in legs if one["kind"] == "number"} == {7}
    assert [one["id"] for one in cpu] == ["sign", "verify", "key_agreement", "bulk"]
    assert {one["id"] for one in load} >= {"idle", "backend_connections_opened", "second_leg_core_share"}
    for one in (*legs, *cpu, *load):
        if one["kind"] == "number":
            assert one["n"] > 0
            assert one["unit"] in {"ms", "op/s", "MB/s", "1/s", "%"}
            assert 0 <= one["least"] <= one["median"] <= one["most"]
        else:
            assert one["why"]


def test_there_and_back(lab: Lab, lbsync: Lbsync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command in order: each exit code, nothing lost on the way, and everything as before at the end."""
    before = own_values(lab)
    assert lbsync("check").code == ExitCode.OK
    assert lbsync("advise").code == ExitCode.OK
    planned = lbsync("plan", "--show-undo", "--show-checks")
    assert planned.code == ExitCode.ATTENTION
    assert "undo: EX01" in planned.out
    assert "until the listener serves" in planned.out
    assert "Plan: 3 to add" in planned.out

    applied = lbsync("apply", "--yes", "--json")
    assert applied.code == ExitCode.OK
    run_id = applied.document["run"]
    assert {step["state"] for step in applied.document["steps"]} == {"done"}
    assert own_values(lab) != before

    assert lbsync("plan").code == ExitCode.OK
    assert lbsync("plan", "--json").document["steps"] == []
    assert "Nothing to do" in lbsync("apply", "--yes").out
    costs_are_told(lbsync, monkeypatch)

    verified = lbsync("verify", "--json")
    assert verified.code == ExitCode.OK
    assert verified.document["light"] == "green"

    assert run_id in lbsync("runs").out
    assert lbsync("runs", "--json").document[0]["phase"] == "applied"
    shown = lbsync("show", run_id[:10], "--undo")
    assert "Require SSL off" in shown.out
    assert "way back" in shown.out
    assert lbsync("show", "nonsense").code == ExitCode.ERROR

    back = lbsync("rollback")
    assert back.code == ExitCode.OK
    assert "everything is as it was before" in back.out
    assert own_values(lab) == before
    assert not [path for path in (lab.directory / "haproxy" / "lbsync").rglob("*") if path.is_file()]
    assert "Nothing to do" in lbsync("rollback").out
    assert all(server.state.web.mrsproxy_plain_requests == 0 for server in lab.farm.servers.values())

    report = json.loads((tmp_path / "state" / "reports" / f"{run_id}.json").read_text())
    canaries = [one["canary"] for one in report["evidence"] if one["canary"]]
    assert len(canaries) == 2
    assert all(canary["armed"] and canary["errors"] == 0 for canary in canaries)
    assert report["found"]["servers"][0]["subject"] == "EX01"
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0
            content = path.read_bytes()
            assert lab.farm.password.encode() not in content
            assert b"PRIVATE KEY" not in content


def test_server_by_server_and_back(bring_up: Callable[..., Lab], lbsync: Lbsync, tmp_path: Path) -> None:
    """One server first, saved and applied; then the rest and the switch; each loses nothing and is taken back exactly."""
    lab = bring_up(servers=3)
    before = own_values(lab)
    unknown = lbsync("plan", "--only", "EX09")
    assert unknown.code == ExitCode.ERROR
    assert "there are the servers EX01, EX02, EX03, and no groups" in unknown.err

    planned = lbsync("plan", "--only", "ex01", "--out", "part.json")
    assert planned.code == ExitCode.ATTENTION
    assert "wait until EX01 answers over plain HTTP" in planned.out
    assert "EX02, EX03 are not prepared yet" in planned.out
    other = lbsync("apply", "part.json", "--only", "EX02", "--yes")
    assert other.code == ExitCode.REFUSED
    assert "made with --only EX01" in other.err
    (tmp_path / "all.json").write_text(json.dumps(json.loads((tmp_path / "part.json").read_text()) | {"only": []}))
    assert "changed since this plan was made" in lbsync("apply", "all.json", "--yes").err
    first = lbsync("apply", "part.json", "--yes", "--json")
    assert first.code == ExitCode.OK
    between = own_values(lab)
    assert between == before | {"EX01": between["EX01"]}
    assert between != before
    assert lbsync("check", "--json").document["balancers"][0]["modes"]["owa"] == "bridge"
    assert "Prepared in part: Require SSL is off on EX01 and on at EX02, EX03" in lbsync("check").out
    again = lbsync("apply", "--only", "EX01", "--yes")
    assert again.code == ExitCode.OK
    assert "EX02, EX03 are not prepared yet" in again.out

    second = lbsync("apply", "--yes", "--json")
    assert second.code == ExitCode.OK
    assert "EX01" not in {step["target"] for step in second.document["steps"]}
    assert lbsync("check", "--json").document["balancers"][0]["modes"]["owa"] == "offload"
    assert lbsync("verify").code == ExitCode.OK

    assert lbsync("rollback").code == ExitCode.OK
    assert own_values(lab) == between
    assert lbsync("rollback", first.document["run"]).code == ExitCode.OK
    assert own_values(lab) == before
    assert not [path for path in (lab.directory / "haproxy" / "lbsync").rglob("*") if path.is_file()]
    reports = [json.loads(path.read_text()) for path in (tmp_path / "state" / "reports").glob("*.json")]
    canaries = [one["canary"] for report in reports for one in report["evidence"] if one["canary"]]
    assert len(canaries) == 4
    assert all(canary["errors"] == 0 for canary in canaries)
    assert sum(canary["armed"] for canary in canaries) >= 3


def test_a_certificate_that_is_not_exportable(lab: Lab, lbsync: Lbsync) -> None:
    """The adviser says so, the plan is refused, and the servers stay as they are."""
    before = own_values(lab)
    for server in lab.farm.servers.values():
        for entry in server.state.store.entries.values():
            entry.exportable = False
    assert lbsync("advise").code == ExitCode.ATTENTION
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    assert "not marked exportable" in told.err
    assert "nothing was changed" in told.err
    assert lbsync("apply", "--yes").code == ExitCode.REFUSED
    assert own_values(lab) == before


def test_a_haproxy_that_is_down(lab: Lab, lbsync: Lbsync) -> None:
    """Nobody at the socket: told by check, refused by plan, and nothing is changed."""
    before = own_values(lab)
    assert lab.haproxy is not None
    lab.haproxy.stop()
    assert lbsync("check").code == ExitCode.ATTENTION
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    assert "lb1" in told.err
    assert own_values(lab) == before


def test_what_fails_is_taken_back(bring_up: Callable[..., Lab], lbsync: Lbsync) -> None:
    """IIS does not show Outlook Anywhere in time: the run goes back by itself, exit code 5, everything as before."""
    lab = bring_up({"limits": {"outlook_anywhere_wait_s": 0.5}}, oa_lag_s=3600.0)
    before = own_values(lab)
    told = lbsync("apply", "--yes", "--no-canary")
    assert told.code == ExitCode.TAKEN_BACK
    assert "everything is as it was before" in told.err
    assert "Going back" in told.out
    assert own_values(lab) == before
    assert "taken back" in lbsync("runs").out
    assert "Went back because" in lbsync("show").out


def test_a_foreign_change_stops_the_way_back(lab: Lab, lbsync: Lbsync) -> None:
    """What somebody else changed since is shown and not touched; --force puts back what was before."""
    before = own_values(lab)
    assert lbsync("apply", "--yes", "--no-canary").code == ExitCode.OK
    lab.farm.servers["EX01"].state.iis.write_ssl_flags("Default Web Site/owa", "Ssl")
    told = lbsync("rollback", "--no-canary")
    assert told.code == ExitCode.NOT_TAKEN_BACK
    assert "somebody else changed" in told.err
    assert "--force" in told.err
    assert lbsync("runs", "--json").document[0]["phase"] == "held"
    forced = lbsync("rollback", "--force", "--no-canary")
    assert forced.code == ExitCode.OK
    assert own_values(lab) == before


def test_verify_says_what_is_not_as_wanted(lab: Lab, lbsync: Lbsync) -> None:
    """Before anything is published every light is red, and the exit code says so."""
    told = lbsync("verify")
    assert told.code == ExitCode.NOT_PROVEN
    assert "red" in told.out


def test_confirm_keeps_an_applied_run(lab: Lab, lbsync: Lbsync, tmp_path: Path) -> None:
    """A run with --confirm-within waits; a word from another process keeps it."""
    process = spawn(lab, tmp_path / "state", "apply", "--yes", "--no-canary", "--confirm-within", "5m")
    try:
        seen = read_until(process, "lbsync confirm")
        assert any("nothing takes the run back by itself" in line for line in seen)
        assert lbsync("confirm").code == ExitCode.OK
        rest = process.communicate(timeout=60)[0]
        assert process.returncode == ExitCode.OK
        assert "it stays" in rest
    finally:
        process.kill()
        process.wait()
    again = lbsync("confirm")
    assert again.code == ExitCode.ERROR
    assert "does not wait" in again.err


def test_an_unconfirmed_run_goes_back(lab: Lab, lbsync: Lbsync) -> None:
    """Nobody said a word in time: everything is as before, exit code 5."""
    before = own_values(lab)
    told = lbsync("apply", "--yes", "--no-canary", "--confirm-within", "1s")
    assert told.code == ExitCode.TAKEN_BACK
    assert "nobody confirmed it in time" in told.out + told.err
    assert own_values(lab) == before


def test_ctrl_c_stops_between_steps_and_resume_goes_on(lab: Lab, lbsync: Lbsync, tmp_path: Path) -> None:
    """The operator stops it, is told what state things are in, and carries it on later."""
    process = spawn(lab, tmp_path / "state", "apply", "--yes", "--no-canary")
    try:
        read_until(process, "reload HAProxy")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == ExitCode.UNFINISHED
    assert "Stopping after the step under way" in rest
    assert "lbsync resume" in rest
    assert lbsync("runs", "--json").document[0]["interrupted"] is True
    assert lbsync("apply", "--yes").code == ExitCode.REFUSED  # the unfinished run comes first
    resumed = lbsync("resume")
    assert resumed.code == ExitCode.OK
    assert lbsync("plan").code == ExitCode.OK


@LONGER
def test_one_certificate_for_every_member(lab: Lab, lbsync: Lbsync, tmp_path: Path) -> None:
    """A distribution puts a file's certificate onto IIS 443 of every server, with Require SSL as it was."""
    bundle = lab.farm.ca.issue(
        ["mail.contoso.test", "autodiscover.contoso.test", *(server.fqdn for server in lab.farm.servers.values())]
    )
    (lab.directory / "new.pem").write_bytes(bundle.pem())
    text = lab.config.read_text().replace('source = "server"', 'source = "file"\nfile = "new.pem"')
    lab.config.write_text(text)
    flags = own_values(lab)
    assert lbsync("cert", "distribute", "--dry-run").code == ExitCode.ATTENTION
    told = lbsync("cert", "distribute", "--yes")
    assert told.code == ExitCode.OK, told.err
    assert {server.state.iis.bound for server in lab.farm.servers.values()} == {bundle.thumbprint}
    assert own_values(lab) == flags
    assert lbsync("cert", "distribute", "--yes").code == ExitCode.OK
    shown = lbsync("cert", "show")
    assert shown.code == ExitCode.OK
    assert bundle.thumbprint in shown.out
    assert lbsync("rollback", "--no-canary").code == ExitCode.OK
    assert {server.state.iis.bound for server in lab.farm.servers.values()} == {lab.farm.leaf.thumbprint}
