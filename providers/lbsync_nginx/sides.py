"""Another leaf and other servers in one moment: what a rotation under Extended Protection stands on.

Rule of this room: whoever is served by one worker meets that worker's leaf and that worker's servers, and no worker ever has
the leaf of one side with the servers of the other.

One reload does both. A worker takes leaf and servers from the one configuration it was started with, and keeps it to its end
(an upstream's zone is not passed on to new workers); old workers finish what they have and take nothing new. Where certificates
come by variable the leaf is not in the configuration: each handshake follows a link. So the workers to come are told of the
other of two links, and the one that the workers of now read stays as it is: a client that is still in the middle of its
handshake there gets the leaf that goes with its servers. That link is not removed when the switch is done, for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import JsonValue

from lbsync.model import Receipt
from lbsync_certs import Fingerprint
from lbsync_nginx.device import Device
from lbsync_nginx.disk import read_links
from lbsync_nginx.effects import refuse_strangers
from lbsync_nginx.publish import Basis, change_state
from lbsync_nginx.state import LINKS, LinkName, Links, NginxState, served_by


def switch_sides(
    device: Device, after: Fingerprint, old: tuple[str, ...], fresh: tuple[str, ...], basis: Basis
) -> Receipt:
    """Serve ``after`` with ``fresh`` taking requests and ``old`` taken out, by one reload; none where it is so already.

    Raises Rejected (``no_server``, ``not_installed``, ``not_published``, and what a reload may meet: files, link and workers
    are then as before), TargetError.
    """
    refuse_strangers(device, (*old, *fresh))
    link = _link_to_come(device, after)

    def change(state: NginxState) -> NginxState:
        served = {"link": link} if state.leaf is None else {"leaf": after}
        return state.moving(out=old, back=fresh).model_copy(update=served)

    done = f"serves certificate {after[:12]}, what is new goes to {', '.join(fresh)}"
    return change_state(device, change, basis, done, leaf=after)


def _link_to_come(device: Device, after: Fingerprint) -> LinkName:
    """The link that new workers shall read: never one that workers read now, unless it leads to ``after`` already.

    By what runs and not by what is on the disk: a killed run may have written, and not loaded, the other one.
    """
    running, links = device.running(), read_links(device.host, device.home)
    now = running.state.link if running else LINKS[0]
    return now if links[now] == after else next(name for name in LINKS if name != now)


def sides_of(state: NginxState, links: Links, servers: Iterable[str]) -> JsonValue:
    """What a switch governs of a state: the leaf, and of each of these servers whether it takes requests."""
    states: dict[str, JsonValue] = {name: "drain" if name in state.down else "ready" for name in sorted(servers)}
    return {"leaf": served_by(state, links), "servers": states}
