"""Names of our proxies in HAProxy, and the map from path to pool.

Rule of this room: pure; a pool's name says its service and mode, and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lbsync.kit.pools import pools_of
from lbsync.model import Mode
from lbsync.services import SERVICES, Service

PREFIX = "ex_"
"""All our proxies are called so."""
HTTPS_FRONTEND = f"{PREFIX}https"
HTTP_FRONTEND = f"{PREFIX}http"
CLOSED = "closed"
"""A key that no path begins with: with it in its map a worker sends nothing on any more, and closes what asks."""


def pool_name(service: Service, mode: Mode) -> str:
    """The HAProxy backend of one service in one mode."""
    return f"{PREFIX}{service}_{mode}"


def map_key(service: Service) -> str:
    """The key in the map: the prefix with a slash, matched against the path with a slash appended.

    So ``/owa`` and ``/owa/x`` match, ``/owafoo`` does not; the longest key wins (map_beg).
    """
    return f"{SERVICES[service].prefix}/"


def map_body(modes: Mapping[Service, Mode]) -> str:
    """The text of the map, one line per service in table order."""
    lines = [f"{map_key(service)} {pool_name(service, modes[service])}" for service in SERVICES if service in modes]
    return "\n".join([*lines, ""])


def parse_map_body(text: str) -> dict[str, str]:
    """Key to pool, from a map file's text; comments and empty lines are passed over."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            found[key] = value.strip()
    return found


def modes_of(entries: Mapping[str, str], services: Iterable[Service]) -> dict[Service, Mode]:
    """The mode of each service by a map's entries; a service is left out where its entry is missing or names no pool."""
    return {
        service: mode
        for service, mode in pools_of(services)
        if entries.get(map_key(service)) == pool_name(service, mode)
    }
