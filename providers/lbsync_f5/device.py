"""One BIG-IP (or pair), opened: what effects, checks and reading share.

Rule of this room: whatever changes the configuration asks first whether this device is the active one, and afterwards sees to it
that the group has it too.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

from lbsync.errors import Rejected, TargetError, Unreachable
from lbsync.kit.waiting import wait_for
from lbsync.target import BalancerSpec
from lbsync_f5.render import names_of
from lbsync_f5.seen import Seen, Standing, look, standing_of
from lbsync_f5.session import Address, Session, Sessions
from lbsync_f5.settings import F5Settings
from lbsync_f5.wire import CHANGES_PENDING, IN_SYNC, STANDALONE, SyncStatus, sync_status

_FRESH_S = 2.0
"""How long an answer to "are you active?" is taken for granted: within one effect and the next."""
_POLL_S = 0.25
STANDBY = "standby"


class Device:
    """A balancer of ``spec``. May be used by several threads: each has a session of its own."""

    def __init__(self, spec: BalancerSpec, settings: F5Settings, addresses: tuple[Address, ...]) -> None:
        self.spec = spec
        self.settings = settings
        self.names = names_of(spec, settings)
        self._sessions = Sessions(addresses)
        self._standing: dict[Session, tuple[float, Standing]] = {}

    def close(self) -> None:
        """Give every token back."""
        self._standing.clear()
        self._sessions.close()

    @contextmanager
    def reading(self) -> Generator[Session]:
        """A session, for whatever changes nothing. Raises TargetError."""
        with self._sessions.use() as session:
            yield session

    def see(self) -> Seen:
        """Everything a plan depends on. Raises TargetError."""
        with self.reading() as session:
            return look(session, self.settings, self.names)

    def remove_uploads_elsewhere(self, session: Session, names: Sequence[str]) -> list[str]:
        """On the other devices of ``hosts``, where a run may have been before a failover; those that could not be asked."""
        missed: list[str] = []
        for address in self._sessions.others(session):
            try:
                other = Session(address)
                try:
                    other.remove_uploads(names)
                finally:
                    other.close()
            except TargetError:
                missed.append(address.host)
        return missed

    @contextmanager
    def changing(self, *, save: bool = True) -> Generator[Session]:
        """A session on the active device; at the end what was changed is saved (where wanted) and given to the group.

        Raises TargetError: Rejected with code ``standby``, ``not_synced``.
        """
        standing = self._found_active() if self._sessions.several else None
        with self._sessions.use() as session:
            standing = standing or self._active(session)
            yield session
            if save:
                session.save()
            self._share(session, standing)

    def _found_active(self) -> Standing | None:
        """After a failover the other device is turned to, once; ``None`` where that one is to be asked yet."""
        with suppress(Unreachable):
            try:
                with self._sessions.use() as session:
                    return self._active(session)
            except Rejected as error:
                if error.code != STANDBY:
                    raise
        return None

    def _active(self, session: Session) -> Standing:
        known = self._standing.get(session)
        now = time.monotonic()
        if known is not None and now - known[0] < _FRESH_S and len(known[1].devices) == 1:
            return known[1]
        standing = standing_of(session)
        if not standing.active:
            self._sessions.drop()  # the other one of the pair is asked next time
            name = standing.itself.name if standing.itself else session.where
            raise Rejected(
                f"{name} is not the active device ({standing.itself.state if standing.itself else 'unknown'})",
                where=self.spec.name,
                state="nothing was changed by this step",
                remedy="add the other device's management address to hosts; after a failover run it again",
                code=STANDBY,
            )
        self._refuse_others_changes(standing)
        self._standing[session] = (now, standing)
        return standing

    def _refuse_others_changes(self, standing: Standing) -> None:
        """A change that waits on another device would be undone by our config-sync; one on this device may be our own."""
        sync, itself = standing.sync, standing.itself
        if sync is None or itself is None or sync.status != CHANGES_PENDING or not sync.details:
            return
        if not any(itself.name in text for text in sync.details):
            raise Rejected(
                f"the group is not in sync, and the change is not on {itself.name}: {'; '.join(sync.details)}",
                where=self.spec.name,
                state="nothing was changed by this step",
                remedy="look at that change, run config-sync in the right direction, then run it again",
                code="not_synced",
            )

    def _share(self, session: Session, standing: Standing) -> None:
        group = self._group(standing)
        if group is None:
            return
        name, by_itself = group
        if not by_itself:
            session.synchronise(name)
        last: list[SyncStatus] = []
        good: list[bool] = []

        def synchronised() -> bool:
            last[:] = [sync_status(session.singleton("cm/sync-status") or {})]
            good.append(last[0].status in {IN_SYNC, STANDALONE})
            return good[-2:] == [True, True]  # for a first moment it may still say what it said before

        if not wait_for(synchronised, self.settings.sync_timeout_s, every_s=_POLL_S):
            status = last[0] if last else SyncStatus("unknown", ())
            raise Rejected(
                f"the group {name} is not in sync after {self.settings.sync_timeout_s:g} s: {status.status}",
                where=self.spec.name,
                state="the active device has the change, its peers do not: a failover would undo it",
                remedy="; ".join(status.details) or "repair the connection between the devices, then run it again",
                code="not_synced",
            )

    def _group(self, standing: Standing) -> tuple[str, bool] | None:
        wanted = self.settings.device_group
        for group in standing.groups:
            if wanted in {None, group[0]}:
                return group
        return None
