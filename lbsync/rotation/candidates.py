"""Which certificate may follow the one that is served: every candidate with what hinders it, and the choice.

Rule of this room: pure. A certificate is chosen by its thumbprint, never by its subject; where several would do, they are
listed and nobody guesses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from lbsync.errors import UnsafeChange
from lbsync.facts import ServerFacts
from lbsync.model import Value
from lbsync_certs import CertificateInfo, Fingerprint, ProblemCode, Thumbprint
from lbsync_certs.checks import Finding
from lbsync_certs.info import parse_thumbprint
from lbsync_certs.names import covers, is_name
from lbsync_certs.renewal import hindrances

_REFUSED_STATUS = frozenset({"PendingRequest", "Revoked", "Invalid", "DateInvalid"})
"""What Get-ExchangeCertificate says of a certificate that must not be served."""


class Candidate(Value):
    """A certificate that was found, and where: names of servers, or a file's path.

    ``has_key`` is true where at least one place holds its private key; ``exportable`` is ``None`` where nobody knows.
    """

    info: CertificateInfo
    origin: Literal["server", "file"]
    places: tuple[str, ...]
    has_key: bool = True
    exportable: bool | None = True
    status: str | None = None


class Judged(Value):
    """A candidate, and what hinders it: ``refused`` always, ``doubts`` unless a person overrules them."""

    candidate: Candidate
    refused: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Nothing hinders it."""
        return not (self.refused or self.doubts)


def on_servers(servers: Iterable[ServerFacts]) -> tuple[Candidate, ...]:
    """Everything the servers' stores hold, each certificate once, in the order it was met."""
    found: dict[Fingerprint, Candidate] = {}
    for server in servers:
        for stored in server.certificates:
            before = found.get(stored.info.fingerprint)
            gives = stored.has_private_key and stored.exportable is not False
            if before is None:
                found[stored.info.fingerprint] = Candidate(
                    info=stored.info,
                    origin="server",
                    places=(server.server,),
                    has_key=stored.has_private_key,
                    exportable=stored.exportable if stored.has_private_key else False,
                    status=stored.status,
                )
                continue
            found[stored.info.fingerprint] = before.model_copy(
                update={
                    "places": (*before.places, server.server),
                    "has_key": before.has_key or stored.has_private_key,
                    "exportable": True if gives else before.exportable,
                    "status": before.status if before.status in _REFUSED_STATUS else stored.status,
                }
            )
    return tuple(found.values())


def merged(found: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Each certificate once, with every place that has it; a place that gives its key counts."""
    known: dict[Fingerprint, Candidate] = {}
    for one in found:
        before = known.get(one.info.fingerprint)
        if before is None:
            known[one.info.fingerprint] = one
            continue
        gives = [each for each in (before, one) if each.has_key and each.exportable is not False]
        best = gives[0] if gives else before
        known[one.info.fingerprint] = best.model_copy(
            update={
                "places": (*before.places, *one.places),
                "has_key": before.has_key or one.has_key,
                "status": next((each.status for each in (before, one) if each.status in _REFUSED_STATUS), best.status),
            }
        )
    return tuple(known.values())


def judge(current: CertificateInfo, candidate: Candidate, now: datetime, hosts: Sequence[str] | None = None) -> Judged:
    """What speaks against letting ``candidate`` follow ``current`` at ``now`` (aware).

    ``hosts`` are the names that clients ask for; without one it is refused, without another name of ``current`` it is doubted.
    """
    found = (*_of_the_place(candidate), *hindrances(current, candidate.info, now=now, needed=hosts))
    return Judged(
        candidate=candidate,
        refused=tuple(one.message for one in found if one.severity == "error"),
        doubts=tuple(one.message for one in found if one.severity == "warning"),
    )


def renewals(
    current: CertificateInfo, found: Iterable[Candidate], now: datetime, hosts: Sequence[str] | None = None
) -> tuple[Judged, ...]:
    """Every candidate that looks like a renewal of ``current``, the one that ends last first.

    Left out are ``current`` itself and what serves none of its names: a server's store holds many certificates that have
    nothing to do with clients.
    """
    judged = [
        judge(current, one, now, hosts)
        for one in merged(found)
        if one.info.fingerprint != current.fingerprint and _shares_a_name(current, one.info)
    ]
    return tuple(sorted(judged, key=lambda one: one.candidate.info.not_after, reverse=True))


def choose(
    current: CertificateInfo,
    found: Sequence[Candidate],
    now: datetime,
    *,
    thumbprint: str | None,
    force: bool = False,
    hosts: Sequence[str] | None = None,
) -> Judged:
    """The certificate to rotate to.

    Without ``thumbprint`` it is the only one that nothing hinders; with it, ``current`` itself may be named, so that the rest of
    the farm follows. ``force`` overrules doubts, never a refusal. Raises
    UnsafeChange where there is none or more than one, where the one named is not there, and where something hinders it;
    CertificateProblem for a thumbprint that is none.
    """
    if thumbprint is not None:
        return _named(current, found, now, parse_thumbprint(thumbprint), force=force, hosts=hosts)
    judged = renewals(current, found, now, hosts)
    fit = [one for one in judged if one.fits]
    match fit:
        case [only]:
            return only
        case []:
            raise _refusal(
                f"no renewed certificate was found for {_told(current)}",
                tuple(line for one in judged for line in _lines(one)),
                "bring one: onto a server (Import-ExchangeCertificate), as a file where [certificate] renewals looks, or by a "
                "request (lbsync csr); one with doubts only is taken by --thumbprint and --force",
            )
        case _:
            raise _refusal(
                f"several certificates could follow {_told(current)}: choose one",
                tuple(f"{_told(one.candidate.info)}, at {', '.join(one.candidate.places)}" for one in fit),
                "name it: lbsync rotate --thumbprint THUMBPRINT",
            )


def _named(
    current: CertificateInfo,
    found: Sequence[Candidate],
    now: datetime,
    thumbprint: Thumbprint,
    *,
    force: bool,
    hosts: Sequence[str] | None,
) -> Judged:
    held = next((one for one in merged(found) if one.info.thumbprint == thumbprint), None)
    if held is None:
        raise _refusal(
            f"nobody has a certificate with the thumbprint {thumbprint}",
            tuple(_told(one.candidate.info) for one in renewals(current, found, now)),
            "copy it from lbsync cert show",
        )
    if held.info == current:
        return Judged(candidate=held, refused=tuple(one.message for one in _of_the_place(held)))
    judged = judge(current, held, now, hosts)
    if judged.refused or (judged.doubts and not force):
        overruled = "" if judged.refused else "; where you know why it must be this one: --force"
        raise _refusal(
            f"{_told(held.info)} must not follow {_told(current)}",
            (*judged.refused, *judged.doubts),
            f"renew or replace it{overruled}",
        )
    return judged


def _of_the_place(candidate: Candidate) -> Iterable[Finding]:
    if not candidate.has_key:
        yield Finding(ProblemCode.NO_KEY, "Its private key is nowhere: the request was made elsewhere, or is pending.")
    elif candidate.exportable is False:
        yield Finding(
            ProblemCode.NOT_EXPORTABLE,
            "Its private key is not marked exportable: import its PFX again with -PrivateKeyExportable $true, or give the PFX "
            "itself ([certificate] renewals).",
        )
    if candidate.status in _REFUSED_STATUS:
        yield Finding(ProblemCode.UNREADABLE, f"Exchange says that it is {candidate.status}.")


def _shares_a_name(current: CertificateInfo, info: CertificateInfo) -> bool:
    return any(covers(info, name) for name in (*current.names, *current.addresses) if is_name(name))


def _lines(judged: Judged) -> Iterable[str]:
    for reason in (*judged.refused, *judged.doubts):
        yield f"{_told(judged.candidate.info)}: {reason}"


def _told(info: CertificateInfo) -> str:
    return f"{info.thumbprint} ({info.subject}, until {info.not_after:%Y-%m-%d})"


def _refusal(message: str, reasons: tuple[str, ...], remedy: str) -> UnsafeChange:
    return UnsafeChange(message, reasons=reasons, state="nothing was changed", remedy=remedy)
