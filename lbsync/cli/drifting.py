"""``lbsync drift``: what differs from the last state that a run left, what likely did it, and the way back or the adoption.

Rule of this file: nothing on servers and balancers is ever changed here; adopting writes one file, once it was shown and
agreed to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lbsync.cli.command import Session, command
from lbsync.cli.exits import ExitCode
from lbsync.cli.options import AsJson, ConfigFile, Quiet, StateFolder

if TYPE_CHECKING:
    from pathlib import Path

    from lbsync.cli.driftview import Told
    from lbsync.cli.house import House, Look, Seen
    from lbsync.drift.baseline import Baseline, Sighted
    from lbsync.drift.compare import Compared
    from lbsync.errors import LbsyncError
    from lbsync.model import Plan


def drift(  # noqa: PLR0917  # typer calls it by keyword
    config: ConfigFile = None,
    state: StateFolder = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take what is there now as the state to compare with; changes nothing else.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --adopt: do not ask.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare what lbsync last left with what is there now. Exit code: 0 the same, 2 drift, 1 error.

    Says what likely did it (an update of Exchange, a person, a failover), whether it matters for the modes wanted, and what
    mends it.
    """
    with command(as_json=as_json, quiet=quiet, state=state) as screen:
        from lbsync.cli.baselinefile import baseline_path, sight
        from lbsync.cli.driftview import drift_document, drift_view
        from lbsync.cli.wiring import open_house

        if yes and not adopt:
            raise _only_with_adopt()
        _refuse_half_way(screen, adopt=adopt)
        with open_house(config, screen) as house:
            path = baseline_path(screen, house)
            baseline = _known(screen, path, adopt=adopt)
            seen = house.see()
            today = sight(house, seen)
            told = _told(house, seen, today, baseline) if baseline is not None else None
            if told is not None:
                _warn_outdated(screen, told.baseline)
                screen.result(*drift_view(told))
            if adopt:
                screen.end(_adopt(screen, house, seen, told, yes=yes))
        if told is None:
            raise _no_baseline(str(path))
        screen.document(drift_document(told))
        screen.end(_code(told.compared))


def _known(screen: Session, path: Path, *, adopt: bool) -> Baseline | None:
    """What is remembered. Raises LbsyncError where there is nothing, or it cannot be read, and nothing is to be adopted."""
    from lbsync.cli.baselinefile import load_baseline
    from lbsync.errors import LbsyncError

    try:
        found = load_baseline(path)
    except LbsyncError as error:
        if not adopt:
            raise
        screen.warn(f"{error.message}; a new one takes its place")
        return None
    if found is None and not adopt:
        raise _no_baseline(str(path))
    return found


def _code(compared: Compared) -> ExitCode:
    """Drift, or one of whom nothing is known, is worth a look; who does not answer is an error where nothing else is found."""
    if compared.differences or compared.unknown:
        return ExitCode.ATTENTION
    return ExitCode.ERROR if compared.unseen else ExitCode.OK


def _told(house: House, seen: Seen, today: Sighted, baseline: Baseline) -> Told:
    """Compared, with causes, and judged anew where everybody answered."""
    from lbsync.cli.driftview import Told
    from lbsync.drift.cause import causes
    from lbsync.drift.compare import compare
    from lbsync.errors import LbsyncError

    compared = compare(baseline, today)
    found = causes(compared.differences, today.facts)
    if not compared.differences:
        return Told(baseline, compared, found)
    if seen.errors:
        return Told(baseline, compared, found, unjudged="somebody does not answer")
    try:
        look = house.judged(seen)
    except LbsyncError as error:  # the certificate's file, say
        return Told(baseline, compared, found, unjudged=error.message)
    return _judged(house, look, today, Told(baseline, compared, found))


def _judged(house: House, look: Look, today: Sighted, told: Told) -> Told:
    """With what each difference means for the wanted modes, and what may be done."""
    from dataclasses import replace

    from lbsync.advise import advise
    from lbsync.config.chosen import chosen_modes
    from lbsync.drift.offer import mended, offer, only_levelling
    from lbsync.drift.weigh import weigh

    differences = told.compared.differences
    advice = advise(look.desired, look.facts, house.capabilities, look.now)
    plan = _plan(house, look)
    levelled = _allowing_drift(look)
    level = _plan(house, levelled) if plan is None and only_levelling(advice) else None
    bridged = levelled.desired.modes | chosen_modes(["all=bridge"])
    bridging = replace(levelled, desired=levelled.desired.model_copy(update={"modes": bridged}))
    may_bridge = plan is None and level is None and _plan(house, bridging) is not None
    return replace(
        told,
        why=weigh(differences, look.desired, told.baseline.facts, today.facts, house.capabilities, at=look.now),
        mended=mended(differences, look.desired, look.facts, plan or level),
        offer=offer(differences, advice, plan, level=level, may_bridge=may_bridge),
    )


def _plan(house: House, look: Look) -> Plan | None:
    """The ordinary plan; ``None`` where it is refused."""
    from lbsync.errors import PlanRefused

    try:
        return house.plan(look)
    except PlanRefused:
        return None


def _allowing_drift(look: Look) -> Look:
    from dataclasses import replace

    limits = look.desired.limits.model_copy(update={"allow_drift": True})
    return replace(look, desired=look.desired.model_copy(update={"limits": limits}))


def _adopt(screen: Session, house: House, seen: Seen, told: Told | None, *, yes: bool) -> ExitCode:
    """Shown above; asked, and written. Raises PlanRefused, OSError."""
    from lbsync.cli.baselinefile import baseline_path, save_baseline, sight, taken
    from lbsync.errors import PlanRefused

    marked = [one.balancer for one in seen.balancers if one.marker is not None]
    if marked:
        raise PlanRefused(
            "somebody is at work here: what is there now is no state to keep",
            where=", ".join(marked),
            state="nothing was written or changed",
            remedy="wait for that run to end; lbsync check shows the mark",
        )
    today = sight(house, seen)
    for name, why in today.silent.items() if seen.errors else ():
        screen.warn(f"{name} gets no baseline: {why}")
    if not (yes or screen.ask("Take what is there now as the state to compare with? Only yes will do:", "yes")):
        raise PlanRefused(
            "it was not adopted",
            state="nothing was written or changed",
            remedy="answer yes, or give --yes where nobody can be asked",
        )
    baseline = taken(house, today, "adopted", None)
    save_baseline(screen, baseline_path(screen, house), baseline)
    screen.result(f"Adopted: {len(today.facts.servers)} servers, {len(today.facts.balancers)} balancers.")
    differences = [one.model_dump(mode="json") for one in told.compared.differences] if told is not None else None
    screen.document({"adopted": baseline.model_dump(mode="json", exclude={"facts"}), "differences": differences})
    return ExitCode.OK


def _refuse_half_way(screen: Session, *, adopt: bool) -> None:
    """A run at work or half-way: what is there now is nobody's wish. It is told; raises LbsyncError where it would be adopted."""
    from lbsync.cli.listing import left_unfinished
    from lbsync.errors import LedgerError

    try:
        hindrance = left_unfinished(screen)
    except LedgerError as damaged:
        hindrance = damaged
    if hindrance is None:
        _warn_of_the_way_back(screen)
        return
    if adopt:
        raise hindrance
    screen.warn(f"{hindrance.message}: {hindrance.remedy}")


def _warn_of_the_way_back(screen: Session) -> None:
    """The newest run stopped on its way back: what is there now is half of two states, which a person may want to keep."""
    from lbsync.cli.listing import existing
    from lbsync.cli.runview import PHASES
    from lbsync.run import RunPhase

    ledger = existing(screen)
    if ledger is None:
        return
    with ledger:
        newest = next(iter(ledger.runs()), None)
    if newest is not None and newest.phase in {RunPhase.HELD, RunPhase.INCOMPLETE}:
        screen.warn(
            f"run {newest.run_id}: {PHASES[newest.phase]}; what is there now is neither state. lbsync show {newest.run_id} tells "
            f"what is left, lbsync rollback {newest.run_id} tries again"
        )


def _warn_outdated(screen: Session, baseline: Baseline) -> None:
    from lbsync.cli.listing import existing
    from lbsync.drift.baseline import outdated
    from lbsync.errors import LedgerError

    try:
        ledger = existing(screen)
        if ledger is None:
            return
        with ledger:
            run = outdated(baseline, ledger.runs())
    except LedgerError:
        return  # told before
    if run is not None:
        screen.warn(
            f"run {run} ended later and could not be added to this baseline: what it did shows as drift. lbsync show {run} tells "
            "what that was; then lbsync drift --adopt"
        )


def _no_baseline(where: str) -> LbsyncError:
    from lbsync.errors import LbsyncError

    return LbsyncError(
        "there is no baseline: no run of lbsync ended here yet, or its end could not be read",
        where=where,
        state="nothing was changed",
        remedy="take what is there now as the baseline: lbsync drift --adopt",
        code="no-baseline",
    )


def _only_with_adopt() -> LbsyncError:
    from lbsync.errors import ConfigError

    return ConfigError(
        "--yes goes with --adopt only",
        where="--yes",
        state="nothing was read and nothing was changed",
        remedy="leave it out, or add --adopt",
    )
