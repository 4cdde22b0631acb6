"""One look for a watch: what clients get, what is stored, what could follow; whoever does not answer is told, not fatal.

Rule of this file: it asks and gathers; what it means, ``lbsync.watch`` says.
"""

from __future__ import annotations

from datetime import UTC, datetime

from lbsync.cli.baselinefile import baseline_path, load_baseline, sight
from lbsync.cli.command import Session
from lbsync.cli.house import House, Seen
from lbsync.cli.listing import existing, left_unfinished
from lbsync.cli.renewing import candidates, served
from lbsync.cli.runview import PHASES
from lbsync.desired import FactSet
from lbsync.drift.compare import compare
from lbsync.drift.difference import Difference
from lbsync.errors import CertificateError, LbsyncError, SecretError, UnsafeChange
from lbsync.rotation.candidates import Candidate, renewals
from lbsync.run import RunPhase, RunSummary
from lbsync.verdict import Greeting
from lbsync.watch.items import Hindrance, Level, Sight
from lbsync_certs import CertificateInfo, CertificateProblem, Fingerprint

_RECENT = 50
"""So many runs are looked through for one that was taken back."""


def look(screen: Session, house: House) -> tuple[Sight, Seen]:
    """Everything at once. Raises Denied for a refused log-on: one is enough, and the account must not be locked out."""
    seen = house.see()
    unseen = [(error.where, error.message) for error in seen.errors]
    current = _current(house, seen, unseen)
    found, unreadable = _found(house, seen, unseen)
    hosts = house.config.publish.hosts
    hindrance = _hindrance(screen, seen)
    differences, since, broken = _drift(screen, house, seen) if hindrance is None else ((), "", ())
    return Sight(
        facts=FactSet(servers=seen.servers, farm=seen.farm, balancers=seen.balancers),
        greetings=_greetings(house, seen),
        current=current,
        renewals=renewals(current, found, datetime.now(UTC), hosts) if current is not None else (),
        unreadable=(*unreadable, *broken),
        unseen=tuple(unseen),
        hindrance=hindrance,
        taken_back=_taken_back(screen),
        drift=differences,
        since=since,
    ), seen


def _hindrance(screen: Session, seen: Seen) -> Hindrance | None:
    """Why nothing may begin: by the ledger, and by the marks of others on the balancers."""
    error = left_unfinished(screen)
    newest = next(iter(_runs(screen)), None)
    if error is not None:
        waits = error.code == "run-locked" or (newest is not None and newest.phase is RunPhase.AWAITING)
        return Hindrance(level=Level.WARNING if waits else Level.CRITICAL, text=error.message, remedy=error.remedy)
    if newest is not None and newest.phase in {RunPhase.HELD, RunPhase.INCOMPLETE}:
        return Hindrance(
            level=Level.CRITICAL,
            text=f"run {newest.run_id}: {PHASES[newest.phase]}",
            remedy=f"lbsync show {newest.run_id} tells what is left, lbsync rollback {newest.run_id} tries again",
        )
    marked = [one.balancer for one in seen.balancers if one.marker is not None]
    if marked:
        return Hindrance(
            level=Level.WARNING,
            text=f"somebody is at work on {', '.join(marked)}, from another host or state folder",
            remedy="wait for it to end; lbsync check shows the mark",
        )
    return None


def _drift(
    screen: Session, house: House, seen: Seen
) -> tuple[tuple[Difference, ...], str, tuple[tuple[str, str], ...]]:
    """What differs from the baseline, where that is from, and why it could not be read; nothing is asked for it."""
    path = baseline_path(screen, house)
    try:
        baseline = load_baseline(path)
    except LbsyncError as error:
        return (), "", ((str(path), error.message),)
    if baseline is None:
        return (), "", ()
    return compare(baseline, sight(house, seen)).differences, baseline.told, ()


def _taken_back(screen: Session) -> dict[Fingerprint, str]:
    """By certificate, the newest run that went to it, where that was taken back."""
    ledger = existing(screen)
    found: dict[Fingerprint, str | None] = {}
    if ledger is not None:
        with ledger:
            for one in ledger.runs()[:_RECENT]:
                leaf = ledger.run(one.run_id).plan.leaf
                if leaf is not None:
                    found.setdefault(leaf, one.run_id if one.phase is RunPhase.UNDONE else None)
    return {leaf: run for leaf, run in found.items() if run is not None}


def _runs(screen: Session) -> tuple[RunSummary, ...]:
    ledger = existing(screen)
    if ledger is None:
        return ()
    with ledger:
        return ledger.runs()


def _current(house: House, seen: Seen, unseen: list[tuple[str, str]]) -> CertificateInfo | None:
    try:
        return served(house, seen.balancers, seen.servers)
    except UnsafeChange:
        return None  # nothing is published, which the facts say too
    except LbsyncError as error:
        unseen.append((error.where, error.message))
    except CertificateProblem as problem:
        unseen.append(("outside", problem.message))
    return None


def _found(
    house: House, seen: Seen, unseen: list[tuple[str, str]]
) -> tuple[tuple[Candidate, ...], tuple[tuple[str, str], ...]]:
    try:
        found, unreadable = candidates(house, seen.servers)
    except (CertificateError, SecretError) as error:
        unseen.append((error.where, error.message))
        return (), ()
    return found, tuple((one.path, one.problem) for one in unreadable)


def _greetings(house: House, seen: Seen) -> tuple[Greeting, ...]:
    """Full handshakes with every listener where something of ours is published, also where its management does not answer."""
    nothing = {one.balancer for one in seen.balancers if not one.published}
    prober = house.prober
    return tuple(
        prober.greet(listener, host)
        for listener in prober.listeners
        if listener.balancer not in nothing
        for host in prober.hosts
    )
