"""From a change of one server to whole steps, each with its way back.

Rule of this room: pure. One step carries flags, recycle and the wait together: taken apart and walked backwards they would
recycle before restoring. What was inherited is cleared again, never written.
"""

from __future__ import annotations

from collections.abc import Iterable

from lbsync.changes import (
    Change,
    EnableCertificate,
    FlagChange,
    ImportCertificate,
    RemoveCertificate,
    RequireSsl,
)
from lbsync.errors import UnsafeChange, UnsupportedMode
from lbsync.exchange.actions import (
    EnableArgs,
    FlagArgs,
    FlagsCheck,
    ImportArgs,
    LeafCheck,
    PoolsCheck,
    Question,
    RemoveArgs,
    Verb,
    action,
    check,
)
from lbsync.exchange.iis import NO_FLAGS
from lbsync.exchange.mail import afterwards, backwards, enabled, told
from lbsync.facts import ServerFacts, VdirFacts
from lbsync.model import Check, Step, StepId
from lbsync.services import FLAG_SERVICES, FRONT_END_SITE, SERVICES, Service

_FLAGS_S = 60.0
_POOLS_S = 120.0
_LEAF_S = 60.0

_COOKIE_SERVICES = (Service.OWA, Service.ECP)
"""Their cookies are tied to the server's certificate."""


def lower(change: Change, seen: ServerFacts) -> tuple[Step, ...]:
    """One step for a change of a server. Raises UnsupportedMode for what is no server's change, UnsafeChange."""
    match change:
        case RequireSsl():
            return (_require_ssl(change, seen),)
        case ImportCertificate():
            return (_import(change, seen),)
        case EnableCertificate():
            return (_enable(change, seen),)
        case RemoveCertificate():
            return (_remove(change, seen),)
        case _:
            raise UnsupportedMode(
                f"a server has no {change.kind}", where=seen.server, remedy="this is lbsync's mistake: please report it"
            )


def _require_ssl(change: RequireSsl, seen: ServerFacts) -> Step:
    name = seen.server
    pairs = [(one, _vdir(one, seen)) for one in change.changes]
    for one, vdir in pairs:
        _refuse_unsafe(one, vdir, seen)
    pools = _pools(vdir for _, vdir in pairs)
    inherited = next((v.ssl_flags for v in seen.vdirs if v.location.lower() == FRONT_END_SITE.lower()), NO_FLAGS)
    after = {vdir.location: one.after for one, vdir in pairs}
    before = {vdir.location: one.before for one, vdir in pairs}
    services = ", ".join(one.service for one in change.changes)
    word = "off" if all(one.after == NO_FLAGS for one in change.changes) else "on"
    if len({one.after == NO_FLAGS for one in change.changes}) > 1:
        word = "as its mode needs it"
    return Step(
        id=StepId(f"{name}:require-ssl"),
        target=name,
        summary=f"Require SSL {word} for {services}; recycle {len(pools)} app pool(s)",
        details=(
            *(
                f"~ {vdir.location} sslFlags: {_shown(one.before, inherited)} → {_shown(one.after, inherited)}"
                for one, vdir in pairs
            ),
            *(f"recycle {pool}{_gap(pool)}" for pool in pools),
        ),
        do=action(name, Verb.SET_FLAGS, FlagArgs(flags=after, pools=pools)),
        undo=action(name, Verb.SET_FLAGS, FlagArgs(flags=before, pools=pools)),
        until=_flags_and_pools(name, {place: own or inherited for place, own in after.items()}, pools),
        undo_until=_flags_and_pools(name, {place: own or inherited for place, own in before.items()}, pools),
    )


def _import(change: ImportCertificate, seen: ServerFacts) -> Step:
    name = seen.server
    return Step(
        id=StepId(f"{name}:import-certificate"),
        target=name,
        sign="+",
        summary=f"import the certificate {change.thumbprint} with its key, exportable",
        details=(
            f"+ LocalMachine\\My {change.thumbprint}",
            "going back leaves it in the store, where it harms nothing",
        ),
        do=action(name, Verb.IMPORT, ImportArgs(leaf=change.leaf, thumbprint=change.thumbprint)),
        until=(
            check(
                name,
                Question.STORED,
                LeafCheck(thumbprint=change.thumbprint),
                f"{name} has {change.thumbprint} with its key",
                _LEAF_S,
            ),
        ),
    )


def _enable(change: EnableCertificate, seen: ServerFacts) -> Step:
    name = seen.server
    was, anew = change.before, change.before != change.after
    pools = _pools(vdir for service in _COOKIE_SERVICES if anew and (vdir := seen.vdir(service)) is not None)
    then, back = afterwards(change), backwards(change)
    # -DoNotRequireSsl is trusted and checked: Enable-ExchangeCertificate turns Require SSL on again without it.
    kept = {vdir.location: vdir.ssl_flags for vdir in seen.vdirs if vdir.services}
    others = "".join(f", {one.service}" for one in change.also)
    return Step(
        id=StepId(f"{name}:enable-certificate"),
        target=name,
        summary=f"IIS 443{others} serve{'' if others else 's'} {change.after}; recycle {len(pools)} app pool(s)",
        details=(
            f"~ IIS certificate: {was or '(none)'} → {change.after}" if anew else f"IIS has {change.after} already",
            *told(change),
            *(f"recycle {pool}{_gap(pool)}" for pool in pools),
            *(["users of OWA and ECP may have to sign in again"] if anew else []),
        ),
        do=action(name, Verb.ENABLE, EnableArgs(thumbprint=change.after, pools=pools, also=then)),
        undo=None if was is None else action(name, Verb.ENABLE, EnableArgs(thumbprint=was, pools=pools, also=back)),
        until=(
            check(name, Question.LEAF, LeafCheck(thumbprint=change.after), f"{name} serves {change.after}", _LEAF_S),
            *enabled(name, then),
            *_flags_and_pools(name, kept, pools),
        ),
        undo_until=()
        if was is None
        else (
            check(name, Question.LEAF, LeafCheck(thumbprint=was), f"{name} serves {was} again", _LEAF_S),
            *enabled(name, back),
            *_flags_and_pools(name, kept, pools),
        ),
    )


def _remove(change: RemoveCertificate, seen: ServerFacts) -> Step:
    name, thumbprint = seen.server, change.thumbprint
    taken_over = f"{', '.join(change.released)} still list it there, and another certificate serves them"
    return Step(
        id=StepId(f"{name}:remove-certificate:{thumbprint[:12]}"),
        target=name,
        sign="-",
        summary=f"remove the certificate {thumbprint} with its key",
        details=(
            f"- LocalMachine\\My {thumbprint}",
            *((taken_over,) if change.released else ()),
            "for good: there is no way back from this step",
        ),
        do=action(name, Verb.REMOVE, RemoveArgs(leaf=change.leaf, thumbprint=thumbprint, released=change.released)),
        until=(
            check(
                name,
                Question.GONE,
                LeafCheck(thumbprint=thumbprint),
                f"{name} has {thumbprint} no longer",
                _LEAF_S,
            ),
        ),
    )


def _vdir(change: FlagChange, seen: ServerFacts) -> VdirFacts:
    if change.service not in FLAG_SERVICES:
        owner = "Set-OutlookAnywhere" if change.service is Service.OUTLOOK_ANYWHERE else "EWS, and MRSProxy needs TLS"
        raise UnsafeChange(
            f"Require SSL of {change.service} is not written in IIS: it belongs to {owner}",
            where=seen.server,
            remedy="this is lbsync's mistake: please report it",
        )
    vdir = seen.vdir(change.service)
    if vdir is None:
        raise UnsafeChange(
            f"there is no {SERVICES[change.service].location} on this server",
            where=seen.server,
            remedy="look at Get-*VirtualDirectory of that server, or leave the service bridged",
        )
    return vdir


def _refuse_unsafe(change: FlagChange, vdir: VdirFacts, seen: ServerFacts) -> None:
    if change.after == NO_FLAGS and vdir.client_certificates:
        raise UnsafeChange(
            f"{vdir.location} asks for client certificates ({vdir.ssl_flags}), and sslFlags None would drop that",
            where=seen.server,
            remedy="bridge this service, or give up client certificates first",
        )


def _pools(vdirs: Iterable[VdirFacts]) -> tuple[str, ...]:
    """The pools that run these directories, each once."""
    return tuple(dict.fromkeys(vdir.pool or SERVICES[vdir.services[0]].pool for vdir in vdirs))


def _gap(pool: str) -> str:
    spec = next((spec for spec in SERVICES.values() if spec.pool == pool), None)
    match spec:
        case None:
            return ""
        case _ if spec.recycle_gap:
            return " (it answers 503 for some seconds)"
        case _ if spec.pool_shared_with_back_end:
            return " (and the back end pool of that name)"
        case _:
            return ""


def _shown(own: str | None, inherited: str) -> str:
    return f"(inherited) {inherited}" if own is None else own


def _flags_and_pools(name: str, flags: dict[str, str], pools: tuple[str, ...]) -> tuple[Check, ...]:
    return (
        check(name, Question.FLAGS, FlagsCheck(flags=flags), f"IIS of {name} shows the sslFlags wanted", _FLAGS_S),
        check(name, Question.POOLS, PoolsCheck(pools=pools), f"{len(pools)} app pool(s) of {name} run", _POOLS_S),
    )
