"""What HAProxy says of its own work, from answers captured of 2.6."""

from __future__ import annotations

import pytest

from lbsync.costs import OPENED, Number, Unknown
from lbsync_haproxy.load import load_of
from lbsync_haproxy.wire import parse_info, parse_stat

INFO = """\
Name: HAProxy
Version: 2.6.12-1+deb12u4
Uptime_sec: 158
SslFrontendKeyRate: 3
SslFrontendMaxKeyRate: 41
SslFrontendSessionReuse_pct: 12
SslBackendKeyRate: 25
Idle_pct: 94
"""
STAT = """\
# pxname,svname,scur,connect,reuse,type
admin_own,BACKEND,0,7,0,1
ex_owa_offload,EX01,0,45,0,2
ex_owa_offload,BACKEND,0,45,0,1
ex_owa_bridge,BACKEND,0,34,44,1
"""
POOLS = frozenset({"ex_owa_offload", "ex_owa_bridge"})


def test_rates_and_connections_are_read() -> None:
    """Rates as they are; connections opened by our pools alone, each once, by the worker's age."""
    found = load_of("lb1", parse_info(INFO), parse_stat(STAT), POOLS)
    told = {one.id: (one.median, one.unit, one.n, one.source) for one in found if isinstance(one, Number)}
    assert told == {
        "idle": (94.0, "%", 1, "reported"),
        "frontend_full_handshakes": (3.0, "1/s", 1, "reported"),
        "frontend_resumed": (12.0, "%", 1, "reported"),
        "backend_full_handshakes": (25.0, "1/s", 1, "reported"),
        OPENED: (0.5, "1/s", 1, "reported"),
    }


@pytest.mark.parametrize(
    ("info", "stat", "why"),
    [
        (INFO, STAT.replace("ex_", "their_"), "nothing of lbsync's"),
        (INFO, STAT.replace("connect,", "conn,"), "does not tell it"),
        (INFO.replace("Uptime_sec: 158", "Uptime_sec: 0"), STAT, "only just started"),
        ("", STAT, "does not tell it"),
    ],
)
def test_what_is_not_told_is_unknown(info: str, stat: str, why: str) -> None:
    """An older HAProxy, a fresh one, or one that does not answer."""
    *rates, opened = load_of("lb1", parse_info(info), parse_stat(stat), POOLS)
    assert isinstance(opened, Unknown)
    assert why in opened.why
    assert all(isinstance(one, Unknown) for one in rates) is not bool(info)
