"""From what a child printed to what a namespace is shown as.

Rule of this file: pure. An answer that cannot be read leaves everything as it was known before, with the reason: old news with
its age is worth more than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import ConfigDict, Field, JsonValue, ValidationError

from lbsync.errors import LbsyncError
from lbsync.model import Value
from lbsync.service.values import DriftState, Item, Level, NamespaceState
from lbsync.watch.outlook import Outlook
from lbsync.watch.overview import Overview

_MOST_DRIFT_LINES = 50


class Rates(Value):
    """What ``[watch]`` of the namespace says; times are seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    rotate: bool = False
    every_s: float = Field(default=3600.0, gt=0)
    jitter_s: float = Field(default=300.0, ge=0)


class Watched(Value):
    """What ``lbsync watch --once --json`` prints."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: datetime
    level: Level
    items: tuple[Item, ...]
    next: Outlook
    ahead: Outlook
    watch: Rates
    overview: Overview


def read(document: Mapping[str, JsonValue]) -> Watched:
    """The document of a look. Raises LbsyncError where it is none that this version understands."""
    try:
        return Watched.model_validate(document)
    except ValidationError as error:
        raise LbsyncError(
            f"the answer of lbsync watch cannot be read ({error.error_count()} faults)",
            state="what was known before is shown",
            remedy="where lbsync was updated beneath the running service, restart the service",
            code="unreadable-answer",
        ) from None


def looked(state: NamespaceState, watched: Watched, *, approve: bool) -> NamespaceState:
    """After a look. ``approve``: a rotation waits for an approver, so what is shown is what would be approved."""
    ahead = watched.ahead if approve else watched.next
    seen = watched.overview
    return state.model_copy(
        update={
            "farm": seen.farm,
            "level": watched.level,
            "items": watched.items,
            "listeners": seen.listeners,
            "modes": seen.modes,
            "servers": seen.servers,
            "certificates": seen.certificates,
            "next_text": next_text(ahead, watched.at, approve=approve),
            "next_at": ahead.at,
            "looked_at": watched.at,
            "failures": 0,
            "error": "",
        }
    )


def next_text(ahead: Outlook, now: datetime, *, approve: bool) -> str:
    """What comes next, in a line without the moment, which is told apart."""
    if ahead.leaf is None or ahead.at is None:
        return ahead.why
    what = f"rotate to {ahead.leaf.thumbprint}: {ahead.why}"
    if not approve:
        return what
    return f"{what}; it waits for an approver" + ("" if ahead.at <= now else ", who need not wait for the window")


def failed(state: NamespaceState, error: Mapping[str, JsonValue], failures: int) -> NamespaceState:
    """After a look that told nothing: what was known before stays, and is said to be old by ``looked_at``."""
    return state.model_copy(update={"level": Level.UNKNOWN, "failures": failures, "error": told(error)})


def told(error: Mapping[str, JsonValue]) -> str:
    """An error of a command in a line."""
    where, remedy = error.get("where"), error.get("remedy")
    line = f"{where}: {error.get('message')}" if where else str(error.get("message"))
    return f"{line}. What to do: {remedy}" if remedy else line


def drifted(state: NamespaceState, document: Mapping[str, JsonValue]) -> NamespaceState:
    """After ``lbsync drift --json``; an answer that lists no differences changes nothing."""
    found = document.get("differences")
    if not isinstance(found, list):
        return state
    lines = tuple(
        " ".join(str(one.get(key, "")) for key in ("target", "subject", "text")).strip()
        for one in found
        if isinstance(one, dict)
    )
    return state.model_copy(update={"drift": DriftState(count=len(lines), lines=lines[:_MOST_DRIFT_LINES])})
