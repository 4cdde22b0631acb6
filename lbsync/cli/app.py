"""The commands and their order in ``lbsync --help``.

Rule of this file: it imports every command's signature and none of what a command does.
"""

from __future__ import annotations

from typing import Annotated

import typer

from lbsync.cli import (
    advising,
    applying,
    certs,
    checking,
    configuring,
    confirming,
    drifting,
    listing,
    noticing,
    planning,
    preparing,
    providing,
    pruning,
    recording,
    rehearsing,
    remote,
    resuming,
    rolling_back,
    rotating,
    serveusers,
    serving,
    verifying,
    watching,
)

HELP = """Take an Exchange farm's TLS off, or across, its load balancer, and keep it right.

A change goes: check, advise, plan, apply, verify; and back by rollback. Every step is written down before it is done.
"""
EPILOG = """Exit codes: 0 done or nothing to do; 1 error; 2 plan has changes, check, advise, watch or drift need attention;
3 refused, nothing changed; 4 not as wanted (verify); 5 taken back, as before; 6 half-way, resume or rollback; 7 the way back
stopped; 8 critical (watch)."""

app = typer.Typer(
    name="lbsync",
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help costs a third of the start-up budget
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"lbsync {version('lbsync')}")
        raise typer.Exit


@app.callback()
def lbsync(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """The whole program; see the commands."""


for _command, _name in (
    (checking.check, "check"),
    (advising.advise, "advise"),
    (recording.record, "record"),
    (planning.plan, "plan"),
    (applying.apply, "apply"),
    (verifying.verify, "verify"),
    (rolling_back.rollback, "rollback"),
    (resuming.resume, "resume"),
    (confirming.confirm, "confirm"),
    (certs.csr, "csr"),
    (rotating.rotate, "rotate"),
    (pruning.prune, "prune"),
    (watching.watch, "watch"),
    (drifting.drift, "drift"),
    (serving.serve, "serve"),
    (listing.runs, "runs"),
    (listing.show, "show"),
    (providing.providers, "providers"),
):
    app.command(_name)(_command)
app.add_typer(configuring.app, name="config")
app.add_typer(certs.app, name="cert")
app.add_typer(preparing.app, name="prepare")
app.add_typer(serveusers.app, name="serve-user")
app.add_typer(noticing.app, name="serve-notice")
app.add_typer(remote.app, name="remote")
app.add_typer(rehearsing.app, name="lab")
