"""``lbsync lab``: a simulated farm on this machine, to rehearse on.

Rule of this file: with ``demo``, the only place of the command line that knows the lab.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.options import AsJson, Quiet

if TYPE_CHECKING:
    from lbsync.lab.daemon import Lab

app = typer.Typer(help="A simulated farm to rehearse on.", no_args_is_help=True, rich_markup_mode=None)

Folder = Annotated[Path, typer.Option("--folder", help="Where the lab keeps its files.")]
Servers = Annotated[int, typer.Option("--servers", min=1, max=50, help="How many client access servers.")]
Faults = Annotated[float, typer.Option("--faults", min=0, max=0.5, help="Share of management requests that go wrong.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Repeat the faults of an earlier rehearsal.")]
DEFAULT_FOLDER = Path("lab-demo")


@app.command("demo")
def demo(folder: Folder = DEFAULT_FOLDER, servers: Servers = 4, faults: Faults = 0.02, seed: Seed = None) -> None:
    """Rehearse a whole rollout, and the way back."""
    with command() as screen:
        from lbsync.cli.demo import rehearse

        rehearse(screen, folder, servers=servers, faults=faults, seed=seed)


@app.command("up")
def up(folder: Folder = DEFAULT_FOLDER, servers: Servers = 4, faults: Faults = 0.02, seed: Seed = None) -> None:
    """Keep a simulated farm up, until Ctrl-C or lab down.

    It writes a configuration for it, so that every command of lbsync can be tried from another terminal.
    """
    with command() as screen:
        from lbsync.cli.demo import MODES
        from lbsync.lab.daemon import Lab, serve
        from lbsync.lab.spec import LabSpec
        from lbsync.testing.haproxy import haproxy_program

        there = haproxy_program() is not None
        if not there:
            screen.warn("HAProxy is not installed, so the farm has no balancer; Debian, Ubuntu: apt install haproxy")
        spec = LabSpec(servers=servers, faults=faults, seed=seed)
        serve(Lab(spec, folder, haproxy=there, options={"modes": MODES}), lambda lab: _introduce(screen, lab))


@app.command("down")
def down(folder: Folder = DEFAULT_FOLDER) -> None:
    """Take down what lab up keeps up."""
    with command() as screen:
        from lbsync.lab.daemon import take_down

        screen.result("It is down." if take_down(folder) else "It was dead; what it left is removed.")


@app.command("state")
def state(folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show what the simulated servers hold now."""
    with command(as_json=as_json, quiet=quiet) as screen:
        from lbsync.lab.daemon import find

        seen: Any = find(folder).state()
        screen.document(seen)
        for name, server in seen["servers"].items():
            offloaded = "offloaded" if server["outlook_anywhere"]["ssl_offloading"] else "not offloaded"
            screen.result(f"{name}: Outlook Anywhere {offloaded}, MRSProxy over plain HTTP "
                          f"{server['web']['mrsproxy_plain_requests']} times")  # fmt: skip
            for location, own in server["iis"]["own_ssl_flags"].items():
                screen.result(f"  {location}: {own or 'inherited'}")


def _introduce(screen: Session, lab: Lab) -> None:
    """How to use it."""
    screen.result(f"{len(lab.farm.servers)} simulated servers are up; seed {lab.farm.seed}. In another terminal:")
    screen.result(f"  export LBSYNC_CONFIG={lab.config} LBSYNC_STATE={lab.directory / 'state'}")
    screen.result("  lbsync check; lbsync advise; lbsync plan; lbsync apply; lbsync verify; lbsync rollback")
    screen.result("Ctrl-C here, or lbsync lab down there, ends it.")
