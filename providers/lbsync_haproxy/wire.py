"""What HAProxy answers, as values.

Rule of this room: pure; text in, values out. Formats as HAProxy 2.6, 3.0 and 3.2 print them (management.txt, and tried).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass

_VERSION = re.compile(r"(\d+)\.(\d+)")
_SHA1 = re.compile(r"^SHA1 FingerPrint: ([0-9A-Fa-f]{40})\s*$", re.MULTILINE)
_SESSION = re.compile(r"^(0x[0-9a-f]+): .*? be=(\S+) srv=(\S+) ", re.MULTILINE)
_FAILED = re.compile(r"\[failed: (\d+)\]")
_OPERATIONAL = 2
_FORCED, _CONFIGURED = 0x01, 0x04
_MAINTENANCE = _FORCED | 0x02 | _CONFIGURED | 0x20
_DRAIN = 0x08 | 0x10


@dataclass(frozen=True, slots=True)
class ServerRow:
    """One server of one pool. ``checked`` is false until its first health check has ended.

    ``forced`` is maintenance set through the Runtime API; it has other causes, as ``disabled`` in the configuration.
    """

    pool: str
    server: str
    healthy: bool
    checked: bool
    draining: bool
    maintenance: bool
    forced: bool
    sessions: int
    last_check: str

    @property
    def state(self) -> str:
        """``ready``, ``drain`` or ``maint``, as ``set server`` calls them."""
        if self.maintenance:
            return "maint"
        return "drain" if self.draining else "ready"

    @property
    def kept(self) -> str:
        """The state that somebody set, and a new worker must be given; what has other causes it finds out by itself."""
        if self.forced:
            return "maint"
        return "drain" if self.draining else "ready"

    @property
    def up(self) -> bool:
        """Healthy by a check that was really made."""
        return self.healthy and self.checked


class Answers:
    """Answers to several commands sent in one line, told apart by how they look: each ends with an empty line."""

    def __init__(self, text: str) -> None:
        self._blocks = [block.strip("\n") for block in text.replace("\r", "").split("\n\n")]

    def beginning(self, start: str) -> str:
        """The first answer that begins so; empty where none does."""
        return next((block for block in self._blocks if block.startswith(start)), "")

    def holding(self, part: str) -> str:
        """The first answer that holds this."""
        return next((block for block in self._blocks if part in block), "")

    def one_of(self, *words: str) -> str:
        """The first answer that is one of these words."""
        return next((block for block in self._blocks if block in words), "")


def parse_info(text: str) -> dict[str, str]:
    """``show info``: name to value."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def version_of(text: str) -> tuple[int, int] | None:
    """Major and minor of a version such as ``2.6.12-1+deb12u4``."""
    found = _VERSION.match(text)
    return (int(found.group(1)), int(found.group(2))) if found else None


def parse_stat(text: str) -> list[dict[str, str]]:
    """``show stat``: one mapping per proxy and server."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not lines[0].startswith("# "):
        return []
    return [dict(row) for row in csv.DictReader([lines[0].removeprefix("# "), *lines[1:]])]


def parse_state(text: str) -> dict[tuple[str, str], tuple[int, int]]:
    """``show servers state``: (backend, server) to operational and administrative state (see HAProxy's management.txt)."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    names: list[str] = []
    for line in text.splitlines():
        if line.startswith("# "):
            names = line[2:].split()
        elif names and len(fields := line.split()) >= len(names):
            row = dict(zip(names, fields, strict=False))
            found[row["be_name"], row["srv_name"]] = (int(row["srv_op_state"]), int(row["srv_admin_state"]))
    return found


def server_rows(stat: list[dict[str, str]], state: Mapping[tuple[str, str], tuple[int, int]]) -> tuple[ServerRow, ...]:
    """Every server of every pool, from both commands: one has the checks and sessions, the other the exact states."""
    rows: list[ServerRow] = []
    for row in stat:
        key = (row.get("pxname", ""), row.get("svname", ""))
        if key not in state:
            continue
        operational, administrative = state[key]
        check = row.get("check_status", "").removeprefix("* ")  # a check is running: the last result stands
        rows.append(
            ServerRow(
                pool=key[0],
                server=key[1],
                healthy=operational == _OPERATIONAL,
                checked=bool(check) and check not in {"INI", "UNK", "SOCKERR"},
                draining=bool(administrative & _DRAIN),
                maintenance=bool(administrative & _MAINTENANCE),
                forced=administrative & (_FORCED | _CONFIGURED) == _FORCED,
                sessions=int(row.get("scur") or 0),
                last_check=" ".join(part for part in (check, row.get("last_chk", "")) if part),
            )
        )
    return tuple(rows)


def parse_map(text: str) -> dict[str, str]:
    """``show map``: key to value; each line begins with an address of the entry."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(None, 2)
        if len(parts) == 3 and parts[0].startswith("0x"):  # noqa: PLR2004 -- address, key, value
            found[parts[1]] = parts[2].strip()
    return found


def parse_thumbprint(text: str) -> str | None:
    """SHA-1 of the leaf in ``show ssl cert NAME``, upper case."""
    found = _SHA1.search(text)
    return found.group(1).upper() if found else None


def open_transactions(text: str) -> tuple[str, ...]:
    """Names of certificates that ``show ssl cert`` lists with an open transaction."""
    return tuple(line[1:].strip() for line in text.splitlines() if line.startswith("*"))


def sessions_at(text: str, server: str, pools: Container[str]) -> tuple[str, ...]:
    """Ids of the streams that ``show sess`` lists at a server of these pools."""
    return tuple(number for number, pool, name in _SESSION.findall(text) if name == server and pool in pools)


def failed_reloads(text: str) -> int | None:
    """How often in a row the master failed to reload, from ``show proc``."""
    found = _FAILED.search(text)
    return int(found.group(1)) if found else None


def lists_workers(text: str) -> bool:
    """Whether this is an answer to ``show proc`` at all."""
    return "# workers" in text


def old_workers(text: str) -> tuple[int, ...]:
    """Process ids of workers that end once their connections have, from ``show proc``."""
    found: list[int] = []
    section = ""
    for line in text.splitlines():
        words = line.split()
        if line.startswith("#"):
            section = line.strip("# ")
        elif section == "old workers" and len(words) > 1 and words[0].isdigit() and words[1] == "worker":
            found.append(int(words[0]))
    return tuple(found)


def config_arguments(cmdline: bytes) -> tuple[str, ...]:
    """The files and directories that a running HAProxy was told to load (-f, and all after ``--``)."""
    words = cmdline.rstrip(b"\0").decode(errors="replace").split("\0")
    found: list[str] = []
    for number, word in enumerate(words):
        if word == "--":
            found += words[number + 1 :]
            break
        if word == "-f" and number + 1 < len(words):
            found.append(words[number + 1])
    return tuple(found)
