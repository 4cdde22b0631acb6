"""``lbsync lab``: a simulated farm on this machine, to rehearse on.

Rule of this file: the only place of the command line that knows the lab.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lbsync.cli.command import command
from lbsync.cli.options import AsJson, Quiet

app = typer.Typer(help="A simulated farm to rehearse on.", no_args_is_help=True, rich_markup_mode=None)

Folder = Annotated[Path, typer.Option("--folder", help="Where the lab keeps its files.")]
Servers = Annotated[int, typer.Option("--servers", min=1, max=50, help="How many client access servers.")]
Faults = Annotated[float, typer.Option("--faults", min=0, max=0.5, help="Share of management requests that go wrong.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Repeat the faults of an earlier rehearsal.")]
DEFAULT_FOLDER = Path("lab-demo")


@app.command("demo")
def demo(folder: Folder = DEFAULT_FOLDER, servers: Servers = 4, faults: Faults = 0.02, seed: Seed = None) -> None:
    """Rehearse a whole rollout, and the way back, through a real HAProxy."""
    with command() as screen:
        from lbsync.cli.demo import rehearse

        rehearse(screen, folder, servers=servers, faults=faults, seed=seed)


@app.command("up")
def up(folder: Folder = DEFAULT_FOLDER, servers: Servers = 4, faults: Faults = 0.02, seed: Seed = None) -> None:
    """Start a simulated farm, write a configuration for it, and keep it up until Ctrl-C or lbsync lab down."""
    with command() as screen:
        from lbsync.cli.labhost import keep_up

        keep_up(screen, folder, servers=servers, faults=faults, seed=seed)


@app.command("down")
def down(folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop the farm that lab up started."""
    with command() as screen:
        from lbsync.cli.labhost import take_down

        take_down(screen, folder)


@app.command("state")
def state(folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show what the simulated servers hold now."""
    with command(as_json=as_json, quiet=quiet) as screen:
        from lbsync.cli.labhost import show_state

        show_state(screen, folder)
