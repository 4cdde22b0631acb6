"""``lbsync remote``: the command line at one end, a service (``lbsync serve``) at the other.

Rule of this file: signatures and one call each. It is a group of its own instead of ``--server`` on every command: what a command
takes here (configuration, state folder, plan file, servers) the service has, so each would refuse half of its options; and nobody
changes a farm elsewhere because a variable was set.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.options import AsJson, Modes, Quiet, RunId

if TYPE_CHECKING:
    from lbsync.cli.remotework import Desk

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", envvar="LBSYNC_SERVER", show_default=False, show_envvar=True,
                 help="The service: https://HOST:PORT; plain http for this host only."),
]  # fmt: skip
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", envvar="LBSYNC_NAMESPACE", show_default=False, show_envvar=True,
                 help="Which farm there; default: the only one."),
]  # fmt: skip
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", envvar="LBSYNC_TOKEN_FILE", show_default=False, show_envvar=True,
                 help="The file with the token, where LBSYNC_TOKEN is not set."),
]  # fmt: skip
CaFile = Annotated[
    Path | None,
    typer.Option("--ca-file", metavar="FILE", envvar="LBSYNC_CA_FILE", show_default=False, show_envvar=True,
                 help="PEM file of the CA of the service's certificate; default: this system's."),
]  # fmt: skip
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Approve it too; without it, somebody else does.")]
Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ProposalId = Annotated[str, typer.Argument(help="A proposal's id, as lbsync remote status shows it.")]
JobId = Annotated[str, typer.Argument(help="A job's id, as lbsync remote status shows it.")]


@dataclass(frozen=True, slots=True)
class At:
    """Where the service is, and how to be let in."""

    server: str | None
    namespace: str | None
    token_file: Path | None
    ca_file: Path | None


@app.callback()
def remote(
    context: typer.Context,
    server: Server = None,
    namespace: Namespace = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Ask a service (lbsync serve), on this host or another.

    What is changed there is proposed, shown, and carried out once it is approved. The token stands in the variable LBSYNC_TOKEN.
    """
    context.obj = At(server, namespace, token_file, ca_file)


@contextmanager
def _asking(context: typer.Context, *, as_json: bool, quiet: bool = False) -> Generator[tuple[Session, Desk]]:
    at = context.find_object(At) or At(None, None, None, None)
    with command(as_json=as_json, quiet=quiet) as screen:
        from lbsync.cli.remotework import opened

        with opened(screen, at) as desk:
            yield screen, desk


@app.command("status")
def status(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """Show what the service knows: of every farm, or of the one named."""
    with _asking(context, as_json=as_json) as (_, desk):
        desk.status()


@app.command("look")
def look(
    context: typer.Context,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Have a farm looked at now, and show it; ends as lbsync watch --once."""
    with _asking(context, as_json=as_json, quiet=quiet) as (screen, desk):
        screen.end(desk.look())


@app.command("rotate")
def rotate(
    context: typer.Context,
    thumbprint: Annotated[
        str | None, typer.Option("--thumbprint", help="Which certificate; default: the only one.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Propose a rotation to a renewed certificate, and show its plan."""
    with _asking(context, as_json=as_json, quiet=quiet) as (screen, desk):
        screen.end(desk.propose({"kind": "rotate", "thumbprint": thumbprint}, yes=yes))


@app.command("apply")
def apply(
    context: typer.Context,
    mode: Modes = None,
    yes: Yes = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Propose what the configuration there says, and show its plan."""
    with _asking(context, as_json=as_json, quiet=quiet) as (screen, desk):
        from lbsync.config.chosen import chosen_modes

        modes = {service.value: chosen.value for service, chosen in chosen_modes(mode or ()).items()}
        screen.end(desk.propose({"kind": "apply", "modes": modes}, yes=yes))


@app.command("approve")
def approve(
    context: typer.Context,
    proposal: ProposalId,
    yes: Sure = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Approve a proposal, and follow what comes of it."""
    with _asking(context, as_json=as_json, quiet=quiet) as (screen, desk):
        screen.end(desk.approve(proposal, yes=yes))


@app.command("decline")
def decline(
    context: typer.Context,
    proposal: ProposalId,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.")] = "",
    as_json: AsJson = False,
) -> None:
    """Throw a proposal away."""
    with _asking(context, as_json=as_json) as (_, desk):
        desk.decline(proposal, reason)


@app.command("runs")
def runs(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """List a farm's runs, the newest first."""
    with _asking(context, as_json=as_json) as (_, desk):
        desk.runs()


@app.command("show")
def show(
    context: typer.Context,
    run: RunId = "latest",
    as_json: AsJson = False,
) -> None:
    """Show one run, step by step."""
    with _asking(context, as_json=as_json) as (_, desk):
        desk.show(run)


@app.command("rollback")
def rollback(
    context: typer.Context,
    run: RunId = "latest",
    yes: Sure = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Have a run taken back, and follow it."""
    with _asking(context, as_json=as_json, quiet=quiet) as (screen, desk):
        screen.end(desk.act(run, "rollback", yes=yes))


@app.command("resume")
def resume(
    context: typer.Context,
    run: RunId = "latest",
    yes: Sure = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Have a run that stands half-way carried on, and follow it."""
    with _asking(context, as_json=as_json, quiet=quiet) as (screen, desk):
        screen.end(desk.act(run, "resume", yes=yes))


@app.command("confirm")
def confirm(
    context: typer.Context,
    run: RunId = "latest",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Keep an applied run that would go back by itself."""
    with _asking(context, as_json=as_json, quiet=quiet) as (screen, desk):
        screen.end(desk.act(run, "confirm", yes=True))


@app.command("follow")
def follow(
    context: typer.Context,
    job: JobId,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Follow a job until it ends, and end as it does."""
    with _asking(context, as_json=as_json, quiet=quiet) as (screen, desk):
        screen.end(desk.follow(job))


@app.command("stop")
def stop(
    context: typer.Context,
    job: JobId,
    as_json: AsJson = False,
) -> None:
    """Ask a job to stop between two steps."""
    with _asking(context, as_json=as_json) as (_, desk):
        desk.stop(job)
