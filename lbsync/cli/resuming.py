"""``lbsync resume``: carry on a run that was killed or stopped, the way it was going."""

from __future__ import annotations

from lbsync.cli.command import command
from lbsync.cli.options import AsJson, ConfigFile, Quiet, RunId, StateFolder


def resume(
    run: RunId = "latest",
    config: ConfigFile = None,
    state: StateFolder = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Carry on a run that was cut off or stopped.

    It goes on in the direction it went, forward or back.
    """
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.listing import nothing_yet
        from lbsync.cli.running import Story, actor, at_work, finish, open_ledger
        from lbsync.cli.wiring import open_house
        from lbsync.run import RunPhase

        if not screen.ledger_path.exists():
            raise nothing_yet(screen)
        with open_house(config, screen) as house, open_ledger(screen) as ledger:
            run_id = _unfinished(ledger.latest_unfinished(), run) or ledger.resolve(run)
            before = ledger.run(run_id)
            screen.note(f"Carrying on run {run_id}.")
            waits = before.started.confirm_within_s is not None
            with at_work(screen, house, ledger, ignore_hangup=waits) as engine:
                after = engine.resume(run_id, actor=actor())
            wanted = RunPhase.UNDONE if before.turned_back else RunPhase.APPLIED
            screen.end(finish(screen, house, ledger, after, Story(), wanted=wanted))


def _unfinished(found: str | None, run: str) -> str | None:
    """For ``latest`` the newest unfinished run, where there is one."""
    return found if run == "latest" else None
