"""One look at a device: everything of ours on it, and what stands in our way.

Rule of this room: reads only. One request for each collection, however many objects there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lbsync_f5 import things
from lbsync_f5.names import Names, split
from lbsync_f5.session import Session
from lbsync_f5.settings import F5Settings
from lbsync_f5.wire import DeviceInfo, SyncStatus, canonical, devices, failover_groups, full_path, sync_status

_EXPANDED = frozenset({things.POOL, things.POLICY, things.VIRTUAL})
COLLECTIONS = (*things.ORDER, things.POLICY, things.DATA_GROUP, things.SSL_CERT, things.SSL_KEY)

Objects = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By collection, then by full path."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A device in its group. ``group`` is the sync-failover group, and whether it synchronises by itself."""

    devices: tuple[DeviceInfo, ...]
    groups: tuple[tuple[str, bool], ...] = ()
    sync: SyncStatus | None = None
    """``None`` for a device alone."""

    @property
    def itself(self) -> DeviceInfo | None:
        """The device that was asked."""
        return next((one for one in self.devices if one.itself), None)

    @property
    def active(self) -> bool:
        """Whether it carries the traffic."""
        return self.itself is not None and self.itself.state == "active"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found. ``attached`` is the virtual server to attach to, ``None`` where it is not there or not wanted."""

    where: str
    version: str
    standing: Standing
    partitions: frozenset[str] = frozenset()
    folder_exists: bool = True
    objects: Objects = field(default_factory=dict[str, Mapping[str, Mapping[str, Any]]])
    all_virtuals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Those of every partition: destinations are shared by all."""
    nodes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Address to the full path of the node that has it, in our partition or in Common."""
    other_nodes: Mapping[str, str] = field(default_factory=dict[str, str])
    """The same of all other partitions, whose nodes cannot be used."""
    route_domain: int = 0
    """The partition's default one."""
    profiles: Mapping[str, str] = field(default_factory=dict[str, str])
    """Where we attach: full path to collection of every http, client-ssl, server-ssl and one-connect profile there is."""

    def of(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        """The objects of a collection in our partition."""
        return self.objects.get(collection, {})

    def attached(self, settings: F5Settings) -> Mapping[str, Any] | None:
        """The virtual server that we attach to."""
        return None if settings.attach is None else self.all_virtuals.get(settings.attach)


def look(session: Session, settings: F5Settings, names: Names) -> Seen:
    """Everything a plan depends on. Raises TargetError."""
    standing = standing_of(session)
    found = {str(item.get("name", "")): item for item in session.bare_items("auth/partition")}
    partitions = frozenset(found)
    if settings.partition not in partitions:
        return Seen(session.where, session.version, standing, partitions)
    nodes, other_nodes = nodes_of(session, settings.partition)
    folder = names.folder is None or session.get("sys/folder", names.place) is not None
    objects = {
        collection: _by_path(
            session.collection(collection, partition=settings.partition, expand=collection in _EXPANDED)
        )
        for collection in COLLECTIONS
        if collection != things.VIRTUAL
    }
    virtuals = _by_path(session.collection(things.VIRTUAL, expand=True))
    own = {path: item for path, item in virtuals.items() if split(path)[0] == settings.partition}
    return Seen(
        where=session.where,
        version=session.version,
        standing=standing,
        partitions=partitions,
        folder_exists=folder,
        objects={**objects, things.VIRTUAL: own},
        all_virtuals=virtuals,
        nodes=nodes,
        other_nodes=other_nodes,
        route_domain=int(found[settings.partition].get("defaultRouteDomain") or 0),
        profiles=_profiles(session) if settings.attach is not None else {},
    )


def standing_of(session: Session) -> Standing:
    """Which device this is, and how its group is. Raises TargetError."""
    found = devices(session.collection("cm/device"))
    if len(found) <= 1:
        return Standing(found)
    groups = failover_groups(session.collection("cm/device-group"))
    return Standing(found, groups, sync_status(session.singleton("cm/sync-status") or {}))


def nodes_of(session: Session, partition: str) -> tuple[dict[str, str], dict[str, str]]:
    """Address to node: those that members may use, our partition's first and Common's, and all others. Raises TargetError."""
    found: dict[str, str] = {}
    others: dict[str, str] = {}
    for item in session.collection(things.NODE):
        path = full_path(item)
        address = canonical(str(item.get("address", "")))
        if str(item.get("ephemeral", "")).lower() == "true":
            continue  # made by the device itself, for a name
        if split(path)[0] == partition or (split(path)[0] == "Common" and address not in found):
            found[address] = path
        elif split(path)[0] != "Common":
            others[address] = path
    return found, others


def _profiles(session: Session) -> dict[str, str]:
    kinds = (things.HTTP, things.CLIENT_SSL, things.SERVER_SSL, things.ONE_CONNECT)
    return {full_path(item): kind for kind in kinds for item in session.collection(kind)}


def _by_path(items: list[dict[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {full_path(item): item for item in items}
