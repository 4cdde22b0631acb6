"""The words, marks and colours' names for everything that a page says by a sign.

Rule of this file: pure data and small choices. No sign is a colour alone: each has a shape and a word beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from lbsync.model import Mode
from lbsync.report.page import GLYPHS
from lbsync.run import RunPhase, Shown
from lbsync.service.values import JobKind, Kind, Lamp, Level
from lbsync.services import Service


@dataclass(frozen=True, slots=True)
class Sign:
    """``css``: the class of its colour and shape; ``word``: the same for who sees neither."""

    css: str
    mark: str
    word: str


LAMPS: Final[Mapping[Lamp, Sign]] = MappingProxyType(
    {
        Lamp.RED: Sign("bad", "■", "no TLS"),
        Lamp.YELLOW: Sign("warn", "▲", "another certificate"),
        Lamp.UNKNOWN: Sign("unk", "○", "not known"),
        Lamp.GREEN: Sign("ok", "●", "ours"),
    }
)
"""Lights of listeners, the worst first."""

LEVELS: Final[Mapping[Level, Sign]] = MappingProxyType(
    {
        Level.CRITICAL: Sign("bad", "✗", "Act now"),
        Level.UNKNOWN: Sign("unk", "?", "Not known"),
        Level.WARNING: Sign("warn", "!", "Look at it by day"),
        Level.OK: Sign("ok", "✓", "All well"),
    }
)
"""Levels of namespaces and items, the worst first."""

LOOKS: Final[Mapping[Shown, Sign]] = MappingProxyType(
    {
        "waiting": Sign("unk", GLYPHS["waiting"], "waiting"),
        "running": Sign("run", GLYPHS["running"], "under way"),
        "checking": Sign("run", GLYPHS["checking"], "being checked"),
        "done": Sign("ok", GLYPHS["done"], "done"),
        "failed": Sign("bad", GLYPHS["failed"], "failed"),
        "undoing": Sign("warn", GLYPHS["undoing"], "being undone"),
        "undone": Sign("warn", GLYPHS["undone"], "undone"),
        "skipped": Sign("unk", GLYPHS["skipped"], "skipped"),
    }
)
"""Steps of a run, with the marks of the command line."""

_PHASES: Final[Mapping[RunPhase, str]] = MappingProxyType(
    {
        RunPhase.APPLYING: "run",
        RunPhase.FAILING: "bad",
        RunPhase.AWAITING: "warn",
        RunPhase.APPLIED: "ok",
        RunPhase.GOING_BACK: "warn",
        RunPhase.HOLDING: "bad",
        RunPhase.HELD: "bad",
        RunPhase.INCOMPLETE: "bad",
        RunPhase.UNDONE: "unk",
    }
)

SIGNS: Final[Mapping[str, str]] = MappingProxyType(
    {"+": "to add", "~": "to change", "-": "to remove", "?": "to wait for"}
)
"""How a plan marks its steps."""

SERVICES: Final[Mapping[Service, str]] = MappingProxyType(
    {
        Service.OWA: "OWA",
        Service.ECP: "ECP",
        Service.OUTLOOK_ANYWHERE: "Outlook Anywhere",
        Service.OAB: "OAB",
        Service.ACTIVESYNC: "ActiveSync",
        Service.EWS: "EWS",
        Service.AUTODISCOVER: "Autodiscover",
        Service.MAPI: "MAPI",
        Service.MRSPROXY: "MRSProxy",
    }
)

KINDS: Final[Mapping[Kind, str]] = MappingProxyType(
    {"rotate": "Rotation", "apply": "Rollout", "prune": "Removal of old certificates"}
)
JOBS: Final[Mapping[JobKind, str]] = MappingProxyType(
    {
        "look": "A look",
        "drift": "A look for drift",
        "advise": "Advice",
        "plan": "Making a plan",
        "rotate": "Rotation",
        "apply": "Rollout",
        "prune": "Removal of old certificates",
        "rollback": "Rollback",
        "resume": "Going on with a run",
        "confirm": "Keeping what a run did",
    }
)


def phase_css(phase: RunPhase) -> str:
    """The colour of a run's phase."""
    return _PHASES[phase]


def days_words(days: int | None) -> str:
    """Whole days left of a certificate, as a person says it."""
    match days:
        case None:
            return ""
        case 0:
            return "ends today"
        case 1:
            return "1 day left"
        case _ if days > 0:
            return f"{days} days left"
        case -1:
            return "ended a day ago"
        case _:
            return f"ended {-days} days ago"


def days_css(days: int | None, *, warn: int = 30, critical: int = 7) -> str:
    """The colour of so many days; the bounds are those that watching starts with, its own verdict stands among the items."""
    if days is None:
        return "unk"
    if days <= critical:
        return "bad"
    return "warn" if days <= warn else "ok"


def mode_words(mode: Mode | None) -> str:
    """What a mode means for the way of a request."""
    match mode:
        case None:
            return "not published"
        case Mode.OFFLOAD:
            return "offload: TLS ends at the balancer"
        case Mode.BRIDGE:
            return "bridge: TLS again to the server"


def short(digest: str) -> str:
    """The first characters of a fingerprint or digest, enough to tell two apart."""
    return digest[:12] + ("…" if len(digest) > 12 else "")  # noqa: PLR2004  # as cut


def joined(names: tuple[str, ...] | list[str], most: int = 6) -> str:
    """Names in a row; of many, the first and how many more."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def text_of(value: JsonValue) -> str:
    """A value of a JSON document that should be a text; empty where there is none."""
    return "" if value is None else str(value)
