"""Pages as they are sent: who sees which button, that names cannot become markup, what an error looks like, what a form does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lbsync.errors import LedgerError
from lbsync.run import RunPhase
from lbsync.service.port import Busy
from lbsync.service.values import ChainState, JobState, RunDetail
from lbsync.service.web.pages import REPORT_CSP, Cards
from tests.service.client import ORIGIN, TOKEN, Client, app_for, client
from tests.service.fakes import NOW, PROPOSAL, RUN, FakeHub, namespace, run_state

_HTML = {"Accept": "text/html,*/*"}
_PAGES = ("/", "/certificates", "/settings/notices", "/n/mail", "/n/mail/listeners", "/n/mail/advice",
          "/n/mail/advice?wait=1", "/n/mail/ledger", "/n/mail/runs", f"/n/mail/runs/{RUN}",
          f"/n/mail/proposals/{PROPOSAL}", f"/n/mail/proposals/{PROPOSAL}/approve",
          f"/n/mail/proposals/{PROPOSAL}/decline", f"/n/mail/runs/{RUN}/rollback", f"/n/mail/runs/{RUN}/resume")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the users are: hashing their passwords once is enough."""
    return tmp_path_factory.mktemp("dashboard")


def _get(browser: Client, path: str) -> str:
    answer = browser.ask("GET", path, headers=_HTML)
    assert answer.status_code == 200, path
    return answer.text


def _send(browser: Client, path: str, **fields: str) -> tuple[int, str]:
    """A form as a browser sends it: the status, and where it goes on."""
    form = "&".join(f"{key}={value}" for key, value in ({"csrf": browser.csrf} | fields).items())
    headers = _HTML | {"Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    answer = browser.ask("POST", path, headers=headers, content=form)
    return answer.status_code, answer.headers.get("location", answer.text)


class Reporting(FakeHub):
    """A run with a report, or another phase; a ledger that is broken."""

    report: str | None = None
    phase = RunPhase.AWAITING

    async def run(self, ns: str, run_id: str) -> RunDetail:
        """As the port says."""
        found = await super().run(ns, run_id)
        return found.model_copy(
            update={"report": self.report, "run": run_state(phase=self.phase), "problem": "ex2 was down"}
        )

    async def chain(self, ns: str) -> ChainState:
        """As the port says."""
        return ChainState(ok=False, count=3, error="event 2 does not follow event 1")


def test_nothing_in_a_page_breaks_the_policy(folder: Path) -> None:
    """No inline script, style or handler, nothing from another host, and no token; for each page there is."""
    with client(app_for(folder)) as browser:
        browser.login("approver")
        for path in _PAGES:
            text = _get(browser, path)
            assert not re.search(
                r"<script(?! src=\"/static/)|<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|hx-vals", text
            ), path
            assert not re.search(r"(?:src|href|action|hx-get)=\"(?!/|#)", text), path
            assert TOKEN not in text


def test_names_never_become_markup(folder: Path) -> None:
    """A server, a farm, a host or a line of drift called like a script is shown as it is called."""
    evil = "<script>alert(1)</script>\"'><img src=x onerror=y>"
    state = namespace()
    state = state.model_copy(update={
        "farm": evil, "error": evil, "next_text": evil,
        "items": (state.items[0].model_copy(update={"subject": evil, "text": evil, "remedy": evil}),),
        "listeners": tuple(one.model_copy(update={"host": evil, "text": evil}) for one in state.listeners),
        "modes": tuple(one.model_copy(update={"balancer": evil}) for one in state.modes),
        "servers": tuple(one.model_copy(update={"name": evil}) for one in state.servers),
        "certificates": tuple(one.model_copy(update={"subject": evil, "users": (evil,)}) for one in state.certificates),
        "drift": state.drift.model_copy(update={"lines": (evil,)}) if state.drift else None,
        "proposals": tuple(one.model_copy(update={"summary": evil, "asked_by": evil}) for one in state.proposals),
    })  # fmt: skip
    hub = FakeHub(state.model_copy(update={"job": _job(run_id=RUN, lines=(evil,), error={"message": evil})}))
    with client(app_for(folder, hub)) as browser:
        browser.login("approver")
        for path in _PAGES:
            text = _get(browser, path)
            assert "<script>" not in text, path
            assert "<img src=x" not in text, path
        assert "&lt;script&gt;" in _get(browser, "/n/mail")
        assert "&lt;script&gt;" in _get(browser, f"/?q={evil}")


def _job(**more: object) -> JobState:
    job = JobState(id="j-1", namespace="mail", kind="rotate", asked_by="anna", asked_at=NOW, began=NOW)
    return job.model_copy(update=more)


def test_a_farm_that_is_gone_is_marked(folder: Path) -> None:
    """Nobody is offered a look at it, and no look is said to have failed; who is at work on a run there is to be seen."""
    run = run_state(phase=RunPhase.APPLYING).model_copy(update={"at_work_since": NOW})
    hub = FakeHub(
        namespace().model_copy(update={"gone": True, "error": "its configuration was removed", "runs": (run,)})
    )
    with client(app_for(folder, hub)) as browser:
        browser.login("operator")
        assert "removed</span>" in _get(browser, "/")
        text = _get(browser, "/n/mail")
        assert ("removed</span>" in text, "b-look" in text, "failed in a row" in text) == (True, False, False)
        assert "at work since" in text


@pytest.mark.parametrize(
    ("role", "shown"), [("viewer", ()), ("operator", ("look",)), ("approver", ("look", "approve"))]
)
def test_buttons_follow_the_role(folder: Path, role: str, shown: tuple[str, ...]) -> None:
    """Nobody is offered what would be refused."""
    with client(app_for(folder, Reporting())) as browser:
        browser.login(role)
        assert ("b-look" in _get(browser, "/n/mail")) == ("look" in shown)
        assert ("b-approve" in _get(browser, f"/n/mail/proposals/{PROPOSAL}")) == ("approve" in shown)
        assert ("b-confirm" in _get(browser, f"/n/mail/runs/{RUN}")) == ("approve" in shown)


def test_forms_do_it_and_go_on(folder: Path) -> None:
    """Each asks the hub once, in the name of who is signed in, and sends to where one sees it; without the token nothing."""
    hub = FakeHub()
    with client(app_for(folder, hub)) as browser:
        browser.login("approver")
        assert _send(browser, "/n/mail/look", csrf="wrong")[0] == 403
        assert _send(browser, "/n/mail/look") == (303, "/n/mail")
        assert _send(browser, "/n/mail/proposals", kind="apply") == (303, "/n/mail/jobs/j-2")
        assert _send(browser, "/n/mail/proposals", kind="explode")[0] == 400
        assert _send(browser, "/n/mail/jobs/j-2/stop") == (303, "/n/mail/jobs/j-2")
        assert _send(browser, f"/n/mail/proposals/{PROPOSAL}/approve") == (303, "/n/mail/jobs/j-3")
        for number, action in enumerate(("rollback", "resume", "confirm"), start=4):
            assert _send(browser, f"/n/mail/runs/{RUN}/{action}") == (303, f"/n/mail/jobs/j-{number}")
        hub.kept["mail"] = namespace()
        assert _send(browser, f"/n/mail/proposals/{PROPOSAL}/decline", reason="later") == (303, "/n/mail")
        assert [call[0] for call in hub.calls] == [
            "look", "propose apply", "stop", "approve", "rollback", "resume", "confirm", "decline",
        ]  # fmt: skip
        assert {call[2] for call in hub.calls} == {"approver (approver, web)"}
        assert "Ended" in _get(browser, "/n/mail/jobs/j-2") or "ended" in _get(browser, "/n/mail/jobs/j-2")
        assert "This proposal is over" in _get(browser, f"/n/mail/proposals/{PROPOSAL}?part=live")


def test_errors_have_a_face(folder: Path) -> None:
    """In words with what to do, for browsers only; status and headers stay, and programs get the problem document."""
    hub = FakeHub()
    with client(app_for(folder, hub)) as browser:
        browser.login("viewer")
        for path, status, heading in (
            ("/nope", 404, "There is nothing here"),
            ("/n/none", 404, "There is nothing here"),
            ("/n/mail/jobs/j-9", 404, "There is nothing here"),
            (f"/n/mail/runs/{RUN}/rollback", 403, "You may not do this"),
            ("/n/mail/proposals/p-9", 404, "There is nothing here"),
        ):
            answer = browser.ask("GET", path, headers=_HTML)
            assert (answer.status_code, f"<h1>{heading}</h1>" in answer.text) == (status, True), path
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            assert browser.ask("GET", path).headers["content-type"] == "application/problem+json"
        hub.failure = Busy("something is under way", where="mail", remedy="wait for it", code="busy")
        answer = browser.ask("GET", "/n/mail/advice?wait=1", headers=_HTML)
        assert (answer.status_code, "wait for it" in answer.text) == (409, True)
        hub.failure = RuntimeError("secret inside")
        answer = browser.ask("GET", "/n/mail/advice?wait=1", headers=_HTML)
        assert (answer.status_code, "Something went wrong" in answer.text, "secret" in answer.text) == (
            500,
            True,
            False,
        )


def test_a_report_is_shut_in(folder: Path, tmp_path: Path) -> None:
    """It is served under its own policy, in a sandbox; one that is gone is not found."""
    hub = Reporting()
    hub.report = str(tmp_path / "report.html")
    with client(app_for(folder, hub)) as browser:
        browser.login("viewer")
        path = f"/n/mail/runs/{RUN}/report"
        assert browser.ask("GET", path).status_code == 404
        Path(hub.report).write_text("<style>p{}</style><p>all went well</p>")
        answer = browser.ask("GET", path)
        assert "all went well" in answer.text
        assert answer.headers["content-security-policy"] == REPORT_CSP
        assert "sandbox" in REPORT_CSP
        assert "event 2 does not follow event 1" in _get(browser, "/n/mail/ledger")
        assert "ex2 was down" in _get(browser, f"/n/mail/runs/{RUN}")


def test_a_job_before_its_run_can_be_read(folder: Path) -> None:
    """It is shown alone; another namespace's job is not found; a plan that was made is linked."""
    hub = FakeHub(namespace(), namespace("other"))
    hub.jobs["j-1"] = _job(run_id="20990101-000000-0000", lines=("looking at lb1",))
    hub.jobs["j-2"] = JobState(
        id="j-2", namespace="mail", kind="plan", asked_by="x", asked_at=NOW, ended=NOW, exit_code=0, proposal=PROPOSAL
    )
    with client(app_for(folder, hub)) as browser:
        browser.login("approver")
        shown = _get(browser, "/n/mail/jobs/j-1")
        assert "looking at lb1" in shown
        begun = 'begun <time datetime="2026-06-01T12:00:00Z" data-ago>'
        assert begun in shown
        hub.kept["mail"] = namespace().model_copy(update={"job": hub.jobs["j-1"]})
        assert all(begun in _get(browser, path) for path in ("/", "/n/mail"))  # one that hangs is seen to be old
        assert f'/n/mail/proposals/{PROPOSAL}"' in _get(browser, "/n/mail/jobs/j-2")
        assert browser.ask("GET", "/n/other/jobs/j-1").status_code == 404
        assert _send(browser, "/n/other/jobs/j-1/stop")[0] == 404


def test_a_ledger_that_cannot_be_read_is_still_told(folder: Path) -> None:
    """The page on the chain is there just when runs cannot be listed."""

    class Broken(Reporting):
        async def runs(self, ns: str, limit: int = 100) -> tuple[()]:
            raise LedgerError("the ledger cannot be read")

    with client(app_for(folder, Broken())) as browser:
        browser.login("viewer")
        assert "broken" in _get(browser, "/n/mail/ledger")


def test_cards_are_made_once(folder: Path) -> None:
    """A state that is the same needs no new card; one that changed does."""
    cards, state = Cards(), namespace()
    first = cards(state)
    assert cards(state) is first
    assert cards(namespace(days=3)) != first
    with client(app_for(folder)) as browser:
        browser.login("viewer")
        part = _get(browser, "/?part=live")
        assert part.lstrip().startswith('<div id="board"')
        assert "Nothing here has" in _get(browser, "/?q=zzz")
        assert "contains no" not in part
