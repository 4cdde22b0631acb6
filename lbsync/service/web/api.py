"""The API: what the hub can, as JSON under /api/v1.

Rule of this file: a route reads what was sent, asks the hub once, and gives what it answers. Who may ask was judged by the gate.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.security import APIKeyCookie, HTTPBearer
from pydantic import JsonValue

from lbsync.service.auth.roles import ID, NAMESPACE
from lbsync.service.values import ChainState, JobState, NamespaceState, Proposal, RunDetail, RunState
from lbsync.service.web.asking import hub_of, who
from lbsync.service.web.models import DeclineIn, ProposeIn, Summary
from lbsync.service.web.problems import MEDIA, Problem
from lbsync.service.web.sse import EventStream

PREFIX = "/api/v1"
_PROBLEM: dict[str, Any] = {
    "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    "description": "It was not done, and why.",
    "model": Problem,
}
PROBLEMS: dict[int | str, dict[str, Any]] = {"4XX": _PROBLEM, 422: _PROBLEM, "5XX": _PROBLEM}
"""What every route may answer beside its own."""
LOGINS = [
    Depends(HTTPBearer(auto_error=False, description="The generated token, or a user's API token.")),
    Depends(APIKeyCookie(name="lbsync", auto_error=False, description="The session, with X-CSRF-Token for changes.")),
]
"""For the description only: the gate lets in."""

Namespace = Annotated[str, Path(pattern=f"^{NAMESPACE}$")]
Id = Annotated[str, Path(pattern=f"^{ID}$")]


def router() -> APIRouter:
    """Everything under /api/v1 but logging in and out."""
    api = APIRouter(prefix=PREFIX, responses=PROBLEMS, dependencies=LOGINS)
    _reading(api)
    _asking(api)
    _acting(api)
    return api


def _reading(api: APIRouter) -> None:
    @api.get("/namespaces", tags=["read"])
    async def namespaces(request: Request) -> list[Summary]:
        """Every namespace at a glance."""
        return [Summary.of(state) for state in hub_of(request).states().values()]

    @api.get("/namespaces/{ns}", tags=["read"])
    async def namespace(request: Request, ns: Namespace) -> NamespaceState:
        """Everything known of one namespace."""
        return hub_of(request).state(ns)

    @api.get("/namespaces/{ns}/advice", tags=["read"])
    async def advice(request: Request, ns: Namespace) -> dict[str, JsonValue]:
        """What may be offloaded, and why not; as `lbsync advise --json`."""
        return await hub_of(request).advice(ns, who(request))

    @api.get("/namespaces/{ns}/ledger", tags=["read"])
    async def ledger(request: Request, ns: Namespace) -> ChainState:
        """Whether the ledger's chain holds."""
        return await hub_of(request).chain(ns)

    @api.get("/namespaces/{ns}/runs", tags=["read"])
    async def runs(
        request: Request, ns: Namespace, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> list[RunState]:
        """The newest runs."""
        return list(await hub_of(request).runs(ns, limit))

    @api.get("/namespaces/{ns}/runs/{run}", tags=["read"])
    async def run(request: Request, ns: Namespace, run: Id) -> RunDetail:
        """One run with its steps."""
        return await hub_of(request).run(ns, run)

    @api.get("/jobs/{job}", tags=["read"])
    async def job(request: Request, job: Id) -> JobState:
        """One job, for as long as it is remembered."""
        return hub_of(request).job(job)

    @api.get(
        "/events",
        tags=["read"],
        response_class=EventStream,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def events(request: Request) -> EventStream:
        """What changes from now on, as server-sent events (state, job, run, proposal; end; again: ask anew)."""
        return EventStream(request)


def _asking(api: APIRouter) -> None:
    @api.post("/namespaces/{ns}/look", status_code=HTTPStatus.ACCEPTED, tags=["operator"])
    async def look(request: Request, ns: Namespace) -> JobState:
        """Look now."""
        return await hub_of(request).look(ns, who(request))

    @api.post("/namespaces/{ns}/proposals", status_code=HTTPStatus.ACCEPTED, tags=["operator"])
    async def propose(request: Request, ns: Namespace, body: ProposeIn) -> JobState:
        """Make a plan, which appears among the namespace's proposals."""
        return await hub_of(request).propose(ns, body.kind, body.options, who(request))

    @api.post("/jobs/{job}/stop", status_code=HTTPStatus.ACCEPTED, tags=["operator"])
    async def stop(request: Request, job: Id) -> JobState:
        """Stop it between two steps."""
        return await hub_of(request).stop(job, who(request))


def _acting(api: APIRouter) -> None:
    @api.post("/namespaces/{ns}/proposals/{proposal}/approve", status_code=HTTPStatus.ACCEPTED, tags=["approver"])
    async def approve(request: Request, ns: Namespace, proposal: Id) -> Proposal | JobState:
        """Approve: the proposal while it needs more approvals, the job that carries it out once it has them."""
        return await hub_of(request).approve(ns, proposal, who(request))

    @api.post("/namespaces/{ns}/proposals/{proposal}/decline", status_code=HTTPStatus.NO_CONTENT, tags=["approver"])
    async def decline(request: Request, ns: Namespace, proposal: Id, body: DeclineIn) -> Response:
        """Throw a proposal away."""
        await hub_of(request).decline(ns, proposal, who(request), body.reason)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def act(request: Request, ns: str, run: str, action: Literal["rollback", "resume", "confirm"]) -> JobState:
        return await hub_of(request).act(ns, run, action, who(request))

    @api.post("/namespaces/{ns}/runs/{run}/rollback", status_code=HTTPStatus.ACCEPTED, tags=["approver"])
    async def rollback(request: Request, ns: Namespace, run: Id) -> JobState:
        """Take a run back."""
        return await act(request, ns, run, "rollback")

    @api.post("/namespaces/{ns}/runs/{run}/resume", status_code=HTTPStatus.ACCEPTED, tags=["approver"])
    async def resume(request: Request, ns: Namespace, run: Id) -> JobState:
        """Go on with a run that stands half-way."""
        return await act(request, ns, run, "resume")

    @api.post("/namespaces/{ns}/runs/{run}/confirm", status_code=HTTPStatus.ACCEPTED, tags=["approver"])
    async def confirm(request: Request, ns: Namespace, run: Id) -> JobState:
        """Keep what a run did, where it waits for that."""
        return await act(request, ns, run, "confirm")
