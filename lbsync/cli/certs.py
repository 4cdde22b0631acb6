"""``lbsync cert``: the certificate on the servers themselves.

Rule of this file: distributing is a plan like any other, applied by the same engine and taken back the same way.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Quiet, StateFolder

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lbsync.cli.house import Look

app = typer.Typer(help="The certificate on the servers.", no_args_is_help=True, rich_markup_mode=None)


@app.command("show")
def show(config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show each server's certificates, and which one clients shall see."""
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.wiring import open_house

        with open_house(config, screen) as house:
            look = house.look()
        screen.result(*_view(look))
        leaf = look.desired.leaf
        screen.document(
            {
                "leaf": leaf.model_dump(mode="json") if leaf else None,
                "problem": look.desired.leaf_problem,
                "servers": {
                    server.server: [stored.model_dump(mode="json") for stored in server.certificates]
                    for server in look.facts.servers
                },
            }
        )
        if leaf is None:
            screen.end(ExitCode.ATTENTION)


@app.command("distribute")
def distribute(  # noqa: PLR0917  # typer calls it by keyword
    config: ConfigFile = None,
    state: StateFolder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and end.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Put the certificate onto IIS 443 of every server, one after the other; Require SSL stays as it is."""
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.applying import agreed, carry_out
        from lbsync.cli.planview import plan_view
        from lbsync.cli.wiring import open_house
        from lbsync.plan import build_distribution

        with open_house(config, screen) as house:
            look = house.look()
            plan = build_distribution(look.desired, look.facts, house.targets, look.now)
            if dry_run or not plan.steps:
                screen.result(*plan_view(plan))
                screen.document(plan.model_dump(mode="json"))
                screen.end(ExitCode.ATTENTION if plan.steps else ExitCode.OK)
            agreed(screen, plan, yes=yes)
            carry_out(screen, house, look, plan, None, canary=True)


@app.command("request")
def csr(
    server: Annotated[
        str | None, typer.Option("--server", help="Where the key is made; default: the first one.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the request to a file.")] = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    quiet: Quiet = False,
) -> None:
    """Make a certificate request with an exportable key, to be sent to a CA.

    It is for the published hosts, and stays pending on that server, with its key, until the CA's answer comes; asking again
    finds it again.
    """
    with command(quiet=quiet, state=state) as screen:
        from lbsync.cli.wiring import open_house

        with open_house(config, screen) as house:
            names = [one.name for one in house.config.servers]
            chosen = server or names[0]
            if chosen not in names:
                raise house.loaded.fault(f'no server is called "{chosen}"', ("servers",), remedy=", ".join(names))
            pem, already = house.request_certificate(chosen)
        words = "was pending already" if already else "is pending now"
        screen.note(
            f"The request {words} on {chosen}, with its key. Send it to the CA, then: lbsync rotate --response ANSWER"
        )
        if out is None:
            typer.echo(pem.rstrip())
        else:
            out.write_text(f"{pem.rstrip()}\n", encoding="ascii")


def _view(look: Look) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    columns = ("server", "thumbprint", "subject", "until", "key", "services", "IIS 443")
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for server in look.facts.servers:
        served = server.front_end_leaf
        for stored in server.certificates:
            info = stored.info
            table.add_row(
                server.server,
                info.thumbprint,
                info.subject,
                f"{info.not_after:%Y-%m-%d}",
                {True: "exportable", False: "not exportable", None: "?"}[stored.exportable],
                ", ".join(stored.services or ()),
                "yes" if served is not None and served.info.thumbprint == info.thumbprint else "",
            )
    leaf = look.desired.leaf
    words = f"Clients shall see {leaf.thumbprint} ({leaf.subject})." if leaf else look.desired.leaf_problem
    return [table, Text(), Text(words, style="bold")]
