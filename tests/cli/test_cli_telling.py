"""What a person reads of facts, of several failures, of files that cannot be read or written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbsync.cli.exits import ExitCode
from lbsync.cli.factsview import balancer_row
from lbsync.cli.house import together
from lbsync.cli.opening import open_config
from lbsync.cli.planfile import save_plan
from lbsync.errors import LbsyncError, Unreachable
from lbsync.facts import BalancerFacts, BalancerLive, MemberLive
from lbsync.ledger import Ledger, RunLock
from lbsync.model import Mode, Plan
from lbsync.services import Service
from lbsync.testing.farm_facts import balancer_facts
from lbsync.testing.history import intended, started

Lbsync = Callable[..., Any]
RUN = "20260101-120000-aaaa"

# Ctrl-C as it may come: while Python still reads the libraries.
EARLY_CTRL_C = """
import sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from lbsync.cli import main
main()
"""


def with_members(modes: dict[Service, Mode], *members: tuple[str, Service, Mode, bool]) -> BalancerFacts:
    """A balancer with these pools."""
    live = BalancerLive(members=tuple(MemberLive(server=s, service=v, mode=m, up=up) for s, v, m, up in members))
    return balancer_facts(modes=modes).model_copy(update={"live": live})


def test_members_are_judged_by_the_pools_in_use() -> None:
    """The offload pool of a bridged service is down always, since Require SSL is on: that is no failure."""
    seen = with_members(
        {Service.OWA: Mode.OFFLOAD, Service.ECP: Mode.BRIDGE},
        ("EX01", Service.OWA, Mode.OFFLOAD, True),
        ("EX01", Service.ECP, Mode.BRIDGE, True),
        ("EX01", Service.ECP, Mode.OFFLOAD, False),
        ("EX02", Service.OWA, Mode.OFFLOAD, False),
        ("EX02", Service.ECP, Mode.BRIDGE, True),
    )
    assert balancer_row(seen)["members"] == "1 of 2 up (down: EX02)"


def test_several_failures_are_told_once_each_with_every_remedy() -> None:
    """The server through which the directory is read fails twice in the same words."""
    first = Unreachable("no answer", where="EX01", remedy="look at the cable")
    second = Unreachable("wrong CA", where="EX02", remedy="give the right one")
    told = together([first, Unreachable("no answer", where="EX01", remedy="look at the cable"), second])
    assert told.message == "2 could not be asked: EX01: no answer; EX02: wrong CA"
    assert told.remedy == "look at the cable; give the right one"
    assert together([first, first]) is first


def test_a_configuration_as_windows_editors_write_it(tmp_path: Path) -> None:
    """A byte order mark and CRLF are no fault; a fault behind them is told at its line."""
    file = tmp_path / "lbsync.toml"
    file.write_bytes(b"\xef\xbb\xbfversion = 2\r\n")
    with pytest.raises(LbsyncError) as caught:
        open_config(file)
    assert "TOML" not in str(caught.value)
    assert any(f"{file}:1" in str(one) for one in getattr(caught.value, "problems", ()))


@pytest.mark.parametrize("name", ["nowhere/plan.json", "folder"])
def test_a_plan_that_cannot_be_saved_names_its_file(tmp_path: Path, name: str) -> None:
    """The file that was asked for, not a temporary name; nothing stays behind."""
    (tmp_path / "folder").mkdir()
    empty = Plan(farm="contoso", basis="none", steps=())
    with pytest.raises(LbsyncError, match="cannot be saved") as caught:
        save_plan(empty, tmp_path / name)
    assert caught.value.where == str(tmp_path / name)
    assert caught.value.state == "nothing was changed"
    assert [left.name for left in tmp_path.iterdir()] == ["folder"]


def test_no_runs_names_the_folder_that_was_looked_into(lbsync: Lbsync, tmp_path: Path) -> None:
    """A mistyped --state is seen at once."""
    told = lbsync("runs", "--state", str(tmp_path / "mistyped"))
    assert str(tmp_path / "mistyped") in told.out.replace("\n", "")


def test_a_ledger_without_runs_is_no_bare_table(lbsync: Lbsync, tmp_path: Path) -> None:
    """It exists, since a run was begun and its disk was full, say."""
    Ledger(tmp_path / "state" / "ledger.db").close()
    assert "No run has been made yet" in lbsync("runs").out
    assert lbsync("runs", "--json").document == []


def test_an_unfinished_run_is_told_before_the_farm_is_looked_at(lbsync: Lbsync, tmp_path: Path) -> None:
    """A farm half-way has members that differ: advice to level them would be wrong now. Not even a configuration is read."""
    with Ledger(tmp_path / "state" / "ledger.db") as ledger:
        ledger.append(RUN, started(RUN))
        ledger.append(RUN, intended(x="1"))
    told = lbsync("apply", "--yes")
    assert told.code == ExitCode.REFUSED
    assert f"run {RUN} is unfinished" in told.err
    assert f"lbsync rollback {RUN}" in told.err
    told = lbsync("plan")
    assert f"run {RUN} is unfinished" in told.err


def test_a_run_at_work_is_told_before_the_farm_is_looked_at(lbsync: Lbsync, tmp_path: Path) -> None:
    """The run is unfinished too, but to resume it would be the wrong advice."""
    path = tmp_path / "state" / "ledger.db"
    with Ledger(path) as ledger:
        ledger.append(RUN, started(RUN))
    with RunLock(path, RUN):
        told = lbsync("apply", "--yes")
    assert told.code == ExitCode.ERROR
    assert "another run is under way" in told.err
    assert "resume" not in told.err


def test_ctrl_c_at_the_very_start_is_no_traceback() -> None:
    """Its exit code is that of an interruption."""
    done = subprocess.run([sys.executable, "-c", EARLY_CTRL_C], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in done.stderr


def test_a_plan_is_shown_beside_a_damaged_ledger(lbsync: Lbsync, tmp_path: Path) -> None:
    """It changes nothing: the damage is a warning, and what comes next is told."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger.db").write_bytes(b"\xa5" * 8192)
    told = lbsync("plan")
    assert "Warning: the file is no ledger" in told.err
    assert "there is no configuration file" in told.err
