"""``lbsync verify``: what clients see, asked from outside with full handshakes; changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Quiet, StateFolder

if TYPE_CHECKING:
    from lbsync.cli.running import Story


def verify(
    config: ConfigFile = None,
    state: StateFolder = None,
    report: Annotated[bool, typer.Option(help="Add what was seen to the newest run's report.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Prove from outside what clients see.

    Full TLS handshakes with every listener, then each service, redirects, and what must not be published. Exit code 4 where
    something is not as wanted.
    """
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.evidence import look_from_outside
        from lbsync.cli.proofs import proof_view
        from lbsync.cli.running import Story
        from lbsync.cli.wiring import open_house

        story = Story()
        with open_house(config, screen) as house:
            if not house.config.balancers:
                raise house.loaded.fault("there is no balancer to look at", (), remedy="add a [[balancers]] table")
            look = house.look()
            seen = look_from_outside(screen, house, look, story)
        screen.result(*proof_view(seen))
        screen.document(seen.model_dump(mode="json") | {"light": seen.light.value})
        if report:
            _keep(screen, story)
        if not seen.passed:
            screen.end(ExitCode.NOT_PROVEN)


def _keep(screen: Session, story: Story) -> None:
    """Into the report of the newest run, where there is one."""
    from lbsync.cli.listing import existing
    from lbsync.cli.running import write_report

    ledger = existing(screen)
    if ledger is None:
        return
    with ledger:
        runs = ledger.runs()
        if runs and not runs[0].phase.unfinished:
            path = write_report(screen, ledger, ledger.run(runs[0].run_id), story)
            if path is not None:
                screen.note(f"Report: {path}")
