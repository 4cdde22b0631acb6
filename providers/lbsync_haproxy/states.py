"""The server state file: with which servers drained HAProxy begins, at a reload and at any start.

Rule of this room: pure. What the Runtime API sets dies with its worker; a new one reads this file before it listens, so a server
that was drained gets nothing in between (configuration.txt, load-server-state-from-file; tried on 2.6).

- Only servers that are not ready stand in the file, and it is there whenever our configuration is: without it 2.6 warns.
- HAProxy takes the port from a line, even where the configuration has another by now: so it is read off the configuration.
- The line of a drained server makes HAProxy warn ("remains in forced drain mode"); under ``zero-warning`` it would then not
  start. Such a HAProxy is given maintenance for the moment of a reload, which no warning comes with, and nothing after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from lbsync_haproxy.pools import PREFIX
from lbsync_haproxy.wire import ServerRow

Place = tuple[str, str]
"""A pool and a server."""

NEUTRAL = "1\n# Owned by lbsync, which writes it: the servers that are not ready when HAProxy begins.\n"
"""The format's version, which must stand alone in the first line, and nobody: every server begins ready."""

_PROXY = re.compile(r"(?:frontend|backend) (\S+)")
_SERVER = re.compile(r" +server (\S+) \S*:(\d+) ")
_ADMIN = {"maint": 0x01, "drain": 0x08}
_NAME, _SERVER_NAME, _STATE = 1, 3, 6
_FIELDS = 20


def not_ready(rows: Iterable[ServerRow], changed: Mapping[str, str] | None = None) -> dict[Place, str]:
    """``drain`` or ``maint`` of every server that shall begin so.

    ``changed`` says it anew for servers by name, in our pools; all others go on as they are.
    """
    new = changed or {}
    states = {
        (row.pool, row.server): new.get(row.server, row.kept) if row.pool.startswith(PREFIX) else row.kept
        for row in rows
    }
    return {place: state for place, state in states.items() if state != "ready"}


def state_text(configuration: str, first_id: int, states: Mapping[Place, str], *, quiet: bool) -> str:
    """The file's text for our ``configuration``, whose first proxy has the number ``first_id``.

    HAProxy numbers proxies in their order, and warns of a line with another number. ``quiet`` is for a HAProxy that takes a
    warning for an error: maintenance stands for drained. Servers that the configuration does not have are left out.
    """
    lines = [
        f"{number} {pool} 1 {server} - 2 {_ADMIN['maint' if quiet else states[pool, server]]} "
        # Weights; since when; a health check not made yet; none switched off; no forced ids; no other name.
        f"1 1 0 1 0 0 6 0 0 0 - {port} -\n"
        for number, pool, server, port in _servers(configuration, first_id)
        if (pool, server) in states
    ]
    return NEUTRAL + "".join(lines)


def begins(text: str | None) -> dict[Place, str]:
    """What a state file says: the servers that would not be ready at the next start."""
    names = {code: state for state, code in _ADMIN.items()}
    found: dict[Place, str] = {}
    for line in (text or "").splitlines():
        fields = line.split()
        if len(fields) >= _FIELDS and fields[_STATE].isdigit() and int(fields[_STATE]) in names:
            found[fields[_NAME], fields[_SERVER_NAME]] = names[int(fields[_STATE])]
    return found


def _servers(configuration: str, first_id: int) -> Iterator[tuple[int, str, str, str]]:
    number, pool = first_id - 1, ""
    for line in configuration.splitlines():
        if proxy := _PROXY.match(line):
            number, pool = number + 1, proxy.group(1)
        elif server := _SERVER.match(line):
            yield number, pool, server.group(1), server.group(2)
