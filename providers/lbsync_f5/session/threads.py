"""Sessions to one BIG-IP or pair: one for each thread, on the device that is active.

Rule of this room: nothing is opened before it is needed, and all is closed at the end; after a failover the next question goes to
the other device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

from lbsync.errors import TargetError, Unreachable
from lbsync_f5.session.login import Address
from lbsync_f5.session.session import Session
from lbsync_f5.wire import devices

_ACTIVE = "active"
_FRESH_S = 2.0
"""How long a device of a pair is taken to be the active one: what a standby tells of connections and health is another's."""


class Sessions:
    """Addresses of the same pair, or one; tried in their order."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = tuple(addresses)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._all: list[Session] = []

    @contextmanager
    def use(self) -> Generator[Session]:
        """This thread's session, on the active device; on the first that answers where none is. Raises TargetError.

        A session that breaks is given up; the next use opens a new one.
        """
        session: Session | None = getattr(self._own, "session", None)
        if session is not None and not self._still_active(session):
            self.drop()
            session = None
        if session is None:
            session = self._own.session = self._open()
            self._own.looked = time.monotonic()
        try:
            yield session
        except Unreachable:
            self.drop()
            raise

    def drop(self) -> None:
        """Close this thread's session."""
        session: Session | None = getattr(self._own, "session", None)
        self._own.session = None
        if session is not None:
            with self._lock, suppress(ValueError):  # closed with all the others meanwhile
                self._all.remove(session)
            session.close()

    def close(self) -> None:
        """Close every thread's session."""
        with self._lock:
            found, self._all = self._all, []
        self._own = threading.local()
        for session in found:
            session.close()

    def others(self, session: Session) -> tuple[Address, ...]:
        """Every address but the one of this session."""
        return tuple(address for address in self._addresses if address.url != session.where)

    @property
    def several(self) -> bool:
        """Whether there is another device to turn to."""
        return len(self._addresses) > 1

    def _still_active(self, session: Session) -> bool:
        """After a failover, or where it does not answer any more, another one is asked."""
        if not self.several or time.monotonic() - self._own.looked < _FRESH_S:
            return True
        try:
            active = _is_active(session)
        except Unreachable:
            return False
        self._own.looked = time.monotonic()
        return active

    def _open(self) -> Session:
        standby: list[Session] = []
        failed: TargetError | None = None
        try:
            for address in self._addresses:
                try:
                    session, chosen = self._try(address)
                except Unreachable as error:
                    failed = failed or error
                    continue
                if chosen:
                    return self._keep(session)
                standby.append(session)
            if standby:
                return self._keep(standby.pop(0))
        finally:
            for session in standby:
                session.close()
        assert failed is not None  # noqa: S101 -- there is at least one address, and none answered
        raise failed

    def _try(self, address: Address) -> tuple[Session, bool]:
        """A session, and whether it is the one to work with."""
        session = Session(address)
        try:
            return session, len(self._addresses) == 1 or _is_active(session)
        except BaseException:
            session.close()
            raise

    def _keep(self, session: Session) -> Session:
        with self._lock:
            self._all.append(session)
        return session


def _is_active(session: Session) -> bool:
    return any(one.itself and one.state == _ACTIVE for one in devices(session.collection("cm/device")))
