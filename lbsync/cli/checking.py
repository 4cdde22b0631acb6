"""``lbsync check``: what is there, and what is odd about it; changes nothing."""

from __future__ import annotations

from lbsync.cli.command import command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Quiet, StateFolder


def check(config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show the facts of servers, directory and balancers."""
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from datetime import UTC, datetime

        from lbsync.cli.command import tell
        from lbsync.cli.factsview import facts_view, problems_of
        from lbsync.cli.house import together
        from lbsync.cli.wiring import open_house
        from lbsync.desired import FactSet

        with open_house(config, screen) as house:
            seen = house.see()
        facts = FactSet(servers=seen.servers, farm=seen.farm, balancers=seen.balancers)
        screen.result(*facts_view(facts, datetime.now(UTC)))
        problems = problems_of(facts)
        for where, problem in problems:
            screen.result(f"{where}: {problem}")
        errors = [{"where": error.where, "message": error.message, "code": error.code} for error in seen.errors]
        screen.document(facts.model_dump(mode="json") | {"errors": errors})
        if seen.errors:
            if not screen.as_json:
                tell(screen, together(seen.errors))
            screen.end(ExitCode.ERROR)
        if problems:
            screen.end(ExitCode.ATTENTION)
