"""One look at an NGINX, as a value.

Rule of this room: values only; ``device`` fills them, ``judge`` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lbsync.model import Mode
from lbsync.services import Service
from lbsync_nginx.disk import Disk
from lbsync_nginx.host_view import HostView
from lbsync_nginx.state import NginxState


@dataclass(frozen=True, slots=True)
class Running:
    """What a worker said of itself: its process id, and the state it runs."""

    pid: int
    state: NginxState


@dataclass(frozen=True, slots=True)
class Health:
    """What came of asking one member's health page; ``said`` is a word or two on it."""

    server: str
    service: Service
    mode: Mode
    up: bool
    said: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything. ``running`` is ``None`` where nothing of ours runs; health and connections are asked only where it does.

    ``connections`` counts, by member and mode, what is open from NGINX's host to that port of the member.
    """

    disk: Disk
    host: HostView
    running: Running | None
    health: tuple[Health, ...] = ()
    connections: Mapping[tuple[str, Mode], int] = field(default_factory=dict[tuple[str, Mode], int])
