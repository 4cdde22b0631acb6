"""Reading single properties of objects as REST shows them.

Rule of this room: REST writes numbers, flags and absence in several ways (``"300"`` and ``300``, ``"enabled"`` and ``true``,
``"none"`` and nothing at all); whoever comes after this room sees one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from lbsync.lab.bigip.plane import Body, Config

_PORTS = {"any": 0, "http": 80, "https": 443, "webcache": 8080, "pcsync-https": 8443}
_ON = frozenset({"true", "enabled", "yes"})


class Misconfigured(Exception):
    """An object asks for something that a device would not have accepted, or that is not simulated."""


def full_path(entry: Body) -> str:
    """The full path of a reference: ``fullPath``, or ``partition`` (Common where absent) and ``name``."""
    if entry.get("fullPath"):
        return str(entry["fullPath"])
    name = str(entry["name"])
    return name if name.startswith("/") else f"/{entry.get('partition') or 'Common'}/{name}"


def text(body: Body, key: str) -> str:
    """A string; empty for ``none`` and for what is absent."""
    value = body.get(key)
    return "" if value is None or value == "none" else str(value)


def seconds(body: Body, key: str, default: float) -> float:
    """A time in seconds; infinite for ``indefinite``."""
    value = text(body, key)
    if value == "indefinite":
        return math.inf
    return float(value) if value else default


def number(body: Body, key: str, default: int) -> int:
    """A whole number."""
    value = text(body, key)
    return int(value) if value else default


def flag(body: Body, key: str) -> bool:
    """True for ``true``, ``enabled`` and ``yes``, as JSON or as a string."""
    return str(body.get(key, "")).lower() in _ON


def words(body: Body, key: str) -> tuple[str, ...]:
    """A list of words: a JSON list, or a string in braces as 14.1 writes ``tmOptions``."""
    value = body.get(key)
    if isinstance(value, str):
        return tuple(word for word in re.split(r"[\s{}]+", value) if word)
    return tuple(str(word) for word in value or ())


def bodies(body: Body, key: str) -> Sequence[Body]:
    """A sub-collection that stands inline."""
    return body.get(key) or ()


def split_endpoint(path: str) -> tuple[str, int]:
    """Host and port of ``/Common/10.0.0.1:443``, ``/Common/::1.443`` or ``/Common/name:443``. Raises Misconfigured."""
    last = path.rpartition("/")[2]
    # An IPv6 address is parted from its port by a dot, since its colons are taken.
    host, _, port = last.rpartition("." if last.count(":") > 1 else ":")
    try:
        return host.partition("%")[0], _PORTS[port] if port in _PORTS else int(port)
    except ValueError as problem:
        raise Misconfigured(f"{path} is no address with a port") from problem


def destination(config: Config, virtual: Body) -> tuple[str, int]:
    """Where a virtual server listens; a named ``ltm/virtual-address`` stands for its address. Raises Misconfigured."""
    path = str(virtual.get("destination", ""))
    host, port = split_endpoint(path)
    named = config.of("ltm/virtual-address").get(f"{path.rpartition('/')[0]}/{host}", {})
    host = text(named, "address") or host
    return {"any": "0.0.0.0", "any6": "::"}.get(host, host), port  # noqa: S104  what the administrator asked for
