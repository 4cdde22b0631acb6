"""``lbsync confirm``: an applied run that waits for a word stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbsync.cli.command import Session, command
from lbsync.cli.options import AsJson, ConfigFile, RunId, StateFolder

if TYPE_CHECKING:
    from pathlib import Path

    from lbsync.ledger import Ledger


def confirm(
    run: RunId = "latest", config: ConfigFile = None, state: StateFolder = None, as_json: AsJson = False
) -> None:
    """Keep an applied run that would go back by itself."""
    with command(as_json=as_json, state=state) as screen:
        from lbsync.cli.listing import existing, nothing_yet
        from lbsync.cli.running import actor
        from lbsync.engine import confirm as keep
        from lbsync.ledger import holder

        ledger = existing(screen)
        if ledger is None:
            raise nothing_yet(screen)
        with ledger:
            run_id = _waiting(ledger, run)
            at_work = holder(screen.ledger_path) is not None
            keep(ledger, run_id, actor=actor())
        screen.result(f"Confirmed: run {run_id} stays.")
        screen.document({"run": run_id, "confirmed": True})
        if not at_work:
            _remember(screen, config, run_id)


def _remember(screen: Session, config: Path | None, run_id: str) -> None:
    """Keep what holds now for ``lbsync drift``: the process that applied it is gone and cannot."""
    from lbsync.cli.baselinefile import remember
    from lbsync.cli.wiring import open_house
    from lbsync.errors import LbsyncError

    try:
        with open_house(config, screen) as house:
            remember(screen, house, "applied", run_id)
    except LbsyncError as error:
        screen.warn(
            f"no baseline was kept for lbsync drift: {error.message}; lbsync drift --adopt takes what is there then"
        )


def _waiting(ledger: Ledger, run: str) -> str:
    """The run meant: for ``latest`` the newest that waits, where one does."""
    from lbsync.run import RunPhase

    if run == "latest":
        for found in ledger.runs():
            if found.phase is RunPhase.AWAITING:
                return found.run_id
    return ledger.resolve(run)
