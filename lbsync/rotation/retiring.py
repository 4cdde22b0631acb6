"""Which certificates may be retired after a rotation: every candidate with what speaks against it, and the choice.

Rule of this room: pure. A certificate is known by its thumbprint, never by its subject. Nothing overrules a use; a person who
names a certificate overrules the grace period, and that alone.
"""

from __future__ import annotations

import re
from datetime import datetime

from lbsync.errors import UnsafeChange
from lbsync.model import Value
from lbsync.rotation.ground import Found, Ground
from lbsync.rotation.in_use import uses_of
from lbsync_certs.names import covers

_NOISE = re.compile(r"[\s:\-\u200e\u200f\ufeff]")
_COPY = "copy it from lbsync prune --dry-run"
_DIGITS = re.compile(r"[0-9A-Fa-f]{40}(?:[0-9A-Fa-f]{24})?\Z")


class Retiring(Value):
    """A candidate, and what speaks against it: ``refused`` always; ``waits`` (the grace period) unless a person overrules it.

    ``since`` says from when its grace period is counted, in words; ``due`` is its end, ``None`` where nobody knows.
    """

    found: Found
    refused: tuple[str, ...] = ()
    waits: str = ""
    since: str = ""
    due: datetime | None = None

    @property
    def fits(self) -> bool:
        """It may go now."""
        return not (self.refused or self.waits)


def candidates(ground: Ground) -> tuple[Retiring, ...]:
    """What the rotated name no longer uses, judged; the one that ends first comes first.

    Those of ours that a balancer holds, and those in servers' stores that cover a published name and end no later than the one
    that is served. What has nothing to do with the published names is nobody's candidate, and the one served never is.
    """
    found = [one for one in ground.everything() if _is_candidate(one, ground)]
    return tuple(judge(one, ground) for one in sorted(found, key=lambda one: (_end(one), one.name)))


def judge(one: Found, ground: Ground) -> Retiring:
    """What speaks against retiring it now."""
    refused = list(uses_of(one, ground))
    if one.info is not None and one.info.not_after > ground.current.not_after:
        refused.append(
            f"it ends later ({_day(one.info.not_after)}) than the one that is served: it may be the next one"
        )
    since, due = _grace(one, ground)
    waits = "" if due is not None and due <= ground.now else since
    return Retiring(found=one, refused=tuple(refused), waits=waits, since=since, due=due)


def choose(ground: Ground, *, named: str | None, force: bool = False) -> tuple[Retiring, ...]:
    """What to retire: every candidate that nothing speaks against, or the one ``named`` by its thumbprint (or SHA-256).

    ``force`` overrules the grace period of the one named. Raises UnsafeChange where it is served, is not there, is no
    certificate of the published names, or anything speaks against it.
    """
    if named is None:
        return tuple(one for one in candidates(ground) if one.fits)
    text = _NOISE.sub("", named)
    if not _DIGITS.match(text):
        raise _refusal(
            f"{named!r} is not a thumbprint: 40 hexadecimal digits are expected, or the 64 of a SHA-256", (), _COPY
        )
    one = next((each for each in ground.everything() if each.named_by(text)), None)
    if one is None:
        known = tuple(told(each.found) for each in candidates(ground))
        raise _refusal(f"no server and no balancer has the certificate {text.upper()}", known, _COPY)
    if one.fingerprint == ground.current.fingerprint:
        raise _refusal(f"{told(one)} is the one that clients are served", (), "name one that is not")
    if not (one.balancers or _of_the_names(one, ground)):
        raise _refusal(
            f"{told(one)} covers none of the published names", (), "it is none of lbsync's: name one that is"
        )
    judged = judge(one, ground)
    if judged.refused or (judged.waits and not force):
        way = "" if judged.refused else "; where you know that nobody needs it any more: --force"
        raise _refusal(
            f"{told(one)} must not be removed now",
            (*judged.refused, *([judged.waits] if judged.waits else [])),
            f"do what each reason says, or wait{way}",
        )
    return (judged,)


def told(one: Found) -> str:
    """A certificate for a person: name, subject and end, where they are known."""
    return f"{one.name} ({one.info.subject}, until {_day(one.info.not_after)})" if one.info else one.name


def _is_candidate(one: Found, ground: Ground) -> bool:
    if one.fingerprint == ground.current.fingerprint:
        return False
    older = one.info is not None and one.info.not_after <= ground.current.not_after
    return bool(one.balancers) or (older and _of_the_names(one, ground))


def _of_the_names(one: Found, ground: Ground) -> bool:
    info = one.info
    return info is not None and any(covers(info, host) for host in ground.hosts)


def _grace(one: Found, ground: Ground) -> tuple[str, datetime | None]:
    """From when the grace period is counted, in words, and when it ends."""
    days = f"[certificate] keep_days = {ground.keep.days}"
    until = ground.until.get(one.fingerprint)
    if until is not None:
        due = until + ground.keep
        return f"not before {_day(due)}: it was served until {_day(until)} ({days})", due
    if one.info is None:
        unknown = "the ledger does not know until when it was served, and its end is known to nobody but the balancer"
        return f"{unknown}: name it, with --thumbprint and --force", None
    due = one.info.not_after + ground.keep
    own = f"the ledger does not know until when it was served, so its own end {_day(one.info.not_after)} counts"
    return f"not before {_day(due)}: {own} ({days})", due


def _end(one: Found) -> str:
    return one.info.not_after.isoformat() if one.info else ""


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _refusal(message: str, reasons: tuple[str, ...], remedy: str) -> UnsafeChange:
    return UnsafeChange(message, reasons=reasons, where="--thumbprint", state="nothing was changed", remedy=remedy)
