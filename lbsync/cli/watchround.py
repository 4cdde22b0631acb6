"""One round of a watch: look, remember, and rotate where it is due.

Rule of this file: a rotation here is the one of ``lbsync rotate``, without a question; whatever it fails of is remembered before
anything else is done.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lbsync.cli.command import Session, tell
from lbsync.cli.exits import ExitCode, code_of
from lbsync.cli.house import House, Seen
from lbsync.cli.sighting import look
from lbsync.cli.watchfile import load_memory, save_memory
from lbsync.cli.watchview import exit_code
from lbsync.config import WatchSection, modes, windows
from lbsync.errors import LbsyncError
from lbsync.watch.items import Item, Level, Sight, Thresholds, items
from lbsync.watch.memory import BackOff, Memory
from lbsync.watch.outlook import Outlook, outlook
from lbsync.watch.overview import Overview, overview
from lbsync_certs import CertificateInfo

_SHORT_JITTER_S = 20.0
"""Within the shortest window that can be written."""


@dataclass(frozen=True, slots=True)
class Round:
    """What was found at ``now``, what comes next, and what the command is to end with.

    ``ahead`` is what would come next if lbsync might rotate by itself: what whoever approves it waits for.
    """

    items: tuple[Item, ...]
    outlook: Outlook
    ahead: Outlook
    overview: Overview
    thresholds: Thresholds
    code: ExitCode
    now: datetime
    section: WatchSection

    def wait_s(self, now: datetime, chance: float) -> float:
        """Seconds until the next look; ``chance`` (0 to 1) is its share of the jitter. What is due earlier is not slept over."""
        usual = self.section.every_s + chance * self.section.jitter_s
        if self.outlook.at is None:
            return usual
        due_s = (self.outlook.at - now).total_seconds() + chance * min(self.section.jitter_s, _SHORT_JITTER_S)
        return min(usual, due_s) if due_s > 0 else usual


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How a rotation ended; ``reason`` is empty where it was done."""

    code: ExitCode
    reason: str = ""
    run: str | None = None


def go_round(screen: Session, house: House, stop: threading.Event, *, canary: bool, look_only: bool = False) -> Round:
    """One look, and the rotation that is due unless ``stop`` came meanwhile, or nothing but the look was asked for.

    Raises Denied, LbsyncError for a memory that cannot be read, OSError.
    """
    path = screen.folder / "watch.json"
    memory = load_memory(path)
    section = house.config.watch
    sight, seen = look(screen, house)
    now = datetime.now(UTC)
    memory = _settled(sight, memory, path)
    ahead = outlook(sight, memory, windows(section), now, allowed=section.rotate)
    attempt: _Attempt | None = None
    if ahead.leaf is not None and ahead.due(now) and not look_only and not stop.is_set():
        screen.note(f"Rotating to {ahead.leaf.thumbprint}: {ahead.why}.")
        attempt = _rotate(screen, house, seen, ahead.leaf, canary=canary)
        after = datetime.now(UTC)
        if attempt.reason:
            back_off = BackOff(first_s=section.retry_first_s, most_s=section.retry_most_s)
            memory = load_memory(path)  # another watch may have written meanwhile
            failed = memory.failed(ahead.leaf, attempt.reason, after, back_off, run=attempt.run)
            save_memory(path, failed, memory)
            memory = failed
        sight, _ = look(screen, house)
        now = datetime.now(UTC)
        memory = _settled(sight, memory, path)
        ahead = outlook(sight, memory, windows(section), now, allowed=section.rotate)
    thresholds = Thresholds(warn_days=section.warn_days, critical_days=section.critical_days)
    found = (*_told(attempt), *items(sight, memory, thresholds, now))
    code = attempt.code if attempt is not None and attempt.reason else exit_code(found)
    return Round(
        items=found,
        outlook=ahead,
        ahead=outlook(sight, memory, windows(section), now, allowed=True),
        overview=_overview(sight, house, now),
        thresholds=thresholds,
        code=code,
        now=now,
        section=section,
    )


def _overview(sight: Sight, house: House, now: datetime) -> Overview:
    listeners = {listener.balancer: listener for listener in house.prober.listeners}
    return overview(sight, house.config.farm.name, modes(house.config.modes), listeners, now)


def _settled(sight: Sight, memory: Memory, path: Path) -> Memory:
    """Without what is over, now that every balancer serves the certificate that clients see."""
    leaves = {seen.leaf for seen in sight.facts.balancers if seen.published}
    if sight.current is None or sight.unseen or leaves != {sight.current.fingerprint}:
        return memory
    after = memory.served(sight.current)
    save_memory(path, after, memory)
    return after


def _told(attempt: _Attempt | None) -> tuple[Item, ...]:
    if attempt is None:
        return ()
    shown = f"lbsync show {attempt.run} tells each step" if attempt.run else ""
    if attempt.reason:
        return (Item(level=Level.CRITICAL, subject="rotation", text=f"failed: {attempt.reason}", remedy=shown),)
    return (Item(level=Level.OK, subject="rotation", text="done, and proven from outside", remedy=shown),)


def _rotate(screen: Session, house: House, seen: Seen, leaf: CertificateInfo, *, canary: bool) -> _Attempt:
    from lbsync.cli.applying import agreed, carry_out
    from lbsync.cli.renewing import opened, rotation

    before = _newest(screen)
    try:
        wanted = opened(house, house.judged(seen), leaf)
        plan = rotation(house, wanted)
        with screen.muted():
            agreed(screen, plan, yes=True)
            code = carry_out(screen, house, wanted, plan, None, canary=canary)
    except LbsyncError as error:
        tell(screen, error)
        reason = screen.redactor.clean(" ".join((error.message, *getattr(error, "reasons", ()))))
        return _Attempt(code_of(error), reason)
    run = _newest(screen)
    return _Attempt(code, _trouble(screen, run) if code is not ExitCode.OK else "", run if run != before else None)


def _newest(screen: Session) -> str | None:
    from lbsync.cli.listing import existing

    ledger = existing(screen)
    if ledger is None:
        return None
    with ledger:
        return next((one.run_id for one in ledger.runs()), None)


def _trouble(screen: Session, run: str | None) -> str:
    """Why a run did not end as wanted, in its own words."""
    from lbsync.cli.listing import existing
    from lbsync.engine import problem
    from lbsync.run import RunPhase

    ledger = existing(screen)
    if ledger is None or run is None:
        return "it ended unexpectedly"
    with ledger:
        trouble = problem(ledger.run(run), wanted=RunPhase.APPLIED)
    return trouble.message if trouble is not None else "it ended unexpectedly"
