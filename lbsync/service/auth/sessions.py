"""Sessions: who has logged in with a browser.

Rule of this file: memory only; a restart logs everybody out. Of a session's id (256 random bits) only the SHA-256 is kept, so
that a dump of this process opens nothing. Time is the monotonic clock's: a clock that jumps ends no session and keeps none.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lbsync.service.values import Who

MOST: Final = 2000
"""Sessions kept; the one that asked for nothing the longest makes room."""


@dataclass(slots=True)
class Session:
    """A login: who, its CSRF token, and the stamp of what let it in (it is over when the stamp is another)."""

    who: Who
    stamp: str
    csrf: str = field(repr=False)
    began: float
    used: float
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Sessions:
    """Every session of this process. Not thread-safe: the event loop's only."""

    def __init__(self, *, idle_s: float, lasting_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle_s, self._lasting_s, self._clock = idle_s, lasting_s, clock
        self._kept: dict[str, Session] = {}

    def begin(self, who: Who, stamp: str) -> tuple[str, Session]:
        """A new session and its id, which is told to the browser and then forgotten."""
        self._sweep()
        identity, now = secrets.token_urlsafe(32), self._clock()
        session = Session(who=who, stamp=stamp, csrf=secrets.token_urlsafe(32), began=now, used=now)
        self._kept[_hashed(identity)] = session
        return identity, session

    def find(self, identity: str, *, used: bool = True) -> Session | None:
        """The living session with this id; ``used`` says that it was asked for, which keeps it alive."""
        session = self._kept.get(key := _hashed(identity))
        if session is None:
            return None
        if not self.lives(session):
            self._drop(key)
            return None
        if used:
            session.used = self._clock()
        return session

    def lives(self, session: Session) -> bool:
        """Whether it is neither ended nor too old."""
        now = self._clock()
        fresh = now - session.used < self._idle_s and now - session.began < self._lasting_s
        return fresh and not session.over.is_set()

    def end(self, identity: str) -> None:
        """Log out: nobody comes back with this id, and open event streams close."""
        self._drop(_hashed(identity))

    def _drop(self, key: str) -> None:
        session = self._kept.pop(key, None)
        if session is not None:
            session.over.set()

    def _sweep(self) -> None:
        for key in [key for key, session in self._kept.items() if not self.lives(session)]:
            self._drop(key)
        while len(self._kept) >= MOST:
            self._drop(min(self._kept, key=lambda key: self._kept[key].used))

    def __repr__(self) -> str:
        """What is kept, which lets nobody in."""
        return f"Sessions({self._kept!r})"

    def __len__(self) -> int:
        return len(self._kept)


def _hashed(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()
