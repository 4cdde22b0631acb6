"""What a person reads of facts, of several failures, of files that cannot be read or written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbsync.cli.factsview import balancer_row
from lbsync.cli.house import together
from lbsync.cli.opening import open_config
from lbsync.cli.planfile import save_plan
from lbsync.errors import LbsyncError, Unreachable
from lbsync.facts import BalancerFacts, BalancerLive, MemberLive
from lbsync.model import Mode, Plan
from lbsync.services import Service
from lbsync.testing.farm_facts import balancer_facts

Lbsync = Callable[..., Any]


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
