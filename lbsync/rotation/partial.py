"""A rotation that goes on without the balancers that cannot be switched, where a person asked for that.

Rule of this room: pure. Without them the servers keep their certificate, so that whoever still has the old one in front of them
meets what it met before; under Extended Protection there is no going on, since every client would fail on one side.
"""

from __future__ import annotations

from collections.abc import Collection

from lbsync.advise.rotation import guarded
from lbsync.desired import FactSet
from lbsync.errors import UnsafeChange
from lbsync.run import Run

_ABOUT_SERVERS = frozenset({"spare", "member-up", "drained"})
"""Checks that a balancer answers about servers: one that is down is no balancer's fault."""


def culprits(run: Run, balancers: Collection[str]) -> dict[str, str]:
    """The balancers that made a run go back, each with the reason; nothing where somebody or something else did."""
    found: dict[str, str] = {}
    for failed in run.failures:
        if failed.code in _ABOUT_SERVERS:
            return {}
        target = run.step(failed.step).target
        place = target if target in balancers else failed.where
        if place not in balancers:
            return {}
        found.setdefault(place, failed.reason)
    return found


def unpublished(facts: FactSet) -> dict[str, str]:
    """The balancers on which nothing of ours runs, each with the reason: not started, or not rolled out yet."""
    return {seen.balancer: "nothing of ours runs there" for seen in facts.balancers if not seen.published}


def without(facts: FactSet, left_out: Collection[str]) -> FactSet:
    """What was seen, without these balancers. Raises UnsafeChange where nobody is left, or no part may change by itself."""
    refuse_under_protection(facts)
    left = tuple(seen for seen in facts.balancers if seen.balancer not in left_out)
    if not any(seen.published for seen in left):
        raise UnsafeChange(
            f"no balancer is left to switch: {', '.join(sorted(left_out))} cannot be",
            state="every balancer and server has the certificate of before",
            remedy="mend one of them, then rotate again",
        )
    return facts.model_copy(update={"balancers": left})


def refuse_unpublished(facts: FactSet) -> None:
    """Raises UnsafeChange where a balancer publishes nothing: its clients would meet the certificate of before, or nothing."""
    missing = unpublished(facts)
    if missing:
        raise UnsafeChange(
            f"nothing of ours runs on {', '.join(missing)}",
            state="nothing was changed",
            remedy="start it, or publish there first (lbsync plan, then lbsync apply); lbsync rotate --keep-going leaves it out",
        )


def refuse_under_protection(facts: FactSet) -> None:
    """Raises UnsafeChange where servers hold clients to the certificate of their connection: all change together, or none."""
    where = guarded(facts.servers)
    if where:
        raise UnsafeChange(
            f"Extended Protection is on at {', '.join(where)}: no balancer can be left out there, since servers and all "
            "balancers must change together",
            where="--keep-going",
            state="nothing was changed",
            remedy="rotate without --keep-going: what cannot be switched takes all of it back",
        )
