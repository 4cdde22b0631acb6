"""The two-sided switch: another leaf and other servers for new connections, in one moment.

Rule of this room: one reload does both. The new worker comes up with the new leaf and with the old side drained, by the server
state file; the old worker keeps its connections, their leaf and their servers until they end. Neither is told anything of the
other's side, so no connection meets a server that holds another leaf than it was opened with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from lbsync.errors import Rejected, TargetError
from lbsync.kit.pem_files import leaf_digests, leaf_of, pem_name
from lbsync.kit.seal import body_of
from lbsync.kit.waiting import wait_for
from lbsync.model import Receipt, State
from lbsync_certs import Fingerprint, Thumbprint
from lbsync_haproxy import layout
from lbsync_haproxy.device import Device, takes_requests
from lbsync_haproxy.disk import installed_pem, read_text
from lbsync_haproxy.members import refuse_maintenance
from lbsync_haproxy.render import structure_of
from lbsync_haproxy.runtime import Running
from lbsync_haproxy.tidy import tidy

_CHECK_ROUNDS = 3
"""Health checks that the fresh side is given to come up."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Leaves before and after, and the servers that hold them."""

    before: Fingerprint
    after: Fingerprint
    old: tuple[str, ...]
    fresh: tuple[str, ...]

    @classmethod
    def of(cls, args: Mapping[str, JsonValue]) -> Sides:
        """From an action's arguments. Raises TypeError where a side is no list."""
        old, fresh = args["old"], args["fresh"]
        if not isinstance(old, list) or not isinstance(fresh, list):
            raise TypeError("a side is a list of servers")
        before, after = Fingerprint(str(args["before"])), Fingerprint(str(args["after"]))
        return cls(before, after, tuple(str(name) for name in old), tuple(str(name) for name in fresh))

    @property
    def states(self) -> dict[str, str]:
        """What every server shall be for new connections."""
        return {**dict.fromkeys(self.old, "drain"), **dict.fromkeys(self.fresh, "ready")}


def state_of(device: Device, sides: Sides) -> State:
    """The leaf in memory and on disk, and the states of both sides' servers. Raises TargetError."""
    running = device.look()
    states: dict[str, JsonValue] = {
        server: [*sorted({row.state for row in device.rows(running, server)})] for server in sorted(sides.states)
    }
    return {"memory": running.thumbprint, "disk": leaf_of(device.host.read_link(device.home.live)), "states": states}


def switch_sides(device: Device, sides: Sides) -> Receipt:
    """Serve ``after`` and send new connections to ``fresh`` alone; what is there already is left so.

    Raises Rejected, with everything as it was, where a side is not ready for it or HAProxy does not reload; TargetError.
    """
    tidy(device)
    thumbprint = installed_pem(device.host, device.home, sides.after)[1]
    device.runtime.abandon_own(device.home.live)
    running = device.look()
    if _done(device, running, sides, thumbprint):
        # A killed run may have prepared the other way on disk.
        _link(device, sides.after)
        device.keep_states()
        return Receipt(summary="HAProxy serves that certificate already, and sends new connections to that side")
    _refuse_unready(device, running, sides)
    back = _linked_before(device, running, sides)
    _link(device, sides.after)
    try:
        # A reload that fails leaves the master without a worker of its own to reload: better not to begin one.
        device.check_configuration(device.home.directory)
        device.reload(sides.states)
    except TargetError:
        _link(device, back)
        raise
    if not _done(device, device.look(), sides, thumbprint):
        _link(device, back)
        device.reload(_states(device, running, sides))
        raise Rejected(
            "HAProxy was reloaded but did not serve that certificate to that side alone",
            where=device.home.live,
            state="it was reloaded once more, to what it served before",
            remedy=f"check that no other file overrides ours: {device.home.directory} is to be loaded last (-f)",
            code="not_loaded",
        )
    return Receipt(
        summary=f"a new worker serves the certificate and sends what is new to {', '.join(sides.fresh)}",
        details={"file": device.home.certificate(sides.after), "drained": [*sides.old]},
    )


def _done(device: Device, running: Running, sides: Sides, thumbprint: Thumbprint) -> bool:
    states = ((row.state, state) for server, state in sides.states.items() for row in device.rows(running, server))
    return running.thumbprint == thumbprint and all(found == wanted for found, wanted in states)


def _states(device: Device, running: Running, sides: Sides) -> dict[str, str]:
    """What the servers of both sides were."""
    drained = {row.server for server in sides.states for row in device.rows(running, server) if row.draining}
    return {server: "drain" if server in drained else "ready" for server in sides.states}


def _linked_before(device: Device, running: Running, sides: Sides) -> Fingerprint | None:
    """Where the link goes if this fails: a killed run may have moved it, so to the leaf before where HAProxy serves that."""
    held = device.host.read_file(device.home.certificate(sides.before))
    digests = leaf_digests(held) if held is not None else None
    if digests == (sides.before, running.thumbprint):
        return sides.before
    return leaf_of(device.host.read_link(device.home.live))


def _link(device: Device, leaf: Fingerprint | None) -> None:
    if leaf is not None and leaf_of(device.host.read_link(device.home.live)) != leaf:
        device.host.symlink(pem_name(leaf), device.home.live)


def _refuse_unready(device: Device, running: Running, sides: Sides) -> None:
    files = {name: read_text(device.host, device.home, name) for name in layout.TEXT_FILES}
    configuration = body_of(files[layout.CFG] or "")
    if not running.loaded or running.structure != structure_of(files) or device.home.states not in configuration:
        raise Rejected(
            "HAProxy does not run our configuration as it is on disk, or one that an older lbsync wrote",
            where=device.home.directory,
            state="nothing was changed",
            remedy="plan again: a publish is due",
            code="not_loaded",
        )
    for server in sides.states:
        rows = device.rows(running, server)
        refuse_maintenance(rows)
        if not rows:
            raise Rejected(
                f"{server} is in no pool that HAProxy runs",
                where=device.spec.name,
                state="nothing was changed",
                remedy="plan again",
                code="no_server",
            )
    if not wait_for(lambda: not _dead_pools(device, sides), _CHECK_ROUNDS * device.settings.check_interval_s):
        raise Rejected(
            f"no server of the new side is up in {', '.join(_dead_pools(device, sides))}",
            where=device.spec.name,
            state="nothing was changed",
            remedy=f"see why the health checks of {', '.join(sides.fresh)} fail",
            code="pool_down",
        )


def _dead_pools(device: Device, sides: Sides) -> list[str]:
    """Live pools that would lose every server that is up."""
    running = device.look()
    found: list[str] = []
    for pool in sorted({*device.live_pools(running).values()}):
        rows = device.pool_rows(running, pool)
        served = any(takes_requests(row) for row in rows)
        if served and not any(row.up for row in rows if row.server in sides.fresh):
            found.append(pool)
    return found
