"""``lbsync serve-notice``: whether a notice arrives, before anything happens.

Rule of this file: it sends a test by the same way as the service, and tells the service nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile

if TYPE_CHECKING:
    from pydantic import SecretStr

app = typer.Typer(help="Notices of lbsync serve.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _notices() -> None:
    """Notices of lbsync serve."""


@app.command("test")
def try_out(
    name: Annotated[str, typer.Argument(help="A target's name in [[service.notices]].", show_default=False)],
    config: ConfigFile = None,
    service: Annotated[
        Path | None,
        typer.Option("--service", metavar="FILE", help="A file with [service]; default: the configuration."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send a test notice to one target, and say whether it was taken."""
    with command(as_json=as_json) as screen:
        from lbsync.cli.opening import open_config, read_text
        from lbsync.config import load_service
        from lbsync.secrets import resolve
        from lbsync.service.notices.post import send_test

        if service is not None:
            section, base = load_service(read_text(service), file=str(service)), service.absolute().parent
        else:
            loaded = open_config(config)
            section, base = loaded.config.service, loaded.base

        def secret(reference: str) -> SecretStr:
            return screen.redactor.remember(reference, resolve(reference, base=base))

        with screen.busy(f"sending to {name}"):
            error = send_test(section.notices, name, secret)
        screen.document({"target": name, "sent": not error, "error": error})
        if error:
            screen.fail(
                f"the test to {name} was not sent: {error}",
                [("What to do", "correct its address, then try again")],
            )
            screen.end(ExitCode.ERROR)
        screen.result(f"Sent a test notice to {name}. See that it arrived.")
