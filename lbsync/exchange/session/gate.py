"""One account, many servers: a rejected password must be tried once, not five hundred times.

Rule of this room: until a first login has succeeded logins go one at a time; after one was rejected there is no further
login at all. It knows nothing of servers or protocols.

    unproven ──first login succeeds──► proven (logins run side by side)
        └──────a login is rejected──────────┴──► shut (every login and every call raises that rejection)
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

from lbsync.errors import Denied


class LoginGate:
    """The gate of one account, shared by all of its sessions; safe between threads."""

    def __init__(self) -> None:
        self._first = threading.Lock()
        self._proven = threading.Event()
        self._rejection: Denied | None = None

    @property
    def proven(self) -> bool:
        """True once a login has succeeded."""
        return self._proven.is_set()

    def check(self) -> None:
        """Raise Denied where a login of this account was rejected before, without asking anybody again."""
        before = self._rejection
        if before is not None:
            raise Denied(
                f"the account was rejected by {before.where or 'another server'} and is not tried again: {before.message}",
                where=before.where,
                state="no further login was tried, so that the account is not locked out",
                remedy=before.remedy,
                code=before.code,
            )

    @contextmanager
    def login(self) -> Generator[None]:
        """Stand around a login. Raises Denied where there was a rejection, also one that came while waiting."""
        self.check()
        if self._proven.is_set():
            yield
            return
        with self._first:
            self.check()
            alone = not self._proven.is_set()
            if alone:
                yield
        if not alone:
            yield

    def prove(self) -> None:
        """A login has succeeded: the account and its password are good."""
        self._proven.set()

    def shut(self, rejection: Denied) -> None:
        """A login was rejected: nobody tries again."""
        self._rejection = rejection
