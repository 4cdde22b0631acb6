"""``lbsync check``: what is there, and what is odd about it; changes nothing."""

from __future__ import annotations

from lbsync.cli.command import command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Quiet, StateFolder


def check(config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show the facts of servers, directory and balancers."""
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.factsview import facts_view, problems_of
        from lbsync.cli.house import open_house

        with open_house(config, screen) as house:
            look = house.look()
        screen.result(*facts_view(look.facts, look.now))
        problems = problems_of(look.facts)
        for where, problem in problems:
            screen.result(f"{where}: {problem}")
        screen.document(look.facts.model_dump(mode="json"))
        if problems:
            screen.end(ExitCode.ATTENTION)
