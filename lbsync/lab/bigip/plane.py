"""What the two halves of a simulated BIG-IP know of each other: a running configuration goes down, states come up.

Rule of this room: values and a promise only. The control plane owns the configuration and hands over a new one after each
commit; the data plane carries traffic by it and tells what it sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Body = Mapping[str, Any]
"""One object as REST shows it.

Sub-collections stand inline under their own name: a pool's ``members``, a virtual's ``profiles`` and ``policies``, a policy's
``rules`` with their ``actions`` and ``conditions``, each a list of bodies.
"""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that runs.

    ``objects`` by collection (``ltm/virtual``, ``ltm/profile/client-ssl``, ``sys/file/ssl-key`` ...), then by full path
    (``/Common/name``); every object holds all its properties, those that a parent profile or a default gives
    it included. ``files`` holds what file objects contain, by full path.
    """

    objects: Mapping[str, Mapping[str, Body]] = field(default_factory=dict[str, Mapping[str, Body]])
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])

    def of(self, collection: str) -> Mapping[str, Body]:
        """The objects of one collection by full path; empty where there is none."""
        return self.objects.get(collection, {})


@dataclass(frozen=True, slots=True)
class MemberState:
    """One pool member as the data plane sees it.

    ``monitor`` is ``up``, ``down``, ``checking`` (no check has ended yet) or ``unchecked`` (no monitor); ``current`` are its
    connections now, ``total`` since the start.
    """

    monitor: str
    current: int
    total: int


class DataPlane(Protocol):
    """Carries traffic. Every method may be called from any thread."""

    def start(self) -> None:
        """Begin, with an empty configuration."""
        ...

    def apply(self, config: Config) -> None:
        """Run this from now on; returns once new connections meet it.

        Open connections keep the TLS they were opened with. Raises OSError where an address of a virtual server cannot be
        listened on; what ran before then still runs.
        """
        ...

    def members(self) -> Mapping[tuple[str, str], MemberState]:
        """States by full path of the pool and full path of the member (``/Common/10.0.0.11:443``)."""
        ...

    def virtual_connections(self, virtual: str) -> tuple[int, int]:
        """Connections of clients to a virtual server now, and since the start."""
        ...

    def cut(self, address: str, port: int) -> int:
        """End every connection to this server address and port, both sides of it; how many there were."""
        ...

    def cut_all(self) -> None:
        """End every connection, as a failover without mirroring does, and listen on nothing until ``apply`` is called."""
        ...

    def stop(self) -> None:
        """End everything; twice is once."""
        ...
