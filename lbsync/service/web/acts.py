"""What can be done on pages: forms that work without a script, each with the session's token, judged by the gate.

Rule of this file: what changes a farm is asked once more on a page of its own; afterwards the browser is sent to where one sees
it happen, so that loading again does nothing again.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from lbsync.service.port import NotFound
from lbsync.service.proposals import asked_by
from lbsync.service.values import JobState, Kind, Options, Proposal
from lbsync.service.web.asking import asking, hub_of, who
from lbsync.service.web.forms import fields_of
from lbsync.service.web.problems import problem
from lbsync.service.web.templating import page
from lbsync.service.web.views import plans
from lbsync.service.web.views.words import KINDS

_REASON = 500
_QUESTIONS: Final = {
    "rollback": (
        "Roll back this run?",
        "Every step that was done is undone, the last one first. What somebody changed since then stops it and is shown.",
        "Yes, roll back",
        "danger",
    ),
    "resume": (
        "Go on with this run?",
        "It goes on where it stopped, forward or back as it was under way; every step is looked at before it is done.",
        "Yes, go on",
        "primary",
    ),
}


def add(web: APIRouter) -> None:
    """The routes."""
    _asking(web)
    _proposals(web)
    _runs(web)


def _asking(web: APIRouter) -> None:
    @web.post("/n/{ns}/look")
    async def look(request: Request, ns: str) -> Response:
        await hub_of(request).look(ns, who(request))
        return _to(f"/n/{quote(ns)}")

    @web.post("/n/{ns}/proposals")
    async def propose(request: Request, ns: str) -> Response:
        kind = _kind(_fields(request).get("kind", ""))
        if kind is None:
            return problem(
                HTTPStatus.BAD_REQUEST, "nothing of that kind can be planned", where="the form",
                remedy="use the page's own buttons", code="kind",
            )  # fmt: skip
        return _to_job(await hub_of(request).propose(ns, kind, Options(), who(request)))

    @web.post("/n/{ns}/jobs/{job}/stop")
    async def stop(request: Request, ns: str, job: str) -> Response:
        if hub_of(request).job(job).namespace != ns:
            raise NotFound("there is no such job", where=ns, code="unknown-job")
        return _to_job(await hub_of(request).stop(job, who(request)))


def _proposals(web: APIRouter) -> None:
    @web.get("/n/{ns}/proposals/{proposal}/approve")
    async def approve_page(request: Request, ns: str, proposal: str) -> Response:
        found = _proposal(request, ns, proposal)
        plan = plans.plan_view(found.plan)
        lines = [
            found.summary,
            f"{found.steps} steps: {plan.counts}." if plan and plan.counts else f"{found.steps} steps.",
        ]
        lines += [f"Warning: {warning}" for warning in (plan.warnings if plan else ())]
        if found.needs > 1:
            lines.append(
                f"It needs {found.needs} approvals and has {len(found.approvals)}; it begins with the last one."
            )
        elif found.kind == "prune":
            lines.append("It begins at once. What it removes does not come back.")
        else:
            lines.append(
                "It begins at once. A step that fails starts the way back by itself; you can stop it between two steps."
            )
        if asked_by(found, who(request)):
            lines.append("You asked for it yourself: where four eyes are wanted, somebody else has to approve it.")
        return page(
            request, "ask.html", ns=ns, name="Approve", question=f"Approve this {KINDS[found.kind].lower()}?", lines=lines,
            action=request.url.path, yes="Yes, approve", css="primary", back=_path(ns, "proposals", proposal), reason=False,
        )  # fmt: skip

    @web.post("/n/{ns}/proposals/{proposal}/approve")
    async def approve(request: Request, ns: str, proposal: str) -> Response:
        match await hub_of(request).approve(ns, proposal, who(request)):
            case Proposal():
                return _to(_path(ns, "proposals", proposal))
            case JobState() as job:
                return _to_job(job)

    @web.get("/n/{ns}/proposals/{proposal}/decline")
    async def decline_page(request: Request, ns: str, proposal: str) -> Response:
        found = _proposal(request, ns, proposal)
        return page(
            request, "ask.html", ns=ns, name="Decline", question=f"Decline this {KINDS[found.kind].lower()}?",
            lines=[found.summary, "Nothing is done. It can be proposed again at any time."], action=request.url.path,
            yes="Yes, decline", css="danger", back=_path(ns, "proposals", proposal), reason=True,
        )  # fmt: skip

    @web.post("/n/{ns}/proposals/{proposal}/decline")
    async def decline(request: Request, ns: str, proposal: str) -> Response:
        reason = _fields(request).get("reason", "")[:_REASON].strip()
        await hub_of(request).decline(ns, proposal, who(request), reason)
        return _to(f"/n/{quote(ns)}")


def _runs(web: APIRouter) -> None:
    async def question(request: Request, ns: str, run: str, action: Literal["rollback", "resume"]) -> Response:
        detail = await hub_of(request).run(ns, run)
        asked, line, yes, css = _QUESTIONS[action]
        done = plans.progress(detail.steps)
        return page(
            request, "ask.html", ns=ns, name=f"Run {run}", question=asked, css=css, yes=yes, reason=False,
            lines=[f"Run {run}: {detail.run.words}; {done}.", line], action=request.url.path, back=_path(ns, "runs", run),
        )  # fmt: skip

    @web.get("/n/{ns}/runs/{run}/rollback")
    async def rollback_page(request: Request, ns: str, run: str) -> Response:
        return await question(request, ns, run, "rollback")

    @web.get("/n/{ns}/runs/{run}/resume")
    async def resume_page(request: Request, ns: str, run: str) -> Response:
        return await question(request, ns, run, "resume")

    @web.post("/n/{ns}/runs/{run}/rollback")
    async def rollback(request: Request, ns: str, run: str) -> Response:
        return _to_job(await hub_of(request).act(ns, run, "rollback", who(request)))

    @web.post("/n/{ns}/runs/{run}/resume")
    async def resume(request: Request, ns: str, run: str) -> Response:
        return _to_job(await hub_of(request).act(ns, run, "resume", who(request)))

    @web.post("/n/{ns}/runs/{run}/confirm")
    async def confirm(request: Request, ns: str, run: str) -> Response:
        return _to_job(await hub_of(request).act(ns, run, "confirm", who(request)))


def _proposal(request: Request, ns: str, identity: str) -> Proposal:
    found = next((one for one in hub_of(request).state(ns).proposals if one.id == identity), None)
    if found is None:
        raise NotFound(
            "this proposal is over", where=ns, state="it was approved, declined, or it expired",
            remedy=f"see what is being done at /n/{ns}", code="unknown-proposal",
        )  # fmt: skip
    return found


def _kind(sent: str) -> Kind | None:
    kinds: tuple[Kind, ...] = ("rotate", "apply", "prune")
    return next((kind for kind in kinds if kind == sent), None)


def _fields(request: Request) -> dict[str, str]:
    return fields_of(request.scope["headers"], asking(request).body)


def _path(ns: str, room: str, identity: str) -> str:
    return f"/n/{quote(ns)}/{room}/{quote(identity)}"


def _to_job(job: JobState) -> Response:
    return _to(_path(job.namespace, "jobs", job.id))


def _to(path: str) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)
