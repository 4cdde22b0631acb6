"""``lbsync prepare ep``: bring a farm to where Microsoft's script may turn Extended Protection on.

Rule of this file: what is demanded is judged by ``protection``, and what changes are plans like any other, applied by the same
engine and taken back the same way. Extended Protection itself is never turned on here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.durations import seconds
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Quiet, StateFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbsync.cli.house import House, Look
    from lbsync.model import Mode, Plan
    from lbsync.protection import Demand
    from lbsync.services import Service

app = typer.Typer(help="Prepare a farm for what comes next.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def prepare() -> None:
    """Prepare a farm for what comes next."""


@app.command("ep")
def ep(  # noqa: PLR0917  # typer calls it by keyword
    check: Annotated[bool, typer.Option("--check", help="Only judge: exit code 0 ready, 2 not ready.")] = False,
    config: ConfigFile = None,
    state: StateFolder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    confirm_within: Annotated[
        str | None,
        typer.Option("--confirm-within", metavar="10m", help="Go back by itself unless lbsync confirm comes in time."),
    ] = None,
    canary: Annotated[bool, typer.Option(help="Send requests all the while and count failures.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Meet what Extended Protection demands: all bridged, one certificate everywhere, SSLOffloading off.

    Shows each demand, asks before each plan, judges again, and prints the commands of Microsoft's script to run next. It never
    turns Extended Protection on by itself.
    """
    confirm_s = seconds(confirm_within) if confirm_within is not None else None
    if check and (yes or confirm_s is not None):
        raise typer.BadParameter("--check changes nothing: it goes neither with --yes nor with --confirm-within")
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.demandview import demands_view
        from lbsync.cli.listing import left_unfinished
        from lbsync.cli.wiring import open_house

        hindrance = left_unfinished(screen)
        if hindrance is not None and not check:
            raise hindrance
        with open_house(config, screen) as house:
            look, judged = _judged(house)
            screen.result(*demands_view("What Extended Protection demands:", judged))
            if not check:
                changed = False
                for make in (_distribution, _bridging):
                    changed = _meet(screen, house, make, look, confirm_s, yes=yes, canary=canary) or changed
                    look, judged = _judged(house) if changed else (look, judged)
                if changed:
                    screen.result(*demands_view("What Extended Protection demands, judged again:", judged))
                _warn_of_going_back(screen, house)
            screen.end(_told(screen, look, judged))


def _judged(house: House) -> tuple[Look, tuple[Demand, ...]]:
    """A look, and every demand."""
    from lbsync.protection import demands

    look = house.look()
    return look, demands(look.desired, look.facts, house.capabilities, look.now)


def _distribution(house: House, look: Look) -> tuple[Look, Plan | None]:
    """The certificate onto the servers that hold another one; modes stay. Raises UnsafeChange."""
    from lbsync.plan import build_distribution
    from lbsync.protection.servers import holding_another

    if not holding_another(look.desired, look.facts):
        return look, None
    return look, build_distribution(look.desired, look.facts, house.targets, look.now)


def _bridging(house: House, look: Look) -> tuple[Look, Plan | None]:
    """Everything bridged, SSLOffloading off. Raises UnsafeChange, UnsupportedMode."""
    from lbsync.cli.choosing import planned
    from lbsync.protection import wish

    wanted = replace(look, desired=wish(look.desired))
    return wanted, planned(house, wanted, _all_bridged())


def _all_bridged() -> dict[Service, Mode]:
    from lbsync.config.chosen import chosen_modes

    return chosen_modes(["all=bridge"])


def _meet(
    screen: Session,
    house: House,
    make: Callable[[House, Look], tuple[Look, Plan | None]],
    look: Look,
    confirm_s: float | None,
    *,
    yes: bool,
    canary: bool,
) -> bool:
    """Show a plan, ask, apply it; true where something changed. Ends the command where it did not come through."""
    from lbsync.cli.applying import agreed, carry_out

    wanted, plan = make(house, look)
    if plan is None or not plan.steps:
        return False
    agreed(screen, plan, yes=yes)
    if not screen.as_json:
        ended = carry_out(screen, house, wanted, plan, confirm_s, canary=canary)
    else:
        with screen.muted():  # one document in the end
            ended = carry_out(screen, house, wanted, plan, confirm_s, canary=canary)
    if ended is not ExitCode.OK:
        _tell_run(screen)
        screen.end(ended)
    return True


def _tell_run(screen: Session) -> None:
    """For machines: the run that did not come through, as it stands."""
    from lbsync.cli.listing import existing
    from lbsync.cli.runview import run_document

    ledger = existing(screen)
    assert ledger is not None  # noqa: S101  a run has just been written to it
    with ledger:
        screen.document(run_document(ledger.run(ledger.runs()[0].run_id)))


def _warn_of_going_back(screen: Session, house: House) -> None:
    from lbsync.cli.choosing import goes_back

    warning = goes_back(house, _all_bridged())
    if warning:
        screen.warn(warning)


def _told(screen: Session, look: Look, judged: tuple[Demand, ...]) -> ExitCode:
    """The last words; returns what the command is to end with."""
    from lbsync.cli.demandview import next_view
    from lbsync.protection import ready
    from lbsync.protection.afterwards import commands

    is_ready = ready(judged)
    screen.document(_document(judged, ready=is_ready, commands=commands(look.facts.servers) if is_ready else ()))
    if is_ready:
        screen.result(*next_view(look.facts.servers))
        return ExitCode.OK
    open_ = ", ".join(demand.id for demand in judged if demand.decides and demand.state != "met")
    by_lbsync = all(demand.lbsync_can for demand in judged if demand.decides and demand.state != "met")
    words = "lbsync prepare ep meets them." if by_lbsync else "do what stands there, then run lbsync prepare ep again."
    screen.result(f"Not ready for Extended Protection: {open_}; {words}")
    return ExitCode.ATTENTION


def _document(judged: tuple[Demand, ...], *, ready: bool, commands: tuple[str, ...]) -> dict[str, object]:
    return {
        "ready": ready,
        "demands": [demand.model_dump(mode="json") for demand in judged],
        "next": list(commands),
    }
