"""From the target on the wire to the path IIS serves: every other spelling of a path reaches the same place.

That is the danger a balancer has to meet: ``/EWS/%6Drsproxy.svc``, ``/ews//mrsproxy.svc``, ``/ews/../ews/mrsproxy.svc`` and
``/ews/mrsproxy.svc;x=1`` are all MRSProxy here [u: taken to the worst for a balancer].

Rule of this room: pure text; it knows the front end's applications and no state.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lbsync.lab import templates
from lbsync.services import FRONT_END_SITE, SERVICES, Service

_PLAIN = re.compile(r"/(?:[A-Za-z0-9_~!$&'()*+,=:@-]+(?:\.[A-Za-z0-9_~!$&'()*+,=:@-]+)*/?)*")
_ESCAPE = re.compile(r"%u([0-9A-Fa-f]{4})|%([0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")

MRSPROXY = SERVICES[Service.MRSPROXY].prefix


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads: the service's id (or ``root``, ``api``, ``powershell``, ``unknown``), location, and pool."""

    service: str
    location: str
    pool: str
    component: str = ""


def canonical(target: str) -> str | None:
    """The path IIS serves for a request target, in lower case; ``None`` where IIS answers 400.

    Decodes %xx and %uxxxx once, turns backslashes, resolves ``.`` and ``..``, joins slashes, drops ``;`` parameters and the
    dots and spaces Windows ignores at the end of a name. What is still escaped after that is refused, as IIS refuses double
    escapes.
    """
    path = _ABSOLUTE.sub("", target.split("?", 1)[0].split("#", 1)[0], count=1) or "/"
    if _PLAIN.fullmatch(path):
        return path.lower()
    if "%" in path:
        try:
            path = _decode(path)
        except UnicodeDecodeError:
            return None
    if "\x00" in path or _ESCAPE.search(path):
        return None
    out: list[str] = []
    parts = path.replace("\\", "/").split("/")
    for part in parts:
        name = part.split(";", 1)[0]
        if name == "..":
            del out[-1:]
        elif name.rstrip(". "):
            out.append(name.rstrip(". "))
    slash = "/" if out and not parts[-1] else ""
    return ("/" + "/".join(out) + slash).lower()


def _decode(path: str) -> str:
    raw = bytearray()
    at = 0
    for match in _ESCAPE.finditer(path):
        raw += path[at : match.start()].encode("latin-1", "replace")
        raw += chr(int(match[1], 16)).encode("utf-8", "replace") if match[1] else bytes([int(match[2], 16)])
        at = match.end()
    raw += path[at:].encode("latin-1", "replace")
    return raw.decode("utf-8")


def below(path: str, prefix: str) -> bool:
    """True for a canonical path at or below a prefix."""
    return path == prefix or path.startswith(prefix + "/")


_APPLICATIONS = sorted(
    ((path.lower(), path, pool) for path, pool, _folder in templates.APPLICATIONS if path != "/"),
    key=lambda entry: -len(entry[0]),
)
_BY_VDIR = {spec.vdir.lower(): spec for spec in SERVICES.values() if spec.service is not Service.MRSPROXY}
_ROOT_POOL = templates.APPLICATIONS[0][1]


def place(path: str) -> Place:
    """Where a canonical path leads."""
    if below(path, MRSPROXY):
        spec = SERVICES[Service.MRSPROXY]
        return Place(Service.MRSPROXY.value, spec.location, spec.pool, spec.component)
    for prefix, _name, pool in _APPLICATIONS:
        if not below(path, prefix):
            continue
        vdir = prefix.split("/")[1]
        location = f"{FRONT_END_SITE}{path.rstrip('/')}"
        if vdir in _BY_VDIR:
            spec = _BY_VDIR[vdir]
            return Place(spec.service.value, location, pool, spec.component)
        return Place(vdir, location, pool)
    return Place("root" if path == "/" else "unknown", FRONT_END_SITE, _ROOT_POOL)
