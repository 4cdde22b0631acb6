"""``lbsync apply``: do what a plan says, one step at a time, each written down first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.durations import seconds
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, Basis, ConfigFile, Modes, Only, Quiet, StateFolder

if TYPE_CHECKING:
    from lbsync.cli.house import House, Look
    from lbsync.cli.planfile import Saved
    from lbsync.model import Mode, Plan
    from lbsync.report import Found
    from lbsync.services import Service


def apply(  # noqa: PLR0917  # typer calls it by keyword
    plan: Annotated[Path | None, typer.Argument(help="A plan saved by lbsync plan --out; default: plan anew.")] = None,
    config: ConfigFile = None,
    state: StateFolder = None,
    mode: Modes = None,
    only: Only = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    confirm_within: Annotated[
        str | None,
        typer.Option("--confirm-within", metavar="10m", help="Go back by itself unless lbsync confirm comes in time."),
    ] = None,
    basis: Basis = None,
    canary: Annotated[bool, typer.Option(help="Send requests all the while and count failures.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Carry a plan out; what fails is taken back.

    Looks again first, shows the plan and asks. A saved plan is refused where anything changed since.
    """
    confirm_s = seconds(confirm_within) if confirm_within is not None else None
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.choosing import goes_back, modes_of, servers_of, with_chosen
        from lbsync.cli.listing import left_unfinished
        from lbsync.cli.planfile import load_plan
        from lbsync.cli.planview import plan_view
        from lbsync.cli.wiring import open_house
        from lbsync.config.chosen import chosen_modes
        from lbsync.config.taken import taken_servers

        modes: Mapping[Service, Mode] = chosen_modes(mode or ())
        hindrance = left_unfinished(screen)
        if hindrance is not None:
            raise hindrance
        with open_house(config, screen) as house:
            saved = load_plan(plan) if plan is not None else None
            taken = taken_servers(house.config, only or ())
            if saved is not None:
                modes, taken = modes_of(saved, modes, str(plan)), servers_of(saved, taken, str(plan))
            look = house.look()
            chosen = approved(house, look, modes, saved, str(plan), taken)
            refuse_another(chosen, basis)
            if not chosen.steps:
                screen.result(*plan_view(chosen))
                screen.document({"steps": []})
                ended = ExitCode.OK
            else:
                agreed(screen, chosen, yes=yes)
                # What is seen in the end are the modes of the plan: one for some servers leaves services bridged.
                ended = carry_out(screen, house, with_chosen(look, chosen.modes), chosen, confirm_s, canary=canary)
            if ended is ExitCode.OK and (warning := goes_back(house, modes)):
                screen.warn(warning)
            screen.end(ended)


def approved(  # noqa: PLR0917  # each says what is approved
    house: House,
    look: Look,
    modes: Mapping[Service, Mode],
    saved: Saved | None,
    where: str,
    only: Sequence[str] = (),
) -> Plan:
    """The plan to apply: a fresh one, or the saved one where the facts are still those it was made from.

    ``modes`` and ``only`` are what was chosen beside the configuration. Raises UnsafeChange where a rule refuses now, StalePlan
    where facts or configuration changed since.
    """
    from lbsync.cli.choosing import planned
    from lbsync.errors import StalePlan

    fresh = planned(house, look, modes, only)
    if saved is None:
        return fresh
    if saved.plan.basis != fresh.basis:
        raise StalePlan(
            "servers, balancers or the configuration changed since this plan was made",
            where=where,
            state="nothing was changed",
            remedy="make a new one and look at it: lbsync plan --out FILE",
        )
    return saved.plan


def refuse_another(plan: Plan, basis: str | None) -> None:
    """Raises StalePlan where a basis was approved, and this plan has another."""
    from lbsync.errors import StalePlan

    if basis is not None and plan.basis != basis.lower():
        raise StalePlan(
            "servers, balancers or the configuration changed since the plan was approved",
            where="--basis",
            state="nothing was changed",
            remedy="look at the plan as it is now, and approve that one",
        )


def agreed(screen: Session, plan: Plan, *, yes: bool) -> None:
    """Show the plan and have it approved. Raises PlanRefused where it is not."""
    from lbsync.cli.planview import plan_summary, plan_view
    from lbsync.errors import PlanRefused

    if not screen.quiet:
        screen.result(*(plan_summary(plan) if yes else plan_view(plan)))
    if yes or screen.ask("Apply this plan? Only yes will do:", "yes"):
        return
    raise PlanRefused(
        "the plan was not approved",
        state="nothing was changed",
        remedy="answer yes, or give --yes where nobody can be asked",
    )


def carry_out(
    screen: Session, house: House, look: Look, plan: Plan, confirm_s: float | None, *, canary: bool, again: bool = False
) -> ExitCode:
    """Apply a plan with everything around it; returns what the command is to end with. ``again``: no first run of it."""
    from datetime import UTC, datetime

    from lbsync.cli.backstop import backstop
    from lbsync.cli.evidence import look_from_outside, watching
    from lbsync.cli.running import Story, actor, at_work, finish, open_ledger, order
    from lbsync.engine import new_run_id
    from lbsync.run import RunPhase

    run_id = new_run_id(datetime.now(UTC))
    story = Story(found=found(look), hosts=look.desired.hosts, leaf=_leaf(look))
    with open_ledger(screen) as ledger:
        with (
            backstop(screen, house, run_id, confirm_s) as timer,
            watching(screen, house, story, "Canary while it was applied", wanted=canary) as watch,
            at_work(screen, house, ledger, watch, timer, ignore_hangup=confirm_s is not None) as engine,
        ):
            run = engine.apply(
                plan, actor=actor(), confirm_within_s=confirm_s, run_id=run_id, order=order(), again=again
            )
        if run.phase is RunPhase.APPLIED:
            look_from_outside(screen, house, look, story)
        return finish(screen, house, ledger, run, story, wanted=RunPhase.APPLIED)


def found(look: Look) -> Found:
    """What was seen before, as the report tells it."""
    from lbsync.cli.factsview import balancer_row, problems_of, server_row
    from lbsync.report import Found, Row

    return Found(
        at=look.now,
        servers=tuple(Row(subject=s.server, columns=server_row(look.facts, s, look.now)) for s in look.facts.servers),
        balancers=tuple(Row(subject=b.balancer, columns=balancer_row(b)) for b in look.facts.balancers),
        remarks=tuple(f"{where}: {problem}" for where, problem in problems_of(look.facts)),
    )


def _leaf(look: Look) -> str:
    leaf = look.desired.leaf
    return f"{leaf.subject}, until {leaf.not_after:%Y-%m-%d}, SHA-256 {leaf.fingerprint}" if leaf else ""
