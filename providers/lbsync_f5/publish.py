"""Bring our objects on a device to what is wanted, or back to what was.

Rule of this room: three acts. First what nothing uses yet is made, in one transaction; then one transaction switches: what is in
use and changes, virtual servers, their policies and profiles, the certificate; last, what nothing uses any more is removed.
Whatever fails before the switch is over, what was made is removed again, and nothing else was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import JsonValue

from lbsync.errors import Denied, Rejected, Unreachable
from lbsync.kit.waiting import wait_for
from lbsync.model import Receipt
from lbsync_f5 import things, wish
from lbsync_f5.device import Device
from lbsync_f5.effects import IN_USE, put_file
from lbsync_f5.judge import names_now
from lbsync_f5.names import Names
from lbsync_f5.render import node, server_ca_digest
from lbsync_f5.seen import Seen, look
from lbsync_f5.session import Session
from lbsync_f5.things import mark_of
from lbsync_f5.wire import full_path, pool_members
from lbsync_f5.wish import Act, Wish


def publish(device: Device, wanted: Wish) -> Receipt:
    """Bring our objects to the wish. Raises TargetError; what was before then still runs."""
    with device.changing() as session:
        seen = look(session, device.settings, device.names)
        names = names_now(seen, device.settings, device.names)
        wish.refuse_foreign(wanted, seen, names)
        wish.refuse_closed(wanted, names)
        work = _Work(device, session, wanted, seen, names)
        try:
            work.prepare()
            work.await_pools()
            work.together(wish.switch(wanted, seen, names))
        except (Denied, Rejected):  # after anything else nobody knows what was done: looking again tells
            work.forget()
            raise
        work.clear()
    _refuse_kept(device, work)
    done = "the BIG-IP has them" if wanted.things else "the BIG-IP has none of ours"
    kept: list[JsonValue] = [path for _, path in work.kept]
    return Receipt(
        summary=f"{work.changed} objects made, changed or removed: {done}"
        + (f"; {len(kept)} stay, since somebody else uses them" if kept else ""),
        details={"objects": len(wanted.things), "changed": work.changed, "leaf": wanted.leaf, "kept": kept},
    )


def _refuse_kept(device: Device, work: _Work) -> None:
    """Nodes of ours may become everybody's; anything else is in the way of having nothing of ours."""
    kept = [said for (collection, _), said in work.kept.items() if collection != things.NODE]
    if kept and not work.wanted.things:
        raise Rejected(
            f"somebody else uses objects of ours: {'; '.join(kept)}",
            where=device.spec.name,
            state="traffic goes where it went before us; these objects stay, the others are removed",
            remedy="take them out of use there, then run it again",
            code="in_use",
        )


@dataclass
class _Work:
    """One publish under way. ``made`` is what was made and must go again when the rest fails."""

    device: Device
    session: Session
    wanted: Wish
    seen: Seen
    names: Names
    """Those of the live pools: a publish leaves the sides as they are."""
    made: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    changed: int = 0
    kept: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """What somebody else uses, and how the device says it."""

    def prepare(self) -> None:
        """CA, nodes, monitors, profiles, pools, policies."""
        self._server_ca()
        for address in wish.addresses(self.wanted):
            if address not in self.seen.nodes:
                new = node(self.device.spec.name, self.device.settings, address)
                self._alone(Act(things.NODE, new.path, dict(new.body), new=True))
        self.together(wish.first(self.wanted, self.seen, self.names))
        for policy in self.wanted.policies(self.names):
            if policy.path not in self.seen.of(things.POLICY):
                self.made.append((things.POLICY, policy.path))
                self.session.publish_policy(policy.path, policy.body)
                self.changed += 1

    def await_pools(self) -> None:
        """New pools must have somebody up before anything is sent to them: a new virtual server, too, serves its first client.

        Raises Rejected (``pool_down``) where none comes up and traffic flows already by those of now.
        """
        settings = self.device.settings
        new = {act.path for act in wish.first(self.wanted, self.seen, self.names) if act.collection == things.POOL}
        wanted = new & {self.names.pool(service, mode) for service, mode in self.wanted.modes.items()}
        if not wanted:
            return

        def down() -> list[str]:
            found = self.session.collection(things.POOL, partition=self.names.partition, expand=True)
            members = {full_path(pool): pool_members(pool) for pool in found}
            return sorted(path for path in wanted if not any(one.up for one in members.get(path, ())))

        if not wait_for(lambda: not down(), float(settings.monitor_timeout_s + settings.monitor_interval_s)):
            left = down()
            if left and wish.carries_traffic(self.seen, settings, self.names):
                raise Rejected(
                    f"no server is up in {', '.join(left)}",
                    where=self.device.spec.name,
                    state="every request goes where it went before",
                    remedy="see why the health checks of these pools fail",
                    code="pool_down",
                )

    def together(self, acts: Sequence[Act]) -> None:
        """In one transaction; none where there is nothing to do."""

        def change() -> None:
            for act in acts:
                self._act(act)

        if acts:
            self._unless_refused(lambda: self.session.atomically(change))

    def clear(self) -> None:
        """What nothing uses any more; without objects the CA and our nodes, too."""
        gone = wish.clear(self.wanted, self.seen, self.names)
        try:
            self.together(gone)
        except Rejected:  # one of them is somebody's by now: what is switched stays switched, the others go
            for act in gone:
                self._unless_in_use(act)
        if self.wanted.things:
            return
        names = self.names
        for path in self.seen.of(things.SSL_CERT):
            if path.startswith(names.server_ca("").removesuffix(".crt")):
                self._unless_in_use(Act(things.SSL_CERT, path, None))
        for path, item in self.seen.of(things.NODE).items():
            if mark_of(item, names.balancer):
                self._unless_in_use(Act(things.NODE, path, None))

    def forget(self) -> None:
        """Remove again what was made, as far as the device lets us."""
        with suppress(Unreachable):  # gone: each of the others would be waited for as long
            for collection, path in reversed(self.made):
                with suppress(Denied, Rejected):
                    self.session.delete(collection, path)

    def _server_ca(self) -> None:
        names, spec = self.names, self.device.spec
        for thing in self.wanted.of_kind(things.SERVER_SSL):
            path = str(thing.body.get("caFile"))
            if path in self.seen.of(things.SSL_CERT):
                continue
            if path != names.server_ca(server_ca_digest(spec)):
                raise Rejected(
                    "the CA file that was in use before is not on the device any more",
                    where=path,
                    state="nothing was changed by this step",
                    remedy="put it back under this name, or publish anew: `lbsync plan`",
                    code="not_found",
                )
            upload = path.rpartition("/")[2]
            with self.session.uploads({upload: spec.server_ca_pem.encode()}) as sources:
                self.made.append((things.SSL_CERT, path))
                put_file(self.session, things.SSL_CERT, path, sources[upload])
            self.changed += 1

    def _alone(self, act: Act) -> None:
        self._unless_refused(lambda: self._act(act))

    def _act(self, act: Act) -> None:
        self.changed += 1
        if act.body is None:
            self.session.delete(act.collection, act.path)
        elif act.new:
            self.made.append((act.collection, act.path))
            self.session.create(act.collection, act.path, act.body)
        else:
            self.session.modify(act.collection, act.path, act.body)

    def _unless_in_use(self, act: Act) -> None:
        """Somebody may have put it into something of theirs: then it stays."""
        try:
            self._act(act)
        except Rejected as error:
            if error.code not in IN_USE:
                raise
            self.kept[act.collection, act.path] = error.message

    def _unless_refused(self, change: Callable[[], None]) -> None:
        """What the device refused was not made: of that name there may be somebody's own."""
        before = len(self.made)
        try:
            change()
        except (Denied, Rejected):
            del self.made[before:]
            raise
