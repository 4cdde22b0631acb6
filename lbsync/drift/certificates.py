"""What differs in a server's bindings and certificates: both sites, the store, and Exchange's services.

Rule of this file: pure. IIS is not among Exchange's services here: the bindings tell it exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

from lbsync.drift.difference import Difference, Kind
from lbsync.facts import BindingFacts, ServerFacts
from lbsync.services import BACK_END_SITE, FRONT_END_SITE, Service
from lbsync_certs import Thumbprint

_SITES = {FRONT_END_SITE: "Front End", BACK_END_SITE: "Back End"}
_BETWEEN_SERVERS = "SMTP between servers"
_NOT_TOLD = frozenset({"IIS", "NONE"})
_Key = tuple[str, str, str, int, str]


def compare_certificates(before: ServerFacts, now: ServerFacts) -> Iterator[Difference]:
    """Bindings first, since clients meet those."""
    yield from _bindings(before, now)
    yield from _store(before, now)
    yield from _services(before, now)


def named(thumbprint: Thumbprint | None, *servers: ServerFacts) -> str:
    """A certificate by its thumbprint, with its name and its end where one of these servers holds it."""
    found = next((held for one in servers if thumbprint and (held := one.certificate(thumbprint))), None)
    return f"{thumbprint} ({found.info.subject}, until {found.info.not_after:%Y-%m-%d})" if found else thumbprint or ""


def _bindings(before: ServerFacts, now: ServerFacts) -> Iterator[Difference]:
    was, found = _by_place(before), _by_place(now)
    changed: dict[tuple[str, Thumbprint | None, Thumbprint | None], list[str]] = {}
    for key in (*found, *(key for key in was if key not in found)):
        if key not in was or key not in found:
            shown = f"{(found.get(key) or was[key]).protocol} {_place(key)}"
            gone = key not in found
            yield Difference(
                target=now.server, kind=_kind(key[0], Kind.BINDING), subject=_site(key[0]),
                text=f"a binding is {'gone' if gone else 'new'}", before=shown if gone else "", now="" if gone else shown,
                services=_concerned(key[0]),
            )  # fmt: skip
        elif was[key].thumbprint != found[key].thumbprint:
            changed.setdefault((key[0], was[key].thumbprint, found[key].thumbprint), []).append(_place(key))
    for (site, old, new), places in changed.items():
        yield Difference(
            target=now.server, kind=_kind(site, Kind.LEAF), subject=f"{_site(site)} {', '.join(places)}",
            text="holds another certificate", before=named(old, before, now), now=named(new, now, before),
            services=_concerned(site),
        )  # fmt: skip


def _store(before: ServerFacts, now: ServerFacts) -> Iterator[Difference]:
    was = {one.info.thumbprint for one in before.certificates}
    found = {one.info.thumbprint for one in now.certificates}
    for one in now.certificates:
        if one.info.thumbprint not in was:
            yield _stored(now.server, "a certificate is new in the store", "", named(one.info.thumbprint, now))
    for one in before.certificates:
        if one.info.thumbprint not in found:
            yield _stored(now.server, "a certificate is gone from the store", named(one.info.thumbprint, before), "")


def _stored(server: str, text: str, before: str, now: str) -> Difference:
    return Difference(target=server, kind=Kind.STORE, subject="certificates", text=text, before=before, now=now)


def _services(before: ServerFacts, now: ServerFacts) -> Iterator[Difference]:
    was, found = _users(before), _users(now)
    if was is None or found is None:
        return  # Exchange was not asked then, or is not now
    for service in sorted({*was, *found}):
        old, new = was.get(service, ()), found.get(service, ())
        if old != new:
            yield Difference(
                target=now.server, kind=Kind.MAIL, subject=service, text="has another certificate",
                before="; ".join(named(one, before, now) for one in old),
                now="; ".join(named(one, now, before) for one in new),
            )  # fmt: skip


def _users(server: ServerFacts) -> dict[str, tuple[Thumbprint, ...]] | None:
    """By Exchange service the certificates it may use; ``None`` where Exchange said nothing of any."""
    if all(one.services is None for one in server.certificates):
        return None
    users: dict[str, tuple[Thumbprint, ...]] = {}
    for one in sorted(server.certificates, key=lambda held: held.info.thumbprint):
        names = [name for name in one.services or () if name.upper() not in _NOT_TOLD]
        for name in (*names, *((_BETWEEN_SERVERS,) if one.internal_transport else ())):
            users[name] = (*users.get(name, ()), one.info.thumbprint)
    return users


def _by_place(server: ServerFacts) -> dict[_Key, BindingFacts]:
    return {(b.site, b.protocol, b.address, b.port, b.host): b for b in server.bindings}


def _place(key: _Key) -> str:
    _, _, address, port, host = key
    where = str(port) if address == "*" else f"{address}:{port}"
    return f"{where} {host}" if host else where


def _site(name: str) -> str:
    return _SITES.get(name, name)


def _kind(site: str, front: Kind) -> Kind:
    return front if site == FRONT_END_SITE else Kind.BACK_END


def _concerned(site: str) -> tuple[Service, ...]:
    return tuple(Service) if site == FRONT_END_SITE else ()
