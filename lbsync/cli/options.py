"""The options several commands share, each said once.

Rule of this file: it is imported by ``lbsync --help``, so it imports typer and nothing that costs time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="LBSYNC_CONFIG", show_default=False, show_envvar=True,
        help="Configuration file; default: lbsync.toml here, else /etc/lbsync/lbsync.toml.",
    ),
]  # fmt: skip
StateFolder = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar="LBSYNC_STATE", show_default=False, show_envvar=True,
        help="Folder of ledger, reports and log; default: /var/lib/lbsync for root, else ~/.local/state/lbsync.",
    ),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Results only, no progress.")]
Modes = Annotated[
    list[str] | None,
    typer.Option(
        "--mode", metavar="SERVICE=MODE",
        help="A mode for this plan only, as ews=bridge or all=offload (MRSProxy stays bridged); repeatable.",
    ),
]  # fmt: skip
Basis = Annotated[
    str | None,
    typer.Option("--basis", metavar="DIGEST", help="Refuse unless the plan is made from this, as --json said of one."),
]
RunId = Annotated[str, typer.Argument(help="A run's id, the beginning of one, or latest.", show_default=True)]

DEFAULT_CONFIGS = (Path("lbsync.toml"), Path("/etc/lbsync/lbsync.toml"))


def config_path(chosen: Path | None) -> Path:
    """The configuration file to read: the one chosen, else the first default that exists, else the first."""
    if chosen is not None:
        return chosen
    return next((path for path in DEFAULT_CONFIGS if path.exists()), DEFAULT_CONFIGS[0])


def state_folder(chosen: Path | None) -> Path:
    """Where ledger, reports and log live."""
    if chosen is not None:
        return chosen
    if os.geteuid() == 0:
        return Path("/var/lib/lbsync")
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "lbsync"
