"""``lbsync confirm``: an applied run that waits for a word stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbsync.cli.command import command
from lbsync.cli.options import AsJson, RunId, StateFolder

if TYPE_CHECKING:
    from lbsync.ledger import Ledger


def confirm(run: RunId = "latest", state: StateFolder = None, as_json: AsJson = False) -> None:
    """Keep an applied run that would go back by itself."""
    with command(as_json=as_json, state=state) as screen:
        from lbsync.cli.listing import existing, nothing_yet
        from lbsync.cli.running import actor
        from lbsync.engine import confirm as keep

        ledger = existing(screen)
        if ledger is None:
            raise nothing_yet(screen)
        with ledger:
            run_id = _waiting(ledger, run)
            keep(ledger, run_id, actor=actor())
        screen.result(f"Confirmed: run {run_id} stays.")
        screen.document({"run": run_id, "confirmed": True})


def _waiting(ledger: Ledger, run: str) -> str:
    """The run meant: for ``latest`` the newest that waits, where one does."""
    from lbsync.run import RunPhase

    if run == "latest":
        for found in ledger.runs():
            if found.phase is RunPhase.AWAITING:
                return found.run_id
    return ledger.resolve(run)
