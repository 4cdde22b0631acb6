"""``lbsync rollback``: take a run back, also days later; stops at what somebody else changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Quiet, RunId, StateFolder

if TYPE_CHECKING:
    from lbsync.cli.house import House
    from lbsync.ledger import Ledger
    from lbsync.run import Run


def rollback(  # noqa: PLR0917  # typer calls it by keyword
    run: RunId = "latest",
    config: ConfigFile = None,
    state: StateFolder = None,
    force: Annotated[
        bool, typer.Option("--force", help="Put back what was before even where somebody else changed it since.")
    ] = False,
    canary: Annotated[bool, typer.Option(help="Send requests all the while and count failures.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take a run back, step by step, in reverse order."""
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.evidence import watching
        from lbsync.cli.listing import nothing_yet
        from lbsync.cli.running import Story, actor, at_work, finish, open_ledger
        from lbsync.cli.wiring import open_house
        from lbsync.run import RunPhase

        if not screen.ledger_path.exists():
            raise nothing_yet(screen)
        with open_house(config, screen) as house, open_ledger(screen) as ledger:
            run_id = ledger.resolve(run)
            if ledger.phase(run_id) is RunPhase.UNDONE:
                screen.result(f"Nothing to do: run {run_id} was taken back before.")
                screen.document({"run": run_id, "phase": RunPhase.UNDONE.value})
                screen.end(ExitCode.OK)
            _refuse_pruned(screen, ledger, run_id)
            _refuse_harmful(screen, house, ledger.run(run_id), force=force)
            screen.note(f"Taking back run {run_id}.")
            story = Story()
            with (
                watching(screen, house, story, "Canary while it was taken back", wanted=canary) as watch,
                at_work(screen, house, ledger, watch) as engine,
            ):
                after = engine.rollback(run_id, actor=actor(), force=force)
            screen.end(finish(screen, house, ledger, after, story, wanted=RunPhase.UNDONE))


def _refuse_pruned(screen: Session, ledger: Ledger, run_id: str) -> None:
    """Raises UnsafeChange where the way back would serve what ``lbsync prune`` removed, or where this run is such a removal."""
    from lbsync.cli.pruning import pruned_since
    from lbsync.errors import UnsafeChange
    from lbsync.run import RunPhase, removed_for_good

    run = ledger.run(run_id)
    gone = removed_for_good(run)
    if run.phase is RunPhase.APPLIED and gone:
        raise UnsafeChange(
            f"run {run_id} removed certificates for good: there is no way back",
            reasons=tuple(f"{step.target}: {step.summary}" for step in gone),
            state="nothing was changed by this command",
            remedy="where one is needed again, bring it from its PFX and rotate to it: lbsync rotate --thumbprint",
        )
    reasons = tuple(pruned_since(screen, run_id))
    if reasons:
        raise UnsafeChange(
            f"run {run_id} cannot be taken back: a certificate that was served before it was removed for good",
            reasons=reasons,
            state="nothing was changed by this command",
            remedy="where that one must be served again, bring it from its PFX and rotate to it: lbsync rotate --thumbprint",
        )


def _refuse_harmful(screen: Session, house: House, run: Run, *, force: bool) -> None:
    """Raises UnsafeChange where this way back would leave servers and balancers, or clients, unable to talk to each other.

    Towards offloading, what came since may forbid that (``force`` goes on all the same); towards Require SSL, balancers may send
    plain HTTP there by now, which nothing makes right.
    """
    from lbsync.advise.way_back import demanding_again, forbidden, offloaded_again, stranded
    from lbsync.desired import FactSet
    from lbsync.errors import UnsafeChange
    from lbsync.run import RunPhase

    services = offloaded_again(run.plan) if run.phase is RunPhase.APPLIED and not force else ()
    demanding = demanding_again(run.plan)
    if not services and not demanding:
        return
    seen = house.see()
    facts = FactSet(servers=seen.servers, farm=seen.farm, balancers=seen.balancers)
    cut_off = stranded(demanding, facts)
    if cut_off:
        told = ", ".join(cut_off)
        raise UnsafeChange(
            f"run {run.run_id} cannot be taken back now: balancers send {told} over plain HTTP, and no server would take it",
            reasons=("what came after this run sends clients there, so that has to go first",),
            state="nothing was changed by this command",
            remedy=f"take back first what offloaded {told} (lbsync runs), or bridge: lbsync apply --mode all=bridge",
        )
    for error in seen.errors if services else ():
        screen.warn(f"{error.where}: {error.message}; whether what is in force there forbids offloading is not known")
    reasons = forbidden(services, facts)
    if reasons:
        raise UnsafeChange(
            f"run {run.run_id} bridged {', '.join(services)}; taken back, they would be offloaded again and nobody could log on",
            reasons=reasons,
            state="nothing was changed by this command",
            remedy="leave them bridged, or turn it off first; --force takes the run back all the same",
        )
