"""``lbsync plan``: what would be done, in which order, and how it would be taken back; does nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lbsync.cli.command import command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Modes, Only, Quiet, StateFolder
from lbsync.errors import LedgerError


def plan(  # noqa: PLR0917  # typer calls it by keyword
    config: ConfigFile = None,
    state: StateFolder = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Save the plan, to apply exactly this one.")] = None,
    mode: Modes = None,
    only: Only = None,
    show_undo: Annotated[bool, typer.Option("--show-undo", help="Show each step's way back.")] = False,
    show_checks: Annotated[bool, typer.Option("--show-checks", help="Show what each step waits for.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what apply would do. Exit code: 0 nothing, 2 changes, 1 error, 3 refused."""
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.choosing import planned
        from lbsync.cli.listing import left_unfinished
        from lbsync.cli.planfile import save_plan
        from lbsync.cli.planview import plan_view
        from lbsync.cli.wiring import open_house
        from lbsync.config.chosen import chosen_modes
        from lbsync.config.taken import taken_servers
        from lbsync.plan import identity

        chosen = chosen_modes(mode or ())
        try:
            hindrance = left_unfinished(screen)
        except LedgerError as damaged:
            hindrance = damaged  # a plan changes nothing: it is shown all the same
        if hindrance is not None:
            screen.warn(f"{hindrance.message}: {hindrance.remedy}")
        with open_house(config, screen) as house:
            taken = taken_servers(house.config, only or ())
            made = planned(house, house.look(), chosen, taken)
        screen.result(*plan_view(made, show_undo=show_undo, show_checks=show_checks))
        screen.document(made.model_dump(mode="json") | {"identity": identity(made)})
        if out is not None:
            save_plan(made, out, chosen, taken)
            screen.note(f"Saved as {out}. To apply exactly this plan: lbsync apply {out}")
        if made.steps:
            screen.end(ExitCode.ATTENTION)
