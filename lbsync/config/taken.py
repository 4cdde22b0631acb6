"""Servers given on the command line, for one plan: words to names.

Rule of this room: pure; whether these may be changed by themselves is the adviser's question.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.config.sections import Config
from lbsync.errors import ConfigError


def taken_servers(config: Config, words: Iterable[str]) -> tuple[str, ...]:
    """The servers that these words name, in configured order: servers or groups, apart by commas or as words of their own.

    Upper and lower case do not matter. Nothing for no words. Raises ConfigError for a name that there is not.
    """
    known: dict[str, list[str]] = {}
    for server in config.servers:
        known.setdefault(server.name.lower(), []).append(server.name)
        if server.group is not None:
            known.setdefault(server.group.lower(), []).append(server.name)
    found: set[str] = set()
    for word in words:
        for name in word.split(","):
            if name.strip().lower() not in known:
                raise _unknown(name.strip(), config)
            found.update(known[name.strip().lower()])
    return tuple(server.name for server in config.servers if server.name in found)


def _unknown(name: str, config: Config) -> ConfigError:
    names = [server.name for server in config.servers]
    groups = list(dict.fromkeys(server.group for server in config.servers if server.group is not None))
    there = f"there are the servers {', '.join(names)}"
    there += f" and the groups {', '.join(groups)}" if groups else ", and no groups"
    return ConfigError(
        f"there is no server and no group {name!r}",
        where=f"--only {name}",
        state="nothing was read and nothing was changed",
        remedy=there,
    )
