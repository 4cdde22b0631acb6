"""The server state file and the workers of before a reload: text in, values out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lbsync.kit.seal import body_of
from lbsync.services import SERVICES
from lbsync_haproxy import layout, wire
from lbsync_haproxy.judge import judge
from lbsync_haproxy.render import render
from lbsync_haproxy.states import NEUTRAL, begins, not_ready, state_text
from lbsync_haproxy.wire import ServerRow
from tests.haproxy.test_haproxy_pure import BRIDGED, SETTINGS, SPEC, seen


def row(pool: str, server: str, *, draining: bool = False, forced: bool = False) -> ServerRow:
    """A healthy server."""
    return ServerRow(pool, server, True, True, draining, forced, forced, 0, "L7OK")


def test_only_servers_that_are_not_ready_stand_in_the_state_file() -> None:
    """A change by name holds in our pools; others of somebody else's go on as they are."""
    rows = (
        row("ex_owa_bridge", "EX01"),
        row("ex_owa_bridge", "EX02", draining=True),
        row("ex_ews_bridge", "EX02", forced=True),
        row("admin_own", "EX01", draining=True),
    )
    kept = {("ex_owa_bridge", "EX02"): "drain", ("ex_ews_bridge", "EX02"): "maint", ("admin_own", "EX01"): "drain"}
    assert not_ready(rows) == kept
    assert not_ready(rows, {"EX01": "drain", "EX02": "ready"}) == {
        ("ex_owa_bridge", "EX01"): "drain",
        ("admin_own", "EX01"): "drain",
    }


@pytest.mark.parametrize("quiet", [False, True])
def test_the_state_file_has_the_ports_and_numbers_of_its_configuration(quiet: bool) -> None:
    """Address families and names make no difference; who is not configured is left out."""
    configuration = body_of(render(SPEC, SETTINGS, BRIDGED)[layout.CFG])
    places = {("ex_owa_bridge", "EX02"): "drain", ("ex_owa_offload", "EX03"): "maint", ("ex_gone", "EX01"): "drain"}
    text = state_text(configuration, 7, places, quiet=quiet)
    assert text.startswith(NEUTRAL)
    lines = {(fields[1], fields[3]): fields for fields in map(str.split, text.removeprefix(NEUTRAL).splitlines())}
    assert set(lines) == {("ex_owa_bridge", "EX02"), ("ex_owa_offload", "EX03")}
    assert {len(fields) for fields in lines.values()} == {20}
    assert lines["ex_owa_bridge", "EX02"][18] == "8443"
    assert lines["ex_owa_offload", "EX03"][18] == "80"
    proxies = [line.split()[1] for line in configuration.splitlines() if line.startswith(("frontend", "backend"))]
    assert {pool: int(fields[0]) for (pool, _), fields in lines.items()} == {
        pool: 7 + proxies.index(pool) for pool in ("ex_owa_bridge", "ex_owa_offload")
    }
    drained = "maint" if quiet else "drain"
    assert begins(text) == {("ex_owa_bridge", "EX02"): drained, ("ex_owa_offload", "EX03"): "maint"}


@pytest.mark.parametrize("text", [None, "", "garbage", NEUTRAL, "1\nex_owa_bridge EX01\n", f"1\n{'x ' * 20}\n"])
def test_a_state_file_that_says_nothing_drains_nobody(text: str | None) -> None:
    """Nor one that is damaged."""
    assert begins(text) == {}


def test_old_workers_are_those_of_their_section_alone() -> None:
    """The master, the worker of now and programs are none; nor is a master that says nothing."""
    head = "#<PID>          <type>          <reloads>       <uptime>        <version>\n"
    text = (
        f"{head}10              master          3 [failed: 0]   0d00h00m59s     2.6.12\n"
        "# workers\n30              worker          0               0d00h00m01s     2.6.12\n"
        "# old workers\n20              worker          1               0d00h00m02s     2.6.12\n"
        "15              worker          2               0d00h00m12s     2.6.12\n"
        "# programs\n12              worker          0               0d00h00m59s     -\n"
    )
    assert wire.lists_workers(text)
    assert wire.old_workers(text) == (20, 15)
    assert not wire.lists_workers("")
    assert wire.old_workers("") == ()


def test_sessions_are_told_by_server_and_pool() -> None:
    """Those of other servers, of other pools and without a server are left alone."""
    text = "\n".join(
        f"0x55d{number}: proto=tcpv4 src=10.0.0.9:5 fe=ex_https be={pool} srv={server} ts=00 age=1s calls=2"
        for number, (pool, server) in enumerate(
            [("ex_owa_bridge", "EX01"), ("ex_owa_bridge", "EX02"), ("own", "EX01"), ("ex_ews_bridge", "<none>")]
        )
    )
    assert wire.sessions_at(text, "EX01", {"ex_owa_bridge", "ex_ews_bridge"}) == ("0x55d0",)


def test_a_drain_that_the_next_start_would_forget_is_told() -> None:
    """And one that it would bring back, after somebody made the server ready by hand."""
    look = seen()
    assert look.running is not None
    rows = (row("ex_owa_bridge", "EX01"), row("ex_owa_bridge", "EX02", draining=True))
    disk = replace(look.disk, begins={("ex_owa_bridge", "EX01"): "drain"})
    told = judge(SPEC, SETTINGS, replace(look, disk=disk, running=replace(look.running, rows=rows)), SERVICES).problems
    assert any(problem.startswith("EX02 would be ready again after a reload") for problem in told)
    assert any(problem.startswith("EX01 would not be ready after a reload") for problem in told)
