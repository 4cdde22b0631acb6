"""What is told, what was told before, and how it stands with those who are told.

Rule of this file: pure, frozen, secret-free; all of it may be shown on a page and is kept in ``notices.json``.
"""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from lbsync.config.notices import NoticeKind
from lbsync.model import Value
from lbsync.run import RunPhase
from lbsync.watch.items import Level


class Notice(Value):
    """One thing to tell. ``id`` is the same for the same thing; ``facts`` are what its template may name."""

    id: str
    kind: NoticeKind
    level: Level
    namespace: str
    at: AwareDatetime
    facts: dict[str, str | int] = Field(default_factory=dict[str, str | int])


class Told(Value):
    """What was told of one namespace, so that nothing is told twice, also after a restart.

    ``expiry``: by thumbprint, the fewest days ahead that were told (-1: that it ended). ``runs``: phase by run, the newest.
    ``jobs``: failed commands without a run, and those that may hang. ``trouble``: what was told as wrong and is not told as over
    yet, by kind.
    """

    known: bool = False
    """False until the namespace was seen once: what ended before that is no news."""
    expiry: dict[str, int] = Field(default_factory=dict[str, int])
    runs: dict[str, RunPhase] = Field(default_factory=dict[str, RunPhase])
    jobs: tuple[str, ...] = ()
    proposals: tuple[str, ...] = ()
    drift: str = ""
    trouble: dict[NoticeKind, Level] = Field(default_factory=dict[NoticeKind, Level])


class Letter(Value):
    """A notice on its way to one target. ``error``: why the last try failed."""

    target: str
    notice: Notice
    tries: int = 0
    next_try: AwareDatetime
    error: str = ""


class Box(Value):
    """How it stands with one target, beside its letters. ``dropped``: how many were given up because too many waited."""

    sent: int = 0
    failures: int = 0
    dropped: int = 0
    sent_at: AwareDatetime | None = None
    failed_at: AwareDatetime | None = None
    error: str = ""


class Book(Value):
    """All that is remembered: by namespace what was told, by target how it stands, and every letter that waits."""

    told: dict[str, Told] = Field(default_factory=dict[str, Told])
    boxes: dict[str, Box] = Field(default_factory=dict[str, Box])
    letters: tuple[Letter, ...] = ()


class NoticeState(Value):
    """A target as pages and the API show it; not its address. ``error``: of the last try, empty after a good one."""

    name: str
    kinds: tuple[NoticeKind, ...]
    namespaces: tuple[str, ...]
    min_level: Level
    sent: int
    failures: int
    dropped: int
    pending: int
    sent_at: AwareDatetime | None
    failed_at: AwareDatetime | None
    next_try: AwareDatetime | None
    error: str
