"""What differs on a balancer: what of ours is on it, modes, certificates, its software, which unit answers.

Rule of this file: pure. A file that only follows a change of modes or of the certificate is not told beside that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lbsync.drift.baseline import PARTS
from lbsync.drift.difference import Difference, Kind
from lbsync.facts import BalancerFacts
from lbsync.services import Service

_EVERY = tuple(Service)


def compare_balancer(before: BalancerFacts, now: BalancerFacts) -> Iterator[Difference]:
    """Nothing of what was published is compared where nothing is published any more."""
    made = partial(Difference, target=now.balancer)
    if before.live.unit != now.live.unit and before.live.unit and now.live.unit:
        yield made(
            kind=Kind.UNIT, subject="active unit", text="another device answers", before=before.live.unit, now=now.live.unit
        )  # fmt: skip
    was, found = f"{before.provider} {before.version}".strip(), f"{now.provider} {now.version}".strip()
    if was != found:
        yield made(kind=Kind.SOFTWARE, subject="software", text="another version", before=was, now=found)
    if before.published is not now.published:
        text = "our listeners are loaded" if now.published else "nothing of ours is loaded any more"
        yield made(kind=Kind.PUBLISHED, subject="publication", text=text, services=_EVERY)
        return
    yield from _structure(before, now)
    for service in Service:
        old, new = before.modes.get(service), now.modes.get(service)
        if old is not new:
            yield made(
                kind=Kind.MODE, subject=service.value, text="is in another mode", before=old or "", now=new or "",
                services=(service,),
            )  # fmt: skip
    if before.leaf != now.leaf:
        yield made(
            kind=Kind.SERVED, subject="certificate", text="serves another one", before=before.leaf or "", now=now.leaf or "",
            services=_EVERY,
        )  # fmt: skip
    for one in sorted({*before.installed} ^ {*now.installed}):
        if one not in {before.leaf, now.leaf}:
            added = one in now.installed
            text = f"one more is {'installed' if added else 'gone'}"
            yield made(
                kind=Kind.INSTALLED, subject="certificate", text=text, before="" if added else one, now=one if added else ""
            )  # fmt: skip


def _structure(before: BalancerFacts, now: BalancerFacts) -> Iterator[Difference]:
    same = before.structure == now.structure
    if same and (before.modes != now.modes or before.leaf != now.leaf):
        return  # the files that hold modes and certificate follow these
    was, found = before.image.get(PARTS), now.image.get(PARTS)
    old, new = was if isinstance(was, dict) else {}, found if isinstance(found, dict) else {}
    told = [
        (name, "differs" if name in old and name in new else "is gone" if name in old else "is new")
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    for name, text in told:
        yield Difference(target=now.balancer, kind=Kind.STRUCTURE, subject=name, text=text, services=_EVERY)
    if not told and not same:
        yield Difference(
            target=now.balancer, kind=Kind.STRUCTURE, subject="our configuration",
            text="differs from what was loaded" if now.structure else "what runs and what is stored disagree",
            services=_EVERY,
        )  # fmt: skip
