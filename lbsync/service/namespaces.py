"""Namespaces: which configuration files the service looks after, and the state folder of each.

Rule of this file: it looks for files and judges their names; what stands in them the command line judges, each time anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lbsync.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OWN = frozenset({"serve", "serve.token", "decisions.jsonl", "notices.json", "notices.damaged"})
"""What the service keeps where the folders of namespaces are: one of that name would keep decisions from being written."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One farm: its name here, its configuration file, and its folder of ledger, reports and log."""

    name: str
    config: Path
    folder: Path

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.folder / "ledger.db"


def one(config: Path, state: Path) -> tuple[Namespace, ...]:
    """The only one, with the state folder that the command line uses too. Raises ConfigError."""
    return (Namespace(_name(config), config.absolute(), state.absolute()),)


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in a folder of configurations: namespaces by name, and of each file that can be none, why."""

    namespaces: tuple[Namespace, ...]
    refused: tuple[ConfigError, ...] = ()


def several(folder: Path, state: Path) -> tuple[Namespace, ...]:
    """Each ``*.toml`` in ``folder``, with a state folder of its own below ``state``. Raises ConfigError."""
    found = look_through(folder, state)
    if found.refused:
        raise found.refused[0]
    return found.namespaces


def look_through(folder: Path, state: Path) -> Found:
    """As ``several``, but for files whose name cannot be a namespace's. Raises ConfigError where there is none at all."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    except OSError as error:
        raise ConfigError(
            f"the folder of configurations cannot be read: {error.strerror}",
            where=str(folder),
            state="nothing was started",
            remedy="name a folder with a configuration file for each farm",
        ) from None
    if not found:
        raise ConfigError(
            "there is no configuration file in this folder",
            where=str(folder),
            state="nothing was started",
            remedy="put one there for each farm, as contoso.toml",
        )
    namespaces: list[Namespace] = []
    refused: list[ConfigError] = []
    for path in found:
        try:
            namespaces.append(Namespace(_name(path), path.absolute(), (state / path.stem).absolute()))
        except ConfigError as error:
            refused.append(error)
    if not namespaces:
        raise refused[0]
    return Found(tuple(namespaces), tuple(refused))


def _name(path: Path) -> str:
    if NAME.fullmatch(path.stem) is None or path.stem in _OWN:
        raise ConfigError(
            f'"{path.stem}" cannot be the name of a namespace',
            where=str(path),
            state="nothing was started",
            remedy="rename the file: letters, digits, dots, hyphens and underscores; no name of the service's own, as serve.toml",
        )
    return path.stem
