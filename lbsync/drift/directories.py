"""What differs at a server's virtual directories: Require SSL and where it is written, Extended Protection, log-on, routes.

Rule of this file: pure; an own value and an inherited one are different things, the same flags in another order are not.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.drift.difference import Difference, Kind
from lbsync.facts import ServerFacts, VdirFacts
from lbsync.services import FRONT_END_SITE

_CAPITALS = frozenset({"owa", "ecp", "mapi"})


def label(location: str) -> str:
    """A front-end location as people call it: OWA, EWS, Microsoft-Server-ActiveSync/Proxy; the site's root is ``/``."""
    name = location[len(FRONT_END_SITE) :].strip("/")
    return (name.upper() if name.lower() in _CAPITALS else name) or "/"


def compare_vdirs(before: ServerFacts, now: ServerFacts) -> Iterator[Difference]:
    """Every virtual directory of both, then those gone and those new."""
    was = {vdir.location.lower(): vdir for vdir in before.vdirs}
    found = {vdir.location.lower(): vdir for vdir in now.vdirs}
    for key, vdir in found.items():
        if key in was:
            yield from _compare(now.server, was[key], vdir)
        else:
            yield _difference(now.server, Kind.VDIR, vdir, "is new", ("", vdir.location))
    for key, vdir in was.items():
        if key not in found:
            yield _difference(now.server, Kind.VDIR, vdir, "is gone", (vdir.location, ""))


def _compare(server: str, before: VdirFacts, now: VdirFacts) -> Iterator[Difference]:
    yield from _flags(server, before, now)
    if before.token_checking is not now.token_checking:
        tokens = before.token_checking.value, now.token_checking.value
        yield _difference(server, Kind.PROTECTION, now, "Extended Protection changed", tokens)
    texts = (
        (Kind.LOGON, "ways to log on changed", ", ".join(before.authentication), ", ".join(now.authentication)),
        (Kind.LOGON, "providers of Windows authentication changed", ", ".join(before.providers), ", ".join(now.providers)),
        (Kind.ROUTE, "runs in another pool", before.pool, now.pool),
        (Kind.ROUTE, "redirects otherwise", before.redirect or "", now.redirect or ""),
        (Kind.ROUTE, "URL Rewrite rules changed", ", ".join(before.rewrite_rules), ", ".join(now.rewrite_rules)),
    )  # fmt: skip
    for kind, text, was, found in texts:
        if was != found:
            yield _difference(server, kind, now, text, (was, found))


def _flags(server: str, before: VdirFacts, now: VdirFacts) -> Iterator[Difference]:
    kind, text = _flags_changed(before, now)
    if kind is not None:
        yield _difference(server, kind, now, text, (_shown(before), _shown(now)))


def _flags_changed(before: VdirFacts, now: VdirFacts) -> tuple[Kind | None, str]:
    if before.requires_ssl is not now.requires_ssl:
        return Kind.REQUIRE_SSL, "Require SSL is on again" if now.requires_ssl else "Require SSL is off"
    if before.client_certificates is not now.client_certificates:
        return Kind.FLAGS, f"client certificates are {'asked for' if now.client_certificates else 'asked for no more'}"
    if _set(before.ssl_flags) != _set(now.ssl_flags):
        return Kind.FLAGS, "sslFlags changed"
    if (before.own_ssl_flags is None) is not (now.own_ssl_flags is None):
        inherited = now.own_ssl_flags is None
        return Kind.INHERITANCE, (
            "sslFlags now inherited, was written at the vdir"
            if inherited
            else "sslFlags now written at the vdir, was inherited"
        )
    return None, ""


def _set(flags: str) -> frozenset[str]:
    return frozenset(flag.strip().lower() for flag in flags.split(",")) - {"none", ""}


def _shown(vdir: VdirFacts) -> str:
    return f"{vdir.ssl_flags} (inherited)" if vdir.own_ssl_flags is None else vdir.ssl_flags


def _difference(server: str, kind: Kind, vdir: VdirFacts, text: str, values: tuple[str, str]) -> Difference:
    before, now = values
    return Difference(
        target=server, kind=kind, subject=label(vdir.location), text=text, before=before, now=now, services=vdir.services
    )  # fmt: skip
