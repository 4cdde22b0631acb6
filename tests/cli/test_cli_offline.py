"""Commands that need no farm: help, configuration, an empty ledger, providers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbsync.cli.durations import seconds
from lbsync.cli.exits import ExitCode, code_of
from lbsync.errors import (
    ConfigError,
    ForeignChange,
    Interrupted,
    LbsyncError,
    RollbackIncomplete,
    StalePlan,
    UnsafeChange,
    UnsupportedMode,
    VerifyFailed,
)

ROOT = Path(__file__).resolve().parents[2]
Lbsync = Callable[..., Any]
GOOD = """version = 1
[farm]
name = "contoso"
[farm.winrm]
user = "u"
password = "env:PW"
[[servers]]
name = "EX01"
fqdn = "ex01.contoso.com"
[publish]
hosts = ["mail.contoso.com"]
"""
HAPROXY = """server_ca_file = "ca.pem"
[[balancers]]
name = "lb1"
provider = "haproxy"
[balancers.listen]
address = "192.0.2.10"
[balancers.settings]
"""


def _process(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "XDG_STATE_HOME": str(cwd)}
    return subprocess.run(
        [sys.executable, "-m", "lbsync", *words], capture_output=True, text=True, check=False, cwd=cwd, env=environ
    )


def test_the_real_program_answers(tmp_path: Path) -> None:
    """Help, a version, and a typing mistake that is an error and not "changes"."""
    assert "rollback" in _process("--help", cwd=tmp_path).stdout
    assert _process("--version", cwd=tmp_path).stdout.startswith("lbsync 0.")
    wrong = _process("plan", "--no-such-option", cwd=tmp_path)
    assert wrong.returncode == ExitCode.ERROR
    assert "no-such-option" in wrong.stderr
    assert _process("confgi", cwd=tmp_path).returncode == ExitCode.ERROR


def test_no_words_show_help_and_are_no_success(tmp_path: Path) -> None:
    """Calling it bare shows what there is."""
    bare = _process(cwd=tmp_path)
    assert bare.returncode == ExitCode.ERROR
    assert "Usage" in bare.stdout + bare.stderr


def test_no_colour_without_a_terminal(tmp_path: Path) -> None:
    """A pipe gets text, no escape sequences."""
    (tmp_path / "lbsync.toml").write_text("nonsense")
    told = _process("config", "check", cwd=tmp_path)
    assert told.returncode == ExitCode.ERROR
    assert "\x1b" not in told.stdout + told.stderr
    assert "Traceback" not in told.stderr


def test_a_missing_configuration_says_where_one_belongs(lbsync: Lbsync) -> None:
    """The first thing a new user meets."""
    told = lbsync("check")
    assert told.code == ExitCode.ERROR
    assert "there is no configuration file" in told.err
    assert "lbsync.toml" in told.err
    assert "config.example.toml" in told.err


def test_every_fault_of_a_configuration_is_told(lbsync: Lbsync, tmp_path: Path) -> None:
    """Each with its line and what to write, then how many there are."""
    (tmp_path / "lbsync.toml").write_text(GOOD.replace("fqdn", "fqnd").replace('"env:PW"', '"hunter2"'))
    told = lbsync("config", "check")
    assert told.code == ExitCode.ERROR
    assert "lbsync.toml:9: servers.fqnd" in told.err
    assert 'did you mean "fqdn"?' in told.err
    assert "3 faults in the configuration" in told.err
    assert "nothing was changed" in told.err
    assert "hunter2" not in told.err + told.out


def test_faults_as_json(lbsync: Lbsync, tmp_path: Path) -> None:
    """A machine gets the same, with the class of the error and each problem."""
    (tmp_path / "lbsync.toml").write_text(GOOD.replace("fqdn", "fqnd"))
    told = lbsync("config", "check", "--json")
    error = told.document["error"]
    assert error["kind"] == "BrokenConfig"
    assert [problem["where"] for problem in error["problems"]] == [
        "lbsync.toml:7: servers.fqdn",
        "lbsync.toml:9: servers.fqnd",
    ]


def test_files_named_must_be_there(lbsync: Lbsync, tmp_path: Path) -> None:
    """A CA file that is not there is found before any server is asked, at its line."""
    (tmp_path / "lbsync.toml").write_text(GOOD.replace('user = "u"', 'user = "u"\nca_file = "none.pem"'))
    told = lbsync("config", "check")
    assert told.code == ExitCode.ERROR
    assert f"there is no file {tmp_path / 'none.pem'}" in told.err
    assert "lbsync.toml:6: farm.winrm.ca_file" in told.err


def test_a_configuration_that_is_no_text(lbsync: Lbsync, tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and a folder in the file's place."""
    (tmp_path / "lbsync.toml").write_bytes(b"\xff\xfe")
    assert "no UTF-8" in lbsync("config", "check").err
    assert "cannot be read" in lbsync("config", "check", "--config", tmp_path).err


def test_settings_of_a_provider_are_judged_at_their_line(lbsync: Lbsync, tmp_path: Path) -> None:
    """Unknown and wrong settings, whichever provider they belong to."""
    (tmp_path / "ca.pem").write_text("x")
    (tmp_path / "lbsync.toml").write_text(GOOD + HAPROXY + 'sokcet = "/run/x"\nhttps_port = 0\n')
    told = lbsync("config", "check")
    assert told.code == ExitCode.ERROR
    assert "lbsync.toml:19: balancers.settings.sokcet" in told.err
    assert 'did you mean "socket"?' in told.err
    assert "lbsync.toml:20: balancers.settings.https_port" in told.err


def test_an_unknown_provider_is_told_at_its_line(lbsync: Lbsync, tmp_path: Path) -> None:
    """With the providers that are installed."""
    (tmp_path / "ca.pem").write_text("x")
    (tmp_path / "lbsync.toml").write_text(GOOD + HAPROXY.replace('"haproxy"', '"haprxy"'))
    told = lbsync("config", "check")
    assert 'no provider is called "haprxy"' in told.err
    assert "lbsync.toml:15: balancers.provider" in told.err
    assert "haproxy" in told.err


def test_a_right_configuration_is_said_to_be(lbsync: Lbsync, tmp_path: Path) -> None:
    """In words, and as JSON."""
    (tmp_path / "lbsync.toml").write_text(GOOD)
    assert "is right" in lbsync("config", "check").out
    assert lbsync("config", "check", "--json").document["valid"] is True


def test_the_schema_is_printed_as_published(lbsync: Lbsync) -> None:
    """The file in docs and the command agree."""
    assert lbsync("config", "schema").out == (ROOT / "docs" / "config.schema.json").read_text()


def test_before_the_first_run(lbsync: Lbsync, tmp_path: Path) -> None:
    """Listing says that there is none and makes no file; what needs a run says so."""
    assert "No run has been made yet" in lbsync("runs").out
    assert lbsync("runs", "--json").document == []
    for words in (["show"], ["confirm"], ["rollback"], ["resume"]):
        told = lbsync(*words)
        assert told.code == ExitCode.ERROR
        assert "no run has been made yet" in told.err
    assert not (tmp_path / "state").exists()


def test_providers_and_their_settings(lbsync: Lbsync) -> None:
    """Which there are, and what one takes."""
    assert "haproxy" in lbsync("providers").out
    assert [row["state"] for row in lbsync("providers", "--json").document if row["name"] == "haproxy"] == ["ready"]
    settings = lbsync("providers", "haproxy").out
    assert "master_socket" in settings
    assert "systemd" in settings
    assert "properties" in lbsync("providers", "haproxy", "--json").document
    assert lbsync("providers", "nothing").code == ExitCode.ERROR


def test_a_broken_provider_is_shown_beside_the_others(
    lbsync: Lbsync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names itself, and the rest is listed all the same."""
    info = tmp_path / "site" / "acme_cli_broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "acme_cli_broken.py").write_text("raise RuntimeError('boom')")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-cli-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lbsync.providers]\nacme = acme_cli_broken:plugin\n")
    monkeypatch.syspath_prepend(info.parent)
    told = lbsync("providers", "--json")
    assert told.code == ExitCode.ATTENTION
    states = {row["name"]: row["state"] for row in told.document}
    assert "boom" in states["acme"]
    assert states["haproxy"] == "ready"


def test_a_lab_that_is_not_up(lbsync: Lbsync) -> None:
    """Asking after it, or ending it, says how to start one."""
    for words in (["lab", "state"], ["lab", "down"]):
        told = lbsync(*words)
        assert told.code == ExitCode.ERROR
        assert "lbsync lab up" in told.err


def test_the_rehearsal_says_what_it_lacks(lbsync: Lbsync, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the HAProxy that was named is not there, the demo names it and ends."""
    monkeypatch.setenv("LBSYNC_HAPROXY", str(tmp_path / "no-haproxy"))
    told = lbsync("lab", "demo", "--servers", "1")
    assert told.code == ExitCode.ERROR
    assert "no-haproxy" in told.err


def test_a_plan_file_that_is_none(lbsync: Lbsync, tmp_path: Path) -> None:
    """Refused before anything else happens; a duration that is none, too."""
    assert lbsync("apply", "--confirm-within", "soon").code != 0
    (tmp_path / "lbsync.toml").write_text(GOOD)
    assert lbsync("apply", "plan.json").code == ExitCode.ERROR  # the password is not in the environment
    assert "env:PW" in lbsync("apply", "plan.json").err


@pytest.mark.parametrize("words", ["um", "smtp,federation", ""])
def test_a_service_that_gets_no_certificate(lbsync: Lbsync, words: str) -> None:
    """Those that may be named are listed before anything is opened."""
    told = lbsync("rotate", "--also", words)
    assert told.code == ExitCode.ERROR
    assert "--also takes smtp, imap and pop" in " ".join(told.err.split())
    assert "nothing was changed" in told.err


@pytest.mark.parametrize(
    "words",
    [
        ("rotate", "--keep-going", "--maintenance"),
        ("rotate", "--keep-going", "--confirm-within", "10m"),
        ("watch", "--monitor", "--json"),
        ("prepare", "ep", "--check", "--yes"),
    ],
)
def test_options_that_contradict_each_other(lbsync: Lbsync, words: tuple[str, ...]) -> None:
    """A wrong line; the program itself makes ExitCode.ERROR of typer's 2."""
    told = lbsync(*words)
    assert told.code
    assert next(word for word in words if word.startswith("--")) in told.err


def test_a_monitor_is_told_in_one_line_what_kept_it_from_looking(lbsync: Lbsync) -> None:
    """Without a configuration nobody knows anything: UNKNOWN, as the plugins' guidelines have it."""
    told = lbsync("watch", "--monitor")
    assert told.code == 3
    assert told.out.startswith("LBSYNC UNKNOWN - ")
    assert "there is no configuration file" in told.out


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("10m", 600), ("2h", 7200), ("45", 45), (" 1 M ", 60)])
def test_durations(text: str, value: float) -> None:
    """Seconds, minutes, hours."""
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 1),
        (LbsyncError("x"), 1),
        (UnsafeChange("x"), 3),
        (UnsupportedMode("x"), 3),
        (StalePlan("x"), 3),
        (VerifyFailed("x"), 4),
        (Interrupted("x"), 6),
        (ForeignChange("x"), 7),
        (RollbackIncomplete("x"), 7),
    ],
)
def test_exit_codes_are_stable(error: LbsyncError, code: int) -> None:
    """Scripts rely on these numbers."""
    assert code_of(error) == code


def test_a_state_folder_that_is_a_file(lbsync: Lbsync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk says no before anything is asked: one message, no traceback."""
    (tmp_path / "lbsync.toml").write_text(GOOD)
    (tmp_path / "state").write_text("")
    monkeypatch.setenv("PW", "x")
    told = lbsync("check")
    assert told.code == ExitCode.ERROR
    assert str(tmp_path / "state") in told.err
    assert json.dumps(told.err).count("Error:") == 1
