"""What HAProxy says it does now, as far as the second TLS leg goes.

Rule of this room: pure; HAProxy's own counters (management.txt, `show info` and `show stat`); what it does not say is unknown.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

from lbsync.costs import OPENED, Entry, Unit, Unknown, number

_REPORTED: Final[tuple[tuple[str, str, Unit, str], ...]] = (
    ("Idle_pct", "idle", "%", "of HAProxy's time is idle"),
    ("SslFrontendKeyRate", "frontend_full_handshakes", "1/s", "full handshakes with clients"),
    ("SslFrontendSessionReuse_pct", "frontend_resumed", "%", "of handshakes with clients are resumed"),
    ("SslBackendKeyRate", "backend_full_handshakes", "1/s", "full handshakes with servers, health checks too"),
)


def load_of(
    name: str, info: Mapping[str, str], stat: Sequence[Mapping[str, str]], pools: Container[str]
) -> tuple[Entry, ...]:
    """HAProxy's rates of this moment, and how many connections it opened to the servers of ``pools`` since it started.

    ``info`` and ``stat`` are as ``wire`` parses them. Each is a single sample.
    """
    return (*(_reported(name, info, *one) for one in _REPORTED), _opened(name, info, stat, pools))


def _reported(name: str, info: Mapping[str, str], key: str, id: str, unit: Unit, note: str) -> Entry:  # noqa: A002, PLR0917 -- one row of the table
    value = info.get(key, "")
    if not value.isdigit():
        return Unknown(id=id, subject=name, why=f"HAProxy does not tell {key}")
    return number(id, name, unit, [float(value)], source="reported", note=note)


def _opened(name: str, info: Mapping[str, str], stat: Sequence[Mapping[str, str]], pools: Container[str]) -> Entry:
    ours = [row.get("connect", "") for row in stat if row.get("pxname", "") in pools and row.get("svname") == "BACKEND"]
    uptime = info.get("Uptime_sec", "")
    if not ours:
        return Unknown(
            id=OPENED, subject=name, why="nothing of lbsync's runs there yet, so its connections are not counted"
        )
    if not all(one.isdigit() for one in ours) or not uptime.isdigit() or int(uptime) == 0:
        return Unknown(id=OPENED, subject=name, why="HAProxy does not tell it, or has only just started")
    rate = sum(int(one) for one in ours) / int(uptime)
    since = f"opened to servers, on average over {uptime} s since this worker started"
    return number(OPENED, name, "1/s", [rate], source="reported", note=since)
