"""Proposals: a plan that somebody asked for, or that is due, and the approvals it needs before it is carried out.

Rule of this file: pure. What is approved is a basis: the same command is given it, and refuses where the facts or the
configuration are others by then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import zip_longest

from pydantic import JsonValue, ValidationError

from lbsync.errors import LbsyncError
from lbsync.model import Plan
from lbsync.service.overview import Watched
from lbsync.service.port import Gone, NotYours
from lbsync.service.values import TOKEN_USER, Kind, Options, Proposal, Role, Who

SCHEDULE = Who(name="schedule", role=Role.OPERATOR, via="service")
"""Who asks for what is due."""

_WORDS: Mapping[Kind, str] = {
    "rotate": "Take a renewed certificate to every balancer and server",
    "apply": "Bring everything to what the configuration wants",
    "prune": "Remove certificates that nobody needs, for good",
}


def made(
    document: Mapping[str, JsonValue],
    *,
    proposal_id: str,
    namespace: str,
    kind: Kind,
    options: Options,
    who: Who,
    now: datetime,
    lasts: timedelta,
    four_eyes: bool,
) -> Proposal | None:
    """A proposal of the plan that a command printed; ``None`` where there is nothing to do. Raises LbsyncError.

    With four eyes, what the schedule asks for needs two approvers; so does what was asked for by the generated token, which may
    be any of them.
    """
    try:
        plan = Plan.model_validate({key: value for key, value in document.items() if key in Plan.model_fields})
    except ValidationError:
        raise LbsyncError(
            "the plan cannot be read",
            where=namespace,
            state="nothing was changed",
            remedy="where lbsync was updated beneath the running service, restart the service",
            code="unreadable-answer",
        ) from None
    if not plan.steps:
        return None
    return Proposal(
        id=proposal_id,
        namespace=namespace,
        kind=kind,
        options=options,
        basis=plan.basis,
        summary=summary(kind, plan),
        steps=len(plan.steps),
        plan=plan.model_dump(mode="json"),
        asked_by=who.name,
        asked_at=now,
        expires_at=now + lasts,
        asker=who.subject,
        needs=2 if four_eyes and (who == SCHEDULE or who.name == TOKEN_USER) else 1,
    )


def summary(kind: Kind, plan: Plan) -> str:
    """The plan in a line: what it is for, and how many steps on whom."""
    targets = Counter(step.target for step in plan.steps)
    on = ", ".join(f"{target} {count}" for target, count in targets.items())
    return f"{_WORDS[kind]}: {len(plan.steps)} steps ({on})"


def approved(proposal: Proposal, who: Who, now: datetime, *, four_eyes: bool) -> Proposal:
    """With one more approval. Raises Gone where it is over, NotYours where this person may not."""
    if proposal.expires_at <= now:
        raise Gone(
            "this proposal is over: nobody approved it in time",
            where=proposal.namespace,
            state="nothing was changed",
            remedy="ask for a new plan, and look at that",
            code="expired",
        )
    if proposal.needs <= len(proposal.approvals):
        raise Gone(
            "this proposal is being carried out already",
            where=proposal.namespace,
            state="its run shows how far it is",
            remedy="look at the run",
            code="expired",
        )
    if four_eyes and who.name == TOKEN_USER:
        raise NotYours(
            "four eyes: the generated token is nobody's name, and who has it may have another",
            where=proposal.namespace,
            state="nothing was approved",
            remedy="log in by a name of your own: lbsync serve-user add",
            code="four-eyes",
        )
    if four_eyes and (asked_by(proposal, who) or approved_by(proposal, who)):
        raise NotYours(
            "four eyes: somebody else has to approve this",
            where=proposal.namespace,
            state=f"asked for by {proposal.asked_by}; approved by {', '.join(proposal.approvals) or 'nobody yet'}",
            remedy="ask another approver",
            code="four-eyes",
        )
    subjects = (subject for _, subject in _approvers(proposal))
    return proposal.model_copy(
        update={"approvals": (*proposal.approvals, who.name), "approvers": (*subjects, who.subject)}
    )


def asked_by(proposal: Proposal, who: Who) -> bool:
    """Whether this person asked for it."""
    return _same(who, proposal.asked_by, proposal.asker)


def approved_by(proposal: Proposal, who: Who) -> bool:
    """Whether this person has approved it."""
    return any(_same(who, name, subject) for name, subject in _approvers(proposal))


def _approvers(proposal: Proposal) -> list[tuple[str, str]]:
    """Names with subjects. Where approvals were taken back, or are older than subjects, there are not as many of these."""
    return list(zip_longest(proposal.approvals, proposal.approvers[: len(proposal.approvals)], fillvalue=""))


def _same(who: Who, name: str, subject: str) -> bool:
    """By subject where both have one: a name can be changed by whoever has it. Else by name, so that in doubt it is the same."""
    if who.subject and subject:
        return who.subject == subject
    return who.name.casefold() == name.casefold()


def enough(proposal: Proposal) -> bool:
    """Whether it may begin."""
    return len(proposal.approvals) >= proposal.needs


def asked(proposal: Proposal) -> str:
    """Who stands behind it, as the ledger has it."""
    return f"approved by {' and '.join(proposal.approvals)}, asked by {proposal.asked_by}"


def over(proposals: Iterable[Proposal], watched: Watched | None, now: datetime) -> dict[str, str]:
    """Those that are over at ``now``, by id, with the reason; ``watched`` is the newest look, ``None`` for an old one."""
    ended: dict[str, str] = {}
    for one in proposals:
        if enough(one):
            continue  # it is being carried out
        if one.expires_at <= now:
            ended[one.id] = "nobody approved it in time"
        elif watched is not None and one.asked_by == SCHEDULE.name and _leaf(watched) != one.options.thumbprint:
            ended[one.id] = "what it was made for is no longer due"
    return ended


def due(watched: Watched, proposals: Iterable[Proposal], declined: Iterable[str]) -> str | None:
    """The thumbprint to propose a rotation to, unless one is proposed already or a person declined it before."""
    leaf = _leaf(watched)
    if leaf is None or leaf in declined or any(one.kind == "rotate" for one in proposals):
        return None
    return leaf


def _leaf(watched: Watched) -> str | None:
    return watched.ahead.leaf.thumbprint if watched.ahead.leaf is not None else None
