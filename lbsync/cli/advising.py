"""``lbsync advise``: which mode each service may have, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Quiet, StateFolder
from lbsync.services import Service

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lbsync.advice import Advice


def advise(
    config: ConfigFile = None,
    state: StateFolder = None,
    explain: Annotated[
        Service | None, typer.Option("--explain", help="Every reason for one service, with sources.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Judge each service: offload or bridge, with reasons."""
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.advise import advise as judge
        from lbsync.cli.wiring import open_house

        with open_house(config, screen) as house:
            look = house.look()
            advice = judge(look.desired, look.facts, house.capabilities, look.now)
        screen.result(*_view(advice, explain))
        screen.document(advice.model_dump(mode="json"))
        if advice.refusals:
            screen.end(ExitCode.ATTENTION)


def _view(advice: Advice, explain: Service | None) -> list[RenderableType]:
    from lbsync.cli.adviceview import advice_view, verdict_view

    if explain is None:
        return advice_view(advice)
    verdict = next(verdict for verdict in advice.services if verdict.service is explain)
    return verdict_view(verdict, advice.farm)
