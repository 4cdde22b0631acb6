"""Bad input, one thing at a time: one clear message, a non-zero exit, nothing changed, no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.lab.farm import LabFarm
from lbsync.testing.ca import TestCA
from lbsync_certs.pfx import write_pfx

Lbsync = Callable[..., Any]
Rehearse = Callable[..., Any]


def own_values(farm: LabFarm) -> dict[str, dict[str, str | None]]:
    """What a rollback would have to leave as it is."""
    return {name: dict(server.state.iis.own_values()) for name, server in farm.servers.items()}


def errors(told: Any) -> int:
    """How many errors were told."""
    return int(told.err.count("Error:"))


def test_a_wrong_password_is_tried_once(lbsync: Lbsync, rehearsal: Rehearse, monkeypatch: pytest.MonkeyPatch) -> None:
    """One rejected login ends it, for all servers: accounts lock out. The password is not shown."""
    farm = rehearsal(servers=4).farm
    monkeypatch.setenv("LBSYNC_WINRM_PASSWORD", "wr0ng-password")
    told = lbsync("check")
    assert told.code == ExitCode.ERROR
    assert errors(told) == 1
    assert "rejected" in told.err
    assert "wr0ng-password" not in told.err + told.out
    assert sum(server.state.winrm.rejected_logons for server in farm.servers.values()) == 1


def test_a_password_that_is_nowhere(lbsync: Lbsync, rehearsal: Rehearse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, and no server is asked."""
    farm = rehearsal().farm
    monkeypatch.delenv("LBSYNC_WINRM_PASSWORD")
    told = lbsync("plan")
    assert told.code == ExitCode.ERROR
    assert "env:LBSYNC_WINRM_PASSWORD" in told.err
    assert sum(server.state.winrm.requests for server in farm.servers.values()) == 0


def test_an_unreachable_server_is_named_and_the_rest_is_shown(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """Checking shows who answered and says who did not; plan judges no half farm."""
    started = rehearsal()
    text = started.config.read_text()
    port = started.farm.servers["EX02"].winrm_port
    started.config.write_text(text.replace(f"winrm_port = {port}", "winrm_port = 1"))
    told = lbsync("check")
    assert told.code == ExitCode.ERROR
    assert "EX01" in told.out
    assert "EX02" in told.err
    assert errors(told) == 1
    planned = lbsync("plan")
    assert planned.code == ExitCode.ERROR
    assert "EX02" in planned.err
    assert "Plan" not in planned.out


def test_two_servers_that_differ(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """Drift is named by server, of which each by itself is fine; with allow_drift it is levelled."""
    started = rehearsal()
    iis = started.farm.servers["EX02"].state.iis
    iis.write_ssl_flags("Default Web Site/EWS", "Ssl")
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    assert "EX02" in told.err
    assert lbsync("advise").code == ExitCode.ATTENTION
    assert lbsync("advise", "--only", "EX02").code == ExitCode.OK
    started.rewrite(modes={"default": "offload"}, limits={"allow_drift": True})
    assert lbsync("plan").code == ExitCode.ATTENTION


def test_different_certificates_on_the_servers(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """Which one is meant cannot be told: both are named, with the remedy."""
    rehearsal(different_certificate=("EX02",))
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    assert "serve different certificates" in told.err
    assert "thumbprint" in told.err
    shown = lbsync("cert", "show")
    assert shown.code == ExitCode.ATTENTION
    assert "serve different certificates" in shown.out


def test_a_pfx_with_a_wrong_password(
    lbsync: Lbsync, rehearsal: Rehearse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is named, the password is not."""
    bundle = TestCA.new().issue(["mail.contoso.test", "autodiscover.contoso.test"], key="ec256")
    (tmp_path / "mail.pfx").write_bytes(write_pfx(bundle, b"right"))
    monkeypatch.setenv("PFX", "wr0ng-password")
    rehearsal({"certificate": {"source": "file", "file": "mail.pfx", "password": "env:PFX"}})
    told = lbsync("plan")
    assert told.code == ExitCode.ERROR
    assert "mail.pfx" in told.err
    assert "wr0ng-password" not in told.err + told.out
    assert errors(told) == 1
    monkeypatch.setenv("PFX", "right")
    assert lbsync("plan").code in {ExitCode.ATTENTION, ExitCode.REFUSED}


def test_an_expired_certificate_file(lbsync: Lbsync, rehearsal: Rehearse, tmp_path: Path) -> None:
    """Opened well, judged unfit: the plan is refused with the date and the missing name."""
    from datetime import UTC, datetime, timedelta

    old = datetime.now(UTC) - timedelta(days=400)
    bundle = TestCA.new().issue(["mail.contoso.test"], key="ec256", days=30, not_before=old)
    (tmp_path / "mail.pem").write_bytes(bundle.pem())
    rehearsal({"certificate": {"source": "file", "file": "mail.pem"}})
    told = lbsync("plan")
    assert told.code == ExitCode.REFUSED
    assert "ended on" in told.err
    assert "autodiscover.contoso.test" in told.err


def test_set_up_at_work(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """Nothing is planned while Exchange set-up runs; --json carries every reason."""
    farm = rehearsal().farm
    farm.servers["EX01"].state.setup_running = True
    told = lbsync("plan", "--json")
    assert told.code == ExitCode.REFUSED
    error = told.document["error"]
    assert error["kind"] == "UnsafeChange"
    assert any("set-up" in reason for reason in error["reasons"])


def test_a_saved_plan_goes_stale_and_cannot_be_edited(lbsync: Lbsync, rehearsal: Rehearse, tmp_path: Path) -> None:
    """What was approved is applied, or nothing is."""
    farm = rehearsal().farm
    assert lbsync("plan", "--out", "plan.json").code == ExitCode.ATTENTION
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o600
    edited = (tmp_path / "plan.json").read_text().replace("owa", "ecp")
    (tmp_path / "edited.json").write_text(edited)
    told = lbsync("apply", "edited.json", "--yes")
    assert told.code == ExitCode.REFUSED
    assert "changed after it was saved" in told.err
    (tmp_path / "none.json").write_text("{}")
    assert lbsync("apply", "none.json", "--yes").code == ExitCode.REFUSED
    assert lbsync("apply", "absent.json", "--yes").code == ExitCode.REFUSED
    for server in farm.servers.values():
        server.state.iis.write_ssl_flags("Default Web Site/OAB", None)
    before = own_values(farm)
    told = lbsync("apply", "plan.json", "--yes")
    assert told.code == ExitCode.REFUSED
    assert "changed since this plan was made" in told.err
    assert own_values(farm) == before


def test_nobody_to_ask(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """Without --yes and without a terminal nothing is applied."""
    farm = rehearsal().farm
    before = own_values(farm)
    told = lbsync("apply")
    assert told.code == ExitCode.REFUSED
    assert "--yes" in told.err
    assert own_values(farm) == before


def test_an_account_without_rights(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """Facts may be read, nothing may be planned: rights come first."""
    rehearsal(administrator=False)
    told = lbsync("plan")
    assert told.code in {ExitCode.REFUSED, ExitCode.ERROR}
    assert "dministrator" in told.err


def test_mrsproxy_is_never_offloaded(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """Asked for by name it is refused, with its reason on request."""
    rehearsal({"modes": {"default": "bridge", "mrsproxy": "offload"}})
    assert lbsync("plan").code == ExitCode.REFUSED
    told = lbsync("advise", "--explain", "mrsproxy")
    assert told.code == ExitCode.ATTENTION
    assert "refused" in told.out
    assert "Possible now: bridge" in told.out
    assert "offload (wanted): must not" in told.out
    assert "bridge: must, because of never-offloaded" in told.out
    assert "source: Microsoft: Configuring SSL offloading in Exchange 2013" in told.out


def test_extended_protection_forbids_offload(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """Told per service, with the verdict in JSON too."""
    rehearsal({"modes": {"default": "offload"}}, extended_protection=True)
    told = lbsync("advise", "--json")
    assert told.code == ExitCode.ATTENTION
    verdicts = {verdict["service"]: verdict for verdict in told.document["services"]}
    assert any(finding["severity"] == "refuse" for finding in verdicts["owa"]["findings"])


def test_verify_without_a_balancer(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """There is nothing to look at from outside, and that is said."""
    rehearsal()
    told = lbsync("verify")
    assert told.code == ExitCode.ERROR
    assert "[[balancers]]" in told.err


def test_a_certificate_request(lbsync: Lbsync, rehearsal: Rehearse, tmp_path: Path) -> None:
    """Made once and found again, on the server named; a server that is not there is told."""
    farm = rehearsal().farm
    first = lbsync("cert", "request", "--server", "EX02")
    assert first.code == ExitCode.OK
    assert "BEGIN NEW CERTIFICATE REQUEST" in first.out
    assert "is pending now on EX02" in first.err
    again = lbsync("cert", "request", "--server", "EX02", "--out", "mail.req")
    assert "was pending already" in again.err
    assert (tmp_path / "mail.req").read_text() == first.out
    assert sum(entry.pending for entry in farm.servers["EX02"].state.store.entries.values()) == 1
    assert lbsync("cert", "request", "--server", "EX09").code == ExitCode.ERROR
