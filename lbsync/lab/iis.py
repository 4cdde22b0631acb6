"""IIS of one simulated server: own values and inheritance, pools, bindings.

Rule of this room: an own value and an inherited one are different things; nothing here knows Exchange's rules (who may
write what). Every change is announced through ``Changes`` so that waiting needs no polling.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lbsync.facts import TokenChecking
from lbsync.lab import templates
from lbsync.lab.spec import Version
from lbsync.services import FRONT_END_SITE, NO_SSL
from lbsync_certs import Thumbprint


class Changes:
    """One lock for the farm's state, and a way to wait for it to change."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._condition = threading.Condition(self.lock)

    def announce(self) -> None:
        """Say that something changed."""
        with self._condition:
            self._condition.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``predicate`` holds; false when ``timeout_s`` passed first."""
        with self._condition:
            return self._condition.wait_for(predicate, timeout_s)


@dataclass(slots=True)
class Location:
    """One ``<location>``: what it says itself. ``None`` means it says nothing."""

    path: str
    ssl_flags: str | None = None
    methods: tuple[str, ...] | None = None
    providers: tuple[str, ...] | None = None
    token_checking: str | None = None
    spns: bool = False
    kernel_mode: bool | None = None
    logon_method: bool = False
    mappings: bool = False
    redirect: str | None = None
    rewrite_rules: tuple[str, ...] = ()


@dataclass(slots=True)
class Pool:
    """One application pool. ``gap_until`` and ``cold`` describe the recycle under way (monotonic seconds)."""

    name: str
    overlapping: bool = True
    state: str = "Started"
    recycles: int = 0
    gap_until: float = 0.0
    cold: bool = False
    generation: int = 0


@dataclass(slots=True)
class Binding:
    """One site binding."""

    site: str
    protocol: str
    information: str
    thumbprint: Thumbprint | None = None


@dataclass(slots=True)
class Iis:
    """The configuration of one server, and its worker processes."""

    changes: Changes
    gap_s: float
    locations: dict[str, Location] = field(default_factory=dict[str, Location])
    pools: dict[str, Pool] = field(default_factory=dict[str, Pool])
    bindings: list[Binding] = field(default_factory=list[Binding])
    root_ssl_flags: str = NO_SSL
    on_ssl_flags: Callable[[str], None] = lambda _path: None
    """Called with the location's path after its own sslFlags were written."""
    on_gap: Callable[[str], None] = lambda _pool: None
    """Called with the name of a pool without overlapping rotation when its recycle begins."""

    @classmethod
    def after_setup(cls, version: Version, changes: Changes, gap_s: float, *, extended_protection: bool) -> Iis:
        """As Exchange set-up leaves it."""
        iis = cls(changes, gap_s)
        for entry in templates.locations(version):
            path = f"{FRONT_END_SITE}/{entry.path}".rstrip("/")
            checking = "None" if entry.spns else None
            if extended_protection:
                checking = templates.EXTENDED_PROTECTION.get(entry.path, checking)
            iis.locations[path.lower()] = Location(
                path,
                entry.own_ssl_flags,
                entry.methods,
                entry.providers,
                checking,
                entry.spns,
                entry.kernel_mode,
                entry.logon_method,
                entry.mappings and entry.own_ssl_flags is not None,
            )
        names = {pool for _path, pool, _folder in (*templates.APPLICATIONS, *templates.BACK_END_APPLICATIONS)}
        for name in sorted(names):
            iis.pools[name.lower()] = Pool(name, overlapping=name not in templates.GAP_POOLS)
        iis.bindings = [Binding(*entry) for entry in templates.BINDINGS]
        return iis

    def own_ssl_flags(self, path: str) -> str | None:
        """The location's own sslFlags; ``None`` when it inherits (or does not exist)."""
        location = self.locations.get(path.lower())
        return location.ssl_flags if location else None

    def ssl_flags(self, path: str) -> str:
        """What applies at a location: its own value, else its parent's, else the root's."""
        for step in _upwards(path):
            location = self.locations.get(step)
            if location is not None and location.ssl_flags is not None:
                return location.ssl_flags
        return self.root_ssl_flags

    def requires_ssl(self, path: str) -> bool:
        """True when plain HTTP is refused at a location."""
        return "ssl" in [flag.strip().lower() for flag in self.ssl_flags(path).split(",")]

    def token_checking(self, path: str) -> TokenChecking:
        """Extended Protection at a location, inherited like everything else."""
        for step in _upwards(path):
            location = self.locations.get(step)
            if location is not None and location.token_checking is not None:
                return TokenChecking(location.token_checking)
        return TokenChecking.NONE

    def methods(self, path: str) -> tuple[str, ...]:
        """Enabled authentication methods at a location (windows, anonymous, digest, basic)."""
        for step in _upwards(path):
            location = self.locations.get(step)
            if location is not None and location.methods is not None:
                return location.methods
        return ("anonymous",)

    def providers(self, path: str) -> tuple[str, ...]:
        """Providers of Windows authentication at a location: its own, else its parent's, else those of the root."""
        for step in _upwards(path):
            location = self.locations.get(step)
            if location is not None and location.methods is not None and location.providers is not None:
                return location.providers
        return templates.NEGOTIATE_NTLM

    def write_ssl_flags(self, path: str, value: str | None) -> None:
        """Write a location's own sslFlags, ``None`` clears it. A location nobody knows is accepted, as IIS does [u]."""
        with self.changes.lock:
            location = self.locations.get(path.lower())
            if location is None:
                if value is None:
                    return
                location = self.locations[path.lower()] = Location(path)
            location.ssl_flags = value
            self.changes.announce()
        self.on_ssl_flags(path)

    def recycle(self, name: str) -> None:
        """Recycle a pool. Raises KeyError where there is none. In-flight requests of a gap pool are cut after the gap."""
        with self.changes.lock:
            pool = self.pools[name.lower()]
            pool.recycles += 1
            pool.generation += 1
            if pool.overlapping:
                pool.cold = True
            else:
                pool.gap_until = time.monotonic() + self.gap_s
            self.changes.announce()
        if not pool.overlapping:
            self.on_gap(pool.name)

    def pool_state(self, name: str) -> str:
        """Started, Stopped, or Stopping within a gap. Raises KeyError where there is none."""
        pool = self.pools[name.lower()]
        return "Stopping" if pool.state == "Started" and time.monotonic() < pool.gap_until else pool.state

    def bind(self, thumbprint: Thumbprint) -> None:
        """Put a certificate on the front end's HTTPS bindings."""
        with self.changes.lock:
            for binding in self.bindings:
                if binding.site == FRONT_END_SITE and binding.protocol == "https":
                    binding.thumbprint = thumbprint
            self.changes.announce()

    @property
    def bound(self) -> Thumbprint | None:
        """The certificate of the front end's public HTTPS binding."""
        return next(
            (b.thumbprint for b in self.bindings if b.site == FRONT_END_SITE and b.information.lstrip("*") == ":443:"),
            None,
        )

    def own_values(self) -> dict[str, str | None]:
        """Location path to own sslFlags: what a rollback has to leave exactly as it was."""
        with self.changes.lock:
            return {location.path: location.ssl_flags for location in self.locations.values()}


def _upwards(path: str) -> list[str]:
    parts = path.lower().split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
