"""Which balancers lbsync can drive here: the entry points of the group ``lbsync.providers``.

Rule of this room: only what the configuration names is loaded, so a broken provider that nobody uses breaks nothing, and
one that is used names itself. It never guesses a class: an entry point names a ``Plugin`` or it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from lbsync.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from lbsync.target import Plugin

GROUP = "lbsync.providers"


@dataclass(frozen=True, slots=True)
class Installed:
    """A provider some installed distribution offers; nothing of it has been imported."""

    name: str
    distribution: str
    version: str


def installed() -> tuple[Installed, ...]:
    """Every provider on offer here, by name; imports none of them."""
    found = {_identity(point) for point in entry_points(group=GROUP)}
    return tuple(sorted(found, key=lambda one: (one.name, one.distribution)))


def plugin(name: str) -> Plugin[BaseModel]:
    """The provider called ``name``. Raises ConfigError where there is none, two, or one that is broken."""
    points = {_identity(point): point for point in entry_points(group=GROUP, name=name)}
    if not points:
        known = ", ".join(sorted({one.name for one in installed()})) or "none"
        raise ConfigError(
            f'no provider is called "{name}"',
            where=f"provider {name}",
            remedy=f"installed here: {known}; a provider of a third party comes with its own package",
        )
    if len(points) > 1:
        sources = " and ".join(sorted(one.distribution for one in points))
        raise ConfigError(
            f'two packages offer a provider called "{name}": {sources}',
            where=f"provider {name}",
            remedy="uninstall one of them",
        )
    ((identity, point),) = points.items()
    return _load(identity, point)


def _load(identity: Installed, point: EntryPoint) -> Plugin[BaseModel]:
    from lbsync.target import Plugin

    where = f"provider {identity.name} ({identity.distribution} {identity.version})"
    try:
        loaded: Any = point.load()
    except Exception as error:  # a third party's module may fail in any way while it is imported
        raise ConfigError(
            f"the provider cannot be loaded: {type(error).__name__}: {error}",
            where=where,
            remedy=f"reinstall {identity.distribution}, or tell its makers; other providers are not concerned",
        ) from error
    if not isinstance(loaded, Plugin):
        raise ConfigError(
            f"{point.value} is a {type(loaded).__name__}, not a lbsync.target.Plugin",
            where=where,
            remedy=f"tell the makers of {identity.distribution}",
        )
    return loaded


def _identity(point: EntryPoint) -> Installed:
    """An editable install shows its metadata twice (folder and site-packages): equal identities are one."""
    if point.dist is None:  # pragma: no cover  # only entry points made by hand lack their distribution
        return Installed(point.name, "an unnamed package", "")
    return Installed(point.name, point.dist.name, point.dist.version)
