"""``lbsync config``: is the file right, and what may stand in it."""

from __future__ import annotations

import typer

from lbsync.cli.command import command
from lbsync.cli.options import AsJson, ConfigFile, Quiet

app = typer.Typer(help="The configuration file.", no_args_is_help=True, rich_markup_mode=None)


@app.command("check")
def check(config: ConfigFile = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Find every fault in the file, provider settings and named files included; ask no server."""
    with command(as_json=as_json, quiet=quiet) as screen:
        from lbsync.cli.opening import open_config, validate_settings

        loaded = open_config(config)
        validate_settings(loaded)
        farm = loaded.config
        screen.result(
            f"{loaded.file} is right: farm {farm.farm.name}, {len(farm.servers)} server(s), {len(farm.balancers)} balancer(s)."
        )
        screen.document({"file": loaded.file, "farm": farm.farm.name, "valid": True})


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of the file, for editors."""
    with command():
        from lbsync.config import schema as text

        typer.echo(text(), nl=False)
