"""Preparing a farm for Extended Protection: judged, met as far as lbsync can, judged again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lbsync.cli.demandview import demands_view, next_view
from lbsync.cli.exits import ExitCode
from lbsync.facts import TokenChecking
from lbsync.protection import Demand
from lbsync.services import Service
from lbsync.testing.farm_facts import fact_set, vdir_facts

Lbsync = Callable[..., Any]
Rehearse = Callable[..., Any]


def test_what_can_be_met_is_met_and_the_rest_is_told(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """Another certificate on one server and SSLOffloading in AD are two plans; nobody can see what stands before the servers."""
    started = rehearsal(oa_offloaded=True, different_certificate=("EX02",))
    told = lbsync("prepare", "ep", "--check")
    assert told.code == ExitCode.ATTENTION
    assert "serve different certificates" in told.out
    assert "do what stands there, then run lbsync prepare ep again" in told.out
    thumbprint = started.farm.leaf.thumbprint
    started.rewrite(modes={"default": "bridge"}, certificate={"source": "server", "thumbprint": thumbprint})
    told = lbsync("prepare", "ep")
    assert told.code == ExitCode.REFUSED
    assert "not approved" in told.err
    states = started.farm.state
    assert all(one.ssl_offloading for one in states.directory.outlook_anywhere.values())
    told = lbsync("prepare", "ep", "--yes", "--json")
    assert told.code == ExitCode.ATTENTION
    demands = {one["id"]: one["state"] for one in told.document["demands"] if one["decides"]}
    assert {name for name, state in demands.items() if state != "met"} == {"bridging"}
    assert told.document["next"] == []
    assert {server.iis.bound for server in states.servers.values()} == {thumbprint}
    assert not any(one.ssl_offloading for one in states.directory.outlook_anywhere.values())
    assert len(lbsync("runs", "--json").document) == 2


def test_a_run_that_fails_is_taken_back_and_told(lbsync: Lbsync, rehearsal: Rehearse) -> None:
    """IIS never shows what AD holds: the code is that of any run, and machines get the run."""
    options = {"modes": {"default": "bridge"}, "limits": {"outlook_anywhere_wait_s": 0.2}}
    started = rehearsal(options, oa_offloaded=True, oa_lag_s=300.0)
    told = lbsync("prepare", "ep", "--yes", "--json")
    assert told.code == ExitCode.TAKEN_BACK
    assert told.document["phase"] == "undone"
    assert all(one.ssl_offloading for one in started.farm.state.directory.outlook_anywhere.values())


def words(parts: object) -> str:
    """What a person reads."""
    return "\n".join(str(part) for part in parts)  # type: ignore[attr-defined]


def test_demands_are_shown_with_what_to_do() -> None:
    """What hurts later only is said to be no demand of the script; by hand is apart."""
    later = Demand(id="rotation", question="q", state="not met", decides=False, reason="why", remedy="mend it")
    by_hand = Demand(id="tls", question="q", state="not known", seen_by="you", decides=False)
    told = words(demands_view("Title", [later, by_hand]))
    assert "✗ rotation          q (not demanded by the script)" in told
    assert "do: mend it" in told
    assert "To look at by hand" in told
    assert "by hand" not in words(demands_view("Title", [later]))


def test_nothing_is_to_be_run_where_it_is_on() -> None:
    """Everywhere: nothing; on some: told, and the commands."""
    first, second = fact_set().servers
    on = first.model_copy(update={"vdirs": (vdir_facts(Service.OWA, TokenChecking.REQUIRE),)})
    assert "-ExchangeServerNames" not in words(next_view([on]))
    told = words(next_view([on, second]))
    assert "on already on EX01" in told
    assert "-ExchangeServerNames EX01,EX02" in told
    assert "already" not in words(next_view([second]))
