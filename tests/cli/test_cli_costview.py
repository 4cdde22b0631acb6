"""How costs look to a person, 100 columns wide."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lbsync.cli.costview import amount, cost_view
from lbsync.costs import (
    AGREE,
    BULK,
    CONNECT_HTTP,
    CONNECT_HTTPS,
    HANDSHAKE,
    OPENED,
    RESUMED,
    SHARE,
    SIGN,
    VERIFY,
    BalancerCost,
    Unknown,
    number,
)
from lbsync.testing.farm_facts import NOW

LEGS = tuple(
    entry
    for server in ("EX01", "EX02")
    for entry in (
        number(CONNECT_HTTP, server, "ms", [0.001, 0.003, 0.002]),
        number(CONNECT_HTTPS, server, "ms", [0.2, 0.1, 44.5]),
        number(HANDSHAKE, server, "ms", [3.0, 8.3, 12.1], note="TLSv1.2"),
        Unknown(id=RESUMED, subject=server, why="the server resumes no session"),
    )
)
CPU = (
    number(SIGN, "rsa2048", "op/s", [1153.0, 1113.0, 1172.0]),
    number(VERIFY, "rsa2048", "op/s", [39157.0, 38302.0, 41104.0]),
    number(AGREE, "ecdhp256", "op/s", [15610.0, 14302.0, 16878.0]),
    number(BULK, "aes-256-gcm", "MB/s", [2224.0, 2212.0, 2294.0]),
)
LOAD = (
    number("idle", "lb1", "%", [96.0], source="reported", note="of its time is idle"),
    number(OPENED, "lb1", "1/s", [0.0], source="reported", note="opened to servers"),
    number(SHARE, "rsa2048", "%", [0.02], source="derived", note="at least"),
)


def shown(*costs: BalancerCost) -> list[str]:
    """The lines on a terminal of 100 columns."""
    console = Console(file=io.StringIO(), width=100)
    for part in cost_view(costs):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.004, "<0.01"), (0.01, "0.01"), (9.994, "9.99"), (44.52, "44.5"), (39157.2, "39,157")],
)
def test_amounts_are_readable(value: float, text: str) -> None:
    """Three digits or so; what is tiny is never called nothing."""
    assert amount(value) == text


def test_each_number_has_its_place_unit_and_spread() -> None:
    """Servers in a table, one core in another, the balancer's own words, and each reason for what is unknown once."""
    lines = shown(BalancerCost(balancer="lb1", place="root@lb1", at=NOW, legs=LEGS, cpu=CPU, load=LOAD))
    text = "\n".join(lines)
    assert f"lb1  measured {NOW:%Y-%m-%d %H:%M:%S} UTC on root@lb1" in text
    assert "EX01    <0.01 (<0.01..<0.01)  0.20 (0.10..44.5)  8.30 (3.00..12.1)  unknown    1.2" in text
    assert "sign     rsa2048      1,153 (1,113..1,172)     op/s  per full handshake with a client" in text
    assert "    96.0 % of its time is idle" in lines
    assert "    0 per second: opened to servers" in lines
    assert "  The second leg now: 0.02 % of one core" in lines
    assert lines[-1] == "  unknown: resumed handshake (EX01, EX02): the server resumes no session"


def test_a_balancer_of_which_nothing_is_known_says_so() -> None:
    """No empty table."""
    nothing = (Unknown(id="all", subject="lb2", why="no answer in time"),)
    lines = shown(BalancerCost(balancer="lb2", place="nowhere", at=NOW, legs=nothing, cpu=(), load=()))
    assert lines[3:] == ["  unknown: everything (lb2): no answer in time"]
