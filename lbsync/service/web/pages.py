"""The pages that are read: overview, namespace, advice, proposals, runs, ledger, certificates.

Rule of this file: a route asks the hub, has ``views`` say what is shown, and gives a template both. Whatever changes something
is a form, and those stand in ``acts`` (and ``settings``). ``?part=live`` is the part of a page that changes, alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from starlette.responses import HTMLResponse

from lbsync.errors import LedgerError
from lbsync.service.port import NotFound
from lbsync.service.values import JobState, NamespaceState, RunDetail
from lbsync.service.web import acts, settings
from lbsync.service.web.asking import hub_of, who
from lbsync.service.web.templating import environment, page
from lbsync.service.web.views import board, picture, plans, ways
from lbsync.service.web.views.advising import advice_view
from lbsync.service.web.views.words import JOBS, LEVELS, text_of

REPORT_CSP: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
"""Of a report: its style stands in it, it has no script, and whatever were smuggled into it could do nothing."""
_LONGEST = 100
_ITEMS = 200


def router() -> APIRouter:
    """Every page but the login."""
    web = APIRouter(include_in_schema=False)
    _everything(web)
    _space(web)
    _runs(web)
    acts.add(web)
    settings.add(web)
    return web


class Cards:
    """Cards of the overview, each kept for as long as its state is the same: 200 cost as little as the one that changed."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[NamespaceState, Markup]] = {}

    def __call__(self, state: NamespaceState) -> Markup:
        """The card of a state."""
        kept = self._kept.get(state.name)
        if kept is None or kept[0] is not state:
            text = environment().get_template("_card.html").render(card=board.card(state))
            kept = self._kept[state.name] = (state, Markup(text))  # noqa: S704  # a template's own text
        return kept[1]


def _everything(web: APIRouter) -> None:
    cards = Cards()

    @web.get("/")
    async def overview(request: Request) -> Response:
        query = request.query_params.get("q", "")[:_LONGEST].strip()
        states = tuple(hub_of(request).states().values())
        shown = [state for state in states if query.lower() in board.card(state).search] if query else states
        found = board.groups(shown)
        counts = {group.id: len(group.states) for group in found}
        tiles = [
            {"id": level.value, "sign": sign, "count": counts.get(level.value, 0)} for level, sign in LEVELS.items()
        ]
        waiting = board.waiting(shown)
        said = [f"{counts[level.value]} {sign.word}" for level, sign in LEVELS.items() if level.value in counts]
        return page(
            request, "overview.html", part="_board.html", groups=found, tiles=tiles, waiting=waiting, card=cards, query=query,
            say="; ".join([*said, *([f"{len(waiting)} to approve"] if waiting else [])]),
        )  # fmt: skip

    @web.get("/certificates")
    async def certificates(request: Request) -> Response:
        return page(request, "certificates.html", uses=board.certificates(hub_of(request).states().values()))


def _space(web: APIRouter) -> None:
    @web.get("/n/{ns}")
    async def namespace(request: Request, ns: str) -> Response:
        state = hub_of(request).state(ns)
        found = ways.ways(state)
        servers = [server.name for server in state.servers]
        order = tuple(LEVELS)
        items = sorted(state.items[:_ITEMS], key=lambda item: order.index(item.level))
        return page(
            request, "namespace.html", part="_space.html", state=state, sign=LEVELS[state.level], ways=found,
            pictures=(picture.wide(found, servers), picture.narrow(found, servers)), told=ways.told(state, found),
            rows=ways.rows(state), wrong=any(lane.wrong for way in found for lane in way.lanes),
            items=[(LEVELS[item.level], item) for item in items], lights=board.lights(state.listeners), busy=_busy(state.job),
        )  # fmt: skip

    @web.get("/n/{ns}/listeners")
    async def listeners(request: Request, ns: str) -> Response:
        return page(request, "_listeners.html", state=hub_of(request).state(ns))

    @web.get("/n/{ns}/advice")
    async def advice(request: Request, ns: str) -> Response:
        state = hub_of(request).state(ns)
        if not request.query_params:
            return page(request, "advice.html", state=state)
        found = advice_view(await hub_of(request).advice(ns, who(request)))
        return page(request, "advice_whole.html", part="_advice.html", state=state, advice=found)

    @web.get("/n/{ns}/ledger")
    async def ledger(request: Request, ns: str) -> Response:
        hub = hub_of(request)
        return page(
            request, "ledger.html", state=hub.state(ns), chain=await hub.chain(ns), runs=await _or_none(request, ns)
        )

    @web.get("/n/{ns}/proposals/{proposal}")
    async def proposal(request: Request, ns: str, proposal: str) -> Response:
        state = hub_of(request).state(ns)
        found = next((one for one in state.proposals if one.id == proposal), None)
        job = state.job if state.job is not None and state.job.proposal == proposal else None
        if found is None and job is None and request.query_params.get("part") != "live":
            raise NotFound(
                "this proposal is over, or there never was one", where=ns, state="it was approved, declined, or it expired",
                remedy=f"see what is being done at /n/{ns}", code="unknown-proposal",
            )  # fmt: skip
        return page(
            request, "proposal.html", part="_proposal.html", state=state, id=proposal, proposal=found, job=job,
            plan=plans.plan_view(found.plan) if found is not None else None,
            say=plans.say(found, who(request)) if found is not None else None,
        )  # fmt: skip


def _runs(web: APIRouter) -> None:
    @web.get("/n/{ns}/runs")
    async def runs(request: Request, ns: str) -> Response:
        hub = hub_of(request)
        return page(request, "runs.html", state=hub.state(ns), runs=await hub.runs(ns))

    @web.get("/n/{ns}/runs/{run}")
    async def run(request: Request, ns: str, run: str) -> Response:
        state = hub_of(request).state(ns)
        detail = await hub_of(request).run(ns, run)
        job = state.job if state.job is not None and state.job.run_id == run else None
        return _live(request, state, detail, job)

    @web.get("/n/{ns}/jobs/{job}")
    async def job(request: Request, ns: str, job: str) -> Response:
        state = hub_of(request).state(ns)
        found = hub_of(request).job(job)
        if found.namespace != ns:
            raise NotFound("there is no such job", where=ns, code="unknown-job")
        detail = None
        if found.run_id is not None:
            try:
                detail = await hub_of(request).run(ns, found.run_id)
            except (NotFound, LedgerError):
                detail = None  # it is named before its first event can be read
        return _live(request, state, detail, found)

    @web.get("/n/{ns}/runs/{run}/report")
    async def report(request: Request, ns: str, run: str) -> Response:
        detail = await hub_of(request).run(ns, run)
        text = await asyncio.to_thread(_read, detail.report) if detail.report else None
        if text is None:
            raise NotFound(
                "there is no report of this run", where=run, remedy=f"lbsync report {run}", code="unknown-run"
            )
        return HTMLResponse(text, headers={"Content-Security-Policy": REPORT_CSP})


def _live(request: Request, state: NamespaceState, detail: RunDetail | None, job: JobState | None) -> Response:
    """A job and the run that it works on, or either alone."""
    steps = detail.steps if detail is not None else ()
    busy, progress = plans.now(steps), plans.progress(steps) if steps else ""
    said = [detail.run.words if detail is not None else "", progress, f"now: {busy}" if busy else ""]
    if detail is None and job is not None:
        said = [JOBS[job.kind], "ended" if job.ended else "under way" if job.began else "queued"]
    made = job.proposal if job is not None and job.kind == "plan" and job.ended is not None else None
    return page(
        request, "live.html", part="_live.html", state=state, detail=detail, job=job, here=request.url.path, progress=progress,
        steps=plans.step_lines(steps), done=sum(step.look == "done" for step in steps), say="; ".join(filter(None, said)),
        canary=plans.canary(detail.canary) if detail is not None else (),
        actions=plans.actions(detail, state.job, who(request)) if detail is not None else (),
        errors=_told(job.error if job is not None else None), made=made,
    )  # fmt: skip


def _told(error: Mapping[str, object] | None) -> dict[str, str]:
    """The parts of an error, empty where a part is missing."""
    return {key: text_of((error or {}).get(key)) for key in ("message", "where", "state", "remedy")}  # type: ignore[arg-type]


def _busy(job: JobState | None) -> bool:
    return job is not None and job.ended is None


async def _or_none(request: Request, ns: str) -> object:
    """Runs for the ledger's page, which is looked at just when a ledger cannot be read."""
    try:
        return await hub_of(request).runs(ns)
    except LedgerError:
        return ()


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
