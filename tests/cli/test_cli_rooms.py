"""The command line's own rooms: redaction, logs, screens, the leaf, providers' settings, progress."""

from __future__ import annotations

import json
import logging
import signal
import threading
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import pytest
import structlog
import typer
from pydantic import BaseModel, SecretStr

from lbsync.cli import running
from lbsync.cli.command import Session, command
from lbsync.cli.evidence import expected
from lbsync.cli.house import Look, listeners
from lbsync.cli.leaf import find_leaf
from lbsync.cli.logs import LOG_NAME, details
from lbsync.cli.progress import Progress
from lbsync.cli.screen import Screen
from lbsync.cli.settings import prepared, with_secrets
from lbsync.cli.signals import stopping
from lbsync.config import BrokenConfig, load
from lbsync.engine import Asked, Recorded, Retrying, WaitingForConfirmation
from lbsync.errors import ConfigError, UnsafeChange
from lbsync.model import Check, CheckResult, Plan, Step, StepId
from lbsync.redact import HIDDEN, Redactor
from lbsync.run import (
    Awaiting,
    Direction,
    Event,
    Failed,
    Finished,
    Held,
    Intended,
    Interrupted,
    Run,
    RunStarted,
    TurnedBack,
    Verified,
)
from lbsync.target import Capabilities
from lbsync.testing.ca import TestCA
from lbsync.testing.farm_facts import desired as wish
from lbsync.testing.farm_facts import fact_set, leaf_info, server_facts

SECRET = "hunter2-ü/+"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def redactor() -> Redactor:
    """One that knows the secret."""
    known = Redactor()
    known.remember("env:PW", SecretStr(SECRET))
    return known


def test_the_details_log_is_private_and_redacted(tmp_path: Path) -> None:
    """What rooms say by structlog or by logging lands there as JSON lines, without secrets."""
    with details(tmp_path / "state", redactor()) as path:
        structlog.get_logger().warning("asked", password=SECRET, thing=SecretStr("x"))
        logging.getLogger("lbsync.exchange").info("shell for %s", SECRET)
        logging.getLogger("urllib3").debug("not ours, not this loud")
        try:
            int(SECRET)
        except ValueError:
            logging.getLogger("lbsync.engine").exception("failed")
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert SECRET not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == ["asked", f"shell for {HIDDEN}", "failed"]
    assert lines[1]["logger"] == "lbsync.exchange"


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    """Once, under another name."""
    (tmp_path / LOG_NAME).write_bytes(b"x" * 10_000_001)
    with details(tmp_path, Redactor()) as path:
        assert path.stat().st_size == 0
    assert (tmp_path / f"{LOG_NAME}.1").stat().st_size == 10_000_001


def test_an_unexpected_error_is_one_line_and_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback on the screen; all of it, redacted, in the private log that is named."""

    def fail(screen: Session) -> NoReturn:
        screen.redactor.remember("env:PW", SecretStr(SECRET))
        raise ZeroDivisionError(f"with {SECRET}")

    with pytest.raises(typer.Exit) as ended, command(state=tmp_path) as screen:
        fail(screen)
    told = capsys.readouterr().err
    assert ended.value.exit_code == 1
    assert "ZeroDivisionError" in told
    assert "Traceback" not in told
    assert str(tmp_path / LOG_NAME) in told
    log = (tmp_path / LOG_NAME).read_text()
    assert "Traceback" in log
    assert SECRET not in log + told


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Even then there is one message."""
    (tmp_path / "state").write_text("")
    with pytest.raises(typer.Exit), command(state=tmp_path / "state"):
        raise ZeroDivisionError
    assert "could not be written" in capsys.readouterr().err


def test_ctrl_c_outside_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was being changed, and that is said; 130 as shells have it."""
    with pytest.raises(typer.Exit) as ended, command(state=tmp_path):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert "nothing was being changed" in capsys.readouterr().err


def test_a_full_disk_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error of the file system names the place and what to do."""
    with pytest.raises(typer.Exit) as ended, command(state=tmp_path):
        raise OSError(28, "No space left on device", "/var/lib/x")
    told = capsys.readouterr().err
    assert ended.value.exit_code == 1
    assert "No space left on device" in told
    assert "/var/lib/x" in told
    assert "free space" in told


def test_every_reason_of_a_refusal_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, then the state and the remedy."""
    with pytest.raises(typer.Exit) as ended, command(state=tmp_path):
        raise UnsafeChange("no", reasons=("first thing", "second thing"), state="as before", remedy="mend it")
    told = capsys.readouterr().err
    assert ended.value.exit_code == 3
    for words in ("first thing", "second thing", "as before", "mend it"):
        assert words in told


def test_text_from_servers_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets stay what they are, secrets are hidden, long lines are not folded."""
    screen = Screen(redactor=redactor())
    screen.result("[bold]x[/bold] " + "long " * 60 + SECRET)
    told = capsys.readouterr().out
    assert told.startswith("[bold]x[/bold]")
    assert told.count("\n") == 1
    assert HIDDEN in told


def test_quiet_and_json_keep_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Notes are for people who wait; results are always shown, except beside JSON."""
    Screen(quiet=True).note("meanwhile")
    Screen(quiet=True).result("result")
    Screen(as_json=True).result("result")
    Screen(as_json=True).document({"a": "ü"})
    Screen().document({"a": 1})
    out, err = capsys.readouterr()
    assert out == 'result\n{\n  "a": "ü"\n}\n'
    assert err == ""


TOML = """version = 1
[farm]
name = "contoso"
[farm.winrm]
user = "u"
password = "env:PW"
[[servers]]
name = "EX01"
fqdn = "ex01.contoso.com"
[publish]
hosts = ["mail.contoso.test"]
[certificate]
"""


class Inner(BaseModel):
    """A table of a provider's."""

    password: SecretStr | None = None


class Settings(BaseModel):
    """A provider's settings with secrets and files."""

    token: SecretStr
    key: Path | None = None
    name: str = ""
    inner: Inner = Inner()


def test_secrets_of_a_provider_are_references(tmp_path: Path) -> None:
    """They are resolved when the balancer is opened; files start from the configuration."""
    loaded = load(TOML, base=tmp_path)
    raw = {"token": "env:T", "key": "k.pem", "name": "env:not-a-secret", "inner": {"password": "file:p"}}
    settings = prepared(Settings, loaded, ("balancers", 0, "settings"), raw)
    assert settings["key"] == str(tmp_path / "k.pem")
    opened = with_secrets(Settings, settings, lambda reference: SecretStr(f"value of {reference}"))
    model = Settings.model_validate(opened)
    assert model.token.get_secret_value() == "value of env:T"
    assert model.inner.password is not None
    assert model.inner.password.get_secret_value() == "value of file:p"
    assert model.name == "env:not-a-secret"


def test_a_plain_secret_of_a_provider_is_refused(tmp_path: Path) -> None:
    """At its line, and without repeating it."""
    with pytest.raises(BrokenConfig) as caught:
        prepared(Settings, load(TOML, base=tmp_path), ("farm",), {"token": "hunter2", "inner": {"password": "plain"}})
    assert len(caught.value.problems) == 2
    assert "hunter2" not in str(caught.value.problems)


def config(extra: str = "") -> Any:
    """A configuration whose certificate table ends with ``extra``."""
    return load(TOML + extra).config


def never() -> Any:
    """A file nobody may open."""
    raise ConfigError("the file was opened")


def test_the_leaf_is_the_one_all_servers_serve() -> None:
    """By default; exportable when one server gives it."""
    first, second = server_facts("EX01"), server_facts("EX02")
    locked = second.certificates[0].model_copy(update={"exportable": False})
    found = find_leaf(config(), [first, second.model_copy(update={"certificates": (locked,)})], never, NOW)
    assert found.info == leaf_info()
    assert found.exportable


def test_servers_that_serve_different_leaves_are_told_apart() -> None:
    """Each with its thumbprint."""
    found = find_leaf(config(), [server_facts("EX01"), server_facts("EX02", leaf_info(2))], never, NOW)
    assert found.info is None
    assert f"EX02 {leaf_info(2).thumbprint}" in found.problem


def test_a_server_without_a_certificate_on_443_is_named() -> None:
    """Its binding is missing, or holds one that is not in the store."""
    bare = server_facts("EX02").model_copy(update={"bindings": ()})
    assert "EX02" in find_leaf(config(), [server_facts("EX01"), bare], never, NOW).problem


def test_a_thumbprint_chooses_and_may_be_nowhere() -> None:
    """The configured one, wherever it is."""
    chosen = f'thumbprint = "{leaf_info(2).thumbprint}"\n'
    servers = [server_facts("EX01"), server_facts("EX02", leaf_info(2))]
    assert find_leaf(config(chosen), servers, never, NOW).info == leaf_info(2)
    assert "No server holds" in find_leaf(config(chosen), servers[:1], never, NOW).problem


def test_a_file_is_opened_and_its_chain_looked_at() -> None:
    """A missing issuer is told, and is not the end."""
    ca = TestCA.new()
    bundle = ca.issue(["mail.contoso.test"], key="ec256")
    whole = find_leaf(config('source = "file"\nfile = "a.pem"\n'), [], lambda: bundle, datetime.now(UTC))
    assert whole.info == bundle.info


STEPS = tuple(
    Step(id=StepId(f"s{number}"), target="EX01", summary=f"step {number}", until=()) for number in range(1, 4)
)


def begun() -> Run:
    """A run of three steps, none of them begun."""
    plan = Plan(farm="contoso", basis="b", steps=STEPS)
    return Run.begin(RunStarted(run_id="r1", plan=plan, actor="a", host="h", started=NOW))


def test_progress_in_a_pipe_tells_each_step_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Done, failed, gone back: a plain line each; quick steps make no noise before."""
    run = begun()
    events: list[Event] = [
        Intended(step=StepId("s1"), direction=Direction.DO),
        Verified(step=StepId("s1"), direction=Direction.DO),
        Finished(step=StepId("s1"), direction=Direction.DO),
        Intended(step=StepId("s2"), direction=Direction.DO),
        Failed(step=StepId("s2"), direction=Direction.DO, error="Rejected", reason="no room"),
        TurnedBack(reason="step 2: no room"),
    ]
    with Progress(Screen()) as progress:
        for event in events:
            run = run.feed(event)
            progress(Recorded(event, run))
        check = Check(target="EX01", verb="v", summary="it is up")
        progress(Asked(StepId("s3"), check, CheckResult(passed=False, detail="not yet"), 3.0))
        progress(Retrying(StepId("s1"), "EX01", "no answer", 2.0))
        progress(WaitingForConfirmation(run, 30.0))
        progress(Recorded(Awaiting(deadline=NOW + timedelta(minutes=10)), run))
        progress(Recorded(Held(step=StepId("s1"), before={}, left={}, now={}), run))
        progress(Recorded(Interrupted(), run))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("  ✓ EX01")
    assert "step 2: no room" in lines[1]
    assert lines[2] == "Going back: step 2: no room"
    assert "not yet" in lines[3]
    assert any("lbsync confirm r1" in line for line in lines)
    assert any("somebody else" in line for line in lines)
    assert lines[-1] == "Stopped between two steps."


def test_progress_draws_what_is_under_way() -> None:
    """On a terminal: a line per step under way, and a bar over all."""
    from rich.console import Console

    progress = Progress(Screen())
    console = Console(width=120, file=StringIO())
    console.print(progress.picture())
    event = Intended(step=StepId("s1"), direction=Direction.DO)
    progress(Recorded(event, begun().feed(event)))
    progress(WaitingForConfirmation(begun().feed(event), 30.0))
    console.print(progress.picture())
    text = str(console.file.getvalue()) if isinstance(console.file, StringIO) else ""
    assert "step 1" in text
    assert "0/3" in text
    assert "30 s left to confirm" in text


def test_signals_ask_for_a_stop_and_are_put_back() -> None:
    """The first Ctrl-C asks, the second is told to wait; a hang-up may be ignored; handlers are restored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    stop, said = threading.Event(), list[str]()
    with stopping(stop, said.append, ignore_hangup=True):
        signal.raise_signal(signal.SIGHUP)
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        signal.raise_signal(signal.SIGTERM)
    assert len(said) == 2
    assert {number: signal.getsignal(number) for number in before} == before
    stop.clear()
    with stopping(stop, said.append, ignore_hangup=False):
        signal.raise_signal(signal.SIGHUP)
    assert stop.is_set()


def test_what_the_service_wants_is_written_beside_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its order, where there is one; whatever else stands in that variable is none."""
    for told, order in (
        ("0123456789abcdef", "0123456789abcdef"),
        ("", None),
        ("0123456789abcdef\n", None),
        ("x" * 16, None),
    ):
        monkeypatch.setenv("LBSYNC_ORDER", told)
        assert running.order() == order


def test_no_handlers_outside_the_main_thread() -> None:
    """Python allows none there; the run goes on without."""
    ran = threading.Event()

    def inside() -> None:
        with stopping(threading.Event(), lambda _words: None, ignore_hangup=False):
            ran.set()

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert ran.is_set()


BALANCER = """
[[balancers]]
name = "{name}"
provider = "haproxy"
[balancers.listen]
address = "{name}.contoso.test"
https_port = 8443
"""


def test_a_listener_is_known_with_what_its_balancer_sees() -> None:
    """What the provider says of paths and of MRSProxy's name goes with its address into the view from outside."""
    published = TOML.replace("[certificate]", 'server_ca_file = "ca.pem"\n[certificate]')
    config = load(published + BALANCER.format(name="lb1") + BALANCER.format(name="lb2"), base=Path()).config
    blind = Capabilities(per_path_modes=False, filters_paths=False, mrsproxy_host="mrs.contoso.test")
    one, other = listeners(config, {"lb1": Capabilities(), "lb2": blind})
    assert (one.balancer, one.https_port, one.filters_paths, one.mrsproxy_host) == ("lb1", 8443, True, None)
    assert (other.balancer, other.filters_paths, other.mrsproxy_host) == ("lb2", False, "mrs.contoso.test")


@pytest.mark.parametrize(
    ("told", "enabled"),
    [
        ({"EX01": True, "EX02": True}, True),
        ({"ex01": False, "EX02": False}, False),
        ({"EX01": True, "EX02": False}, None),
        ({"EX01": False}, None),
        ({}, None),
    ],
)
def test_what_is_expected_from_outside(told: dict[str, bool], enabled: bool | None) -> None:
    """The wanted leaf and modes, and MRSProxy as AD has it where all members are alike."""
    facts = fact_set()
    facts = facts.model_copy(update={"farm": facts.farm.model_copy(update={"mrsproxy_enabled": told})})
    wanted = expected(Look(wish(), facts, NOW))
    assert (wanted.leaf, wanted.modes, wanted.mrsproxy_enabled) == (leaf_info().fingerprint, wish().modes, enabled)
    assert expected(Look(wish(leaf=None), facts, NOW)).leaf is None
